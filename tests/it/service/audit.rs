//! The audit log: what is in it, and for how long.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Value, json};
use weir_model::{AuditId, Timestamp};

use super::fleet::{Answer, Fleet, MemberId, until};
use super::identity::{make_key, make_namespace, send};
use super::isolation::{Attack, Names, attacks, furnish};

const ROOT: &str = "open-sesame-for-tests";

/// Who asks.
struct Asker<'a> {
    name: &'a str,
    /// Empty for nobody.
    key: &'a str,
    /// The namespace that is asked about.
    namespace: Option<&'a str>,
}

/// Sends one request from an address.
fn ask((fleet, server): (&Fleet, MemberId), attack: &Attack, asker: &Asker, names: &Names, address: &str) -> Answer {
    let authorization = format!("Bearer {}", asker.key);
    let mut headers = vec![("content-type", "application/json"), ("x-forwarded-for", address)];
    if !asker.key.is_empty() {
        headers.push(("authorization", &*authorization));
    }
    headers.extend(asker.namespace.map(|name| ("weir-namespace", name)));
    if attack.operation == "stream" {
        return fleet.first_of_stream(server, &format!("?topics=run:{}", names["run"]), &headers);
    }
    let content = match attack.content(names) {
        Value::Null => String::new(),
        content => content.to_string(),
    };
    fleet.request(server, attack.method.clone(), &attack.url(names), &headers, content)
}

/// All entries, by the id of their request.
fn entries(service: (&Fleet, MemberId)) -> BTreeMap<String, Value> {
    let mut entries = BTreeMap::new();
    let mut path = "/api/v1/audit?scope=service&limit=1000".to_owned();
    loop {
        let page = send(service, ROOT, None, Method::GET, &path, "");
        assert_eq!(page.status, 200, "{}", page.body);
        for entry in page.body["items"].as_array().expect("items") {
            let request = entry["request_id"].as_str().expect("an id").to_owned();
            assert!(entries.insert(request, entry.clone()).is_none(), "twice: {entry}");
        }
        match page.body["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/v1/audit?scope=service&limit=1000&cursor={cursor}"),
            None => return entries,
        }
    }
}

#[test]
fn every_change_and_every_denial_of_every_route_is_in_the_log() {
    let mut fleet = Fleet::new();
    fleet.set("WEIR_BOOTSTRAP_API_KEY", ROOT);
    // So that each request can have an address of its own, and no limit is met.
    fleet.set("WEIR_TRUSTED_PROXIES", "127.0.0.1");
    let server = fleet.server(&[]);
    let service = (&fleet, server);
    make_namespace(service, "theirs");
    make_namespace(service, "others");
    let (key_id, admin) = make_key(service, "theirs", "admin");
    let (_, viewer) = make_key(service, "theirs", "viewer");
    let (_, foreigner) = make_key(service, "others", "admin");
    let names = furnish(&fleet, server, &admin, &key_id).theirs;
    let askers = [
        Asker {
            name: "nobody",
            key: "",
            namespace: None,
        },
        Asker {
            name: "a foreigner",
            key: &foreigner,
            namespace: Some("theirs"),
        },
        Asker {
            name: "a viewer",
            key: &viewer,
            namespace: None,
        },
        // Last, since what it deletes is gone.
        Asker {
            name: "the whole service's admin",
            key: ROOT,
            namespace: Some("theirs"),
        },
    ];
    let mut attacks = attacks(service);
    attacks.retain(|attack| attack.path.starts_with("/api/"));
    attacks.sort_by_key(|attack| attack.method == Method::DELETE);

    // What is asked: the request's id, and what is to be in the log of it.
    let mut asked = Vec::new();
    for asker in &askers {
        for attack in &attacks {
            let address = format!("198.51.{}.{}", asked.len() / 250, asked.len() % 250);
            let answer = ask(service, attack, asker, &names, &address);
            assert!(answer.status < 500, "{}: {}", attack.operation, answer.body);
            let denied = match answer.status {
                401 | 403 => true,
                404 => attack.method != Method::HEAD,
                _ => false,
            };
            let outcome = if denied { "denied" } else { "allowed" };
            // What is only looked at, whatever the method.
            let is_look = attack.method.is_safe() || attack.operation == "sql_check";
            let is_noted = denied || !is_look;
            let expected = is_noted.then(|| {
                json!({
                    "action": attack.operation, "outcome": outcome, "status": answer.status, "source": address,
                })
            });
            let request = answer.header("x-request-id").expect("an id").to_owned();
            asked.push((request, format!("{} by {}", attack.operation, asker.name), expected));
        }
    }
    let noted = asked.iter().filter(|(_, _, expected)| expected.is_some()).count();
    assert!(
        noted > 3 * attacks.len() / 2,
        "of {} requests {noted} are to be noted",
        asked.len()
    );
    // Written in their order, beside the requests.
    let (last, _, _) = asked
        .iter()
        .rfind(|(_, _, expected)| expected.is_some())
        .expect("some are");
    let found = until("the last entry", || {
        Some(entries(service)).filter(|found| found.contains_key(last))
    });
    for (request, what, expected) in &asked {
        let entry = found.get(request).map(|entry| {
            let fields = ["action", "outcome", "status", "source"];
            Value::from_iter(fields.map(|field| (field, entry[field].clone())))
        });
        assert_eq!(entry, *expected, "{what}");
    }
    let all = json!(found).to_string();
    for secret in [&admin, &viewer, &foreigner] {
        assert!(!all.contains(&secret[5..20]), "a secret is in the log");
    }
}

#[test]
fn entries_are_kept_for_as_long_as_the_service_is_told() {
    let mut fleet = Fleet::new();
    fleet.set("WEIR_BOOTSTRAP_API_KEY", ROOT);
    fleet.set("WEIR_HOUSEKEEPING_MS", "1000");
    fleet.set("WEIR_KEEP_AUDIT_DAYS", "3");
    let server = fleet.server(&[]);
    let service = (&fleet, server);
    let names = ["fresh", "nearly-old", "old"];
    names.iter().for_each(|name| make_namespace(service, name));
    let made = || -> Vec<String> {
        let entries = entries(service).into_values();
        let targets = entries.map(|entry| entry["target"].as_str().expect("a target").to_owned());
        let mut targets: Vec<_> = targets.filter(|target| target.starts_with("namespaces/")).collect();
        targets.sort();
        targets
    };
    let of = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("namespaces/{name}"))
            .collect::<Vec<_>>()
    };
    until("the entries", || (made() == of(&names)).then_some(()));
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is right")
        .as_millis();
    let now = u64::try_from(now).expect("it is not that late");
    for (name, minutes) in [("nearly-old", 3 * 24 * 60 - 60), ("old", 3 * 24 * 60 + 1)] {
        let at = Timestamp(now - minutes * 60_000);
        let id = AuditId::from_parts(at, 7);
        let statement = format!(
            "UPDATE audit_log SET id = '{id}', at = {} WHERE target = 'namespaces/{name}'",
            at.0
        );
        assert_eq!(fleet.sql(&statement), 1);
    }
    until("the old entry to be forgotten", || {
        (made() == of(&names[..2])).then_some(())
    });
    let wrong = fleet.weir(["server", "--listen", "127.0.0.1:0", "--keep-audit-days", "0"]);
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
}
