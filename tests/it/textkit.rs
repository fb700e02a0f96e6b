//! The functions over text that are an example, in SQL.

use weir_guest_build::{BuildOptions, build};
use weir_sandbox::{Sandbox, SandboxOptions};

use crate::support::{Place, repository};

const STATEMENT: &str = "SELECT slug(name) AS slug, edit_distance(name, 'Weir') AS typos, longest(name) OVER () AS longest \
                         FROM (VALUES (1, 'Weir'), (2, ' The -- Wier! '), (3, 'Schütz 9'), (4, NULL)) AS t(id, name) \
                         ORDER BY id";

const ROWS: &str = "slug,typos,longest\nweir,0, The -- Wier! \nthe-wier,11, The -- Wier! \nsch-tz-9,8, The -- Wier! \n,, The -- Wier! \n";

#[test]
fn the_committed_component_does_what_its_source_does() {
    let example = repository().join("examples/textkit");
    let options = BuildOptions::for_tests(env!("CARGO_TARGET_TMPDIR"));
    let built = build(&example, &options)
        .unwrap_or_else(|error| panic!("{error}"))
        .bytes;
    let committed = std::fs::read(example.join("textkit.wasm")).expect("the committed component");
    let functions = |component: &[u8]| {
        let sandbox = Sandbox::new(SandboxOptions::default()).expect("a sandbox");
        sandbox.load(component).expect("a component").functions().to_vec()
    };
    assert_eq!(
        functions(&committed),
        functions(&built),
        "they describe themselves alike"
    );

    let place = Place::new();
    for (name, component) in [("committed.wasm", committed), ("built.wasm", built)] {
        let module = place.write(name, component).display().to_string();
        assert_eq!(
            place.ok(["sql", "-o", "csv", "--module", &module, STATEMENT]),
            ROWS,
            "{name}"
        );
    }
}
