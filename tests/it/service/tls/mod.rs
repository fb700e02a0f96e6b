//! Servers that answer by HTTPS.

use std::path::Path;

use reqwest::Certificate;

use super::fleet::{Fleet, until};

const ONE: [&str; 2] = [include_str!("one.cert.pem"), include_str!("one.key.pem")];
const OTHER: [&str; 2] = [include_str!("other.cert.pem"), include_str!("other.key.pem")];

fn write(place: &Path, [certificate, key]: [&str; 2]) {
    // The key first: a certificate without its key is not taken.
    std::fs::write(place.join("key.pem"), key).expect("the file can be written");
    std::fs::write(place.join("cert.pem"), certificate).expect("the file can be written");
}

#[test]
fn a_server_answers_by_https_and_takes_a_new_certificate_as_it_comes() {
    let mut fleet = Fleet::new();
    let place = fleet.place.path("tls");
    std::fs::create_dir(&place).expect("a folder");
    write(&place, ONE);
    for (name, file) in [("WEIR_TLS_CERT", "cert.pem"), ("WEIR_TLS_KEY", "key.pem")] {
        fleet.set(name, &place.join(file).display().to_string());
    }
    let server = fleet.unready_server(&[]);
    let endpoint = fleet.endpoint(server);
    assert!(endpoint.starts_with("https://"), "{endpoint}");

    // Trusts this certificate and no other.
    let client = |[certificate, _]: [&str; 2]| {
        let certificate = Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
        reqwest::Client::builder()
            .tls_certs_only([certificate])
            .build()
            .expect("a client")
    };
    let get = |client: &reqwest::Client, path: &str| fleet.block_on(client.get(format!("{endpoint}{path}")).send());
    let trusting = client(ONE);
    until("a server that is ready", || {
        get(&trusting, "/readyz")
            .is_ok_and(|answer| answer.status() == 200)
            .then_some(())
    });
    let answer = get(&trusting, "/api/v1/runs").expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));
    assert!(
        get(&client(OTHER), "/healthz").is_err(),
        "its certificate is not that one"
    );
    let clear = endpoint.replace("https://", "http://");
    assert!(fleet.block_on(reqwest::get(format!("{clear}/healthz"))).is_err());

    // The command line trusts what the machine does.
    let mut command = fleet.command(["runs", "list", "--endpoint", &endpoint]);
    command.env("SSL_CERT_FILE", place.join("cert.pem"));
    let ran = command.output().expect("the command starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    // Half of a pair changes nothing; the whole one is taken without a restart.
    std::fs::write(place.join("cert.pem"), "nonsense").expect("the file can be written");
    until("the mistake in the log", || {
        fleet.log(server).contains("the old one stays").then_some(())
    });
    assert!(get(&client(ONE), "/healthz").is_ok());
    write(&place, OTHER);
    until("the new certificate", || {
        get(&client(OTHER), "/healthz").is_ok().then_some(())
    });
}
