//! `serve` by https: with a certificate out of files, with one of an authority that speaks ACME, and what it says of options that
//! make no sense.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use self::acme::Authority;
use crate::common::directory::{apply, options};
use crate::common::{Server, orrery, synthetic, text};

#[path = "../../../server/tests/suite/common/acme/mod.rs"]
#[allow(dead_code, reason = "the server's tests use all of it")]
mod acme;

const NAME: &str = "links.example";

/// A certificate trusted by itself, and its key, written as `own.pem` and `own.key`.
fn pair(dir: &Path) -> (String, PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    let chain = params.self_signed(&key).unwrap().pem();
    let paths = (dir.join("own.pem"), dir.join("own.key"));
    std::fs::write(&paths.0, &chain).unwrap();
    std::fs::write(&paths.1, key.serialize_pem()).unwrap();
    (chain, paths.0, paths.1)
}

/// What `/_health` answers to a client that trusts `root` alone.
fn health(address: SocketAddr, root: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(NAME).unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(b"GET /_health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn is_well(address: SocketAddr, root: &str) -> bool {
    health(address, root).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn hang_up(server: &Server) {
    kill_process(Pid::from_child(&server.child), Signal::HUP).unwrap();
}

#[test]
fn a_certificate_is_read_again_on_a_signal_and_kept_where_the_new_one_is_bad() {
    let dir = tempfile::tempdir().unwrap();
    let (data, log) = (dir.path().join("data"), dir.path().join("log"));
    apply(&data, &synthetic(1, 50), options(1000));
    let (old, certificate, key) = pair(dir.path());
    let arguments = [
        "serve",
        "--data",
        data.to_str().unwrap(),
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let mut server = Server::start(&arguments, &log);
    let said = || std::fs::read_to_string(&log).unwrap();
    assert!(
        said().contains("answers on https://127.0.0.1:"),
        "{}",
        said()
    );
    assert!(is_well(server.address, &old));
    let (new, ..) = pair(dir.path());
    hang_up(&server);
    until("the new certificate", || is_well(server.address, &new));
    assert!(!is_well(server.address, &old));
    std::fs::write(&key, "x").unwrap();
    hang_up(&server);
    until("a warning", || {
        said().contains("own.key: it holds no private key")
    });
    assert!(is_well(server.address, &new));
    assert!(server.stop(Signal::TERM), "{}", said());
}

#[test]
fn without_a_certificate_a_hangup_is_answered_by_a_line_and_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (data, log) = (dir.path().join("data"), dir.path().join("log"));
    apply(&data, &synthetic(1, 50), options(1000));
    let mut server = Server::start(&["serve", "--data", data.to_str().unwrap()], &log);
    let said = || std::fs::read_to_string(&log).unwrap();
    for count in 1..3 {
        hang_up(&server);
        until("the line", || {
            said().matches("SIGHUP: nothing is read again").count() == count
        });
    }
    assert_eq!(server.get("/_health").unwrap().0, 200);
    assert!(server.stop(Signal::TERM), "{}", said());
}

#[test]
fn a_key_of_another_certificate_is_found_by_the_check_of_settings() {
    let dir = tempfile::tempdir().unwrap();
    let (_, certificate, key) = pair(dir.path());
    let file = dir.path().join("orrery.toml");
    let check = || {
        let written = format!(
            "data = {:?}\njetstream = \"us-east-1\"\ntls-cert = {certificate:?}\ntls-key = {key:?}\n",
            dir.path().join("data")
        );
        std::fs::write(&file, written).unwrap();
        let mut command = orrery();
        let output = command
            .args(["config", "--check", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        (output.status.code(), text(&output.stdout))
    };
    assert_eq!(check(), (Some(0), "no mistakes\n".to_owned()));
    let other = KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(&key, other).unwrap();
    let (code, told) = check();
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("orrery.toml:3:1: tls-cert: "), "{told}");
    assert!(told.contains("own.pem: "), "{told}");
    std::fs::write(&key, "x").unwrap();
    let (_, told) = check();
    assert!(
        told.contains("orrery.toml:4:1: tls-key: ") && told.contains("it holds no private key"),
        "{told}"
    );
    std::fs::remove_file(&key).unwrap();
    let (_, told) = check();
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("own.key does not exist"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_an_authority_is_got_and_kept_beside_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let (data, log) = (dir.path().join("data"), dir.path().join("log"));
    apply(&data, &synthetic(1, 50), options(1000));
    let authority = Authority::start().await;
    let root = dir.path().join("root.pem");
    std::fs::write(&root, &authority.root).unwrap();
    let arguments = [
        "serve",
        "--data",
        data.to_str().unwrap(),
        "--tls-domain",
        "links.example,WWW.links.example",
        "--tls-accept-terms",
        "--tls-contact",
        "admin@links.example",
        "--tls-directory",
        &authority.directory,
        "--tls-directory-ca",
        root.to_str().unwrap(),
    ];
    let mut server = Server::start(&arguments, &log);
    let said = || std::fs::read_to_string(&log).unwrap();
    // The names lead nowhere yet: one line says so, and what to do.
    until("a warning", || said().contains("no certificate for"));
    let line = said();
    let line = line
        .lines()
        .find(|line| line.contains("no certificate for"))
        .unwrap();
    for part in [
        "links.example, www.links.example from https://localhost:",
        "it could not see that links.example is this server: nothing answers there (connection)",
        "Port 443 of links.example must be open to everybody",
        "Tried again in 60s, or on SIGHUP",
    ] {
        assert!(line.contains(part), "{line}, not {part}");
    }
    authority.leads_to(server.address);
    hang_up(&server);
    until("a certificate", || is_well(server.address, &authority.root));
    assert_eq!(
        authority.contacts(),
        [serde_json::json!(["mailto:admin@links.example"])]
    );
    let mut kept = std::fs::read_dir(dir.path().join("data.tls")).unwrap();
    let kept = kept.next().unwrap().unwrap().path();
    until("the file", || kept.join("certificate.pem").exists());
    assert!(server.stop(Signal::TERM), "{}", said());
}

#[test]
fn options_that_make_no_sense_together_are_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (_, certificate, key) = pair(dir.path());
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let data = dir.path().join("data");
    let inside = data.join("x");
    let domain = ["--tls-domain", NAME];
    let agreed = ["--tls-domain", NAME, "--tls-accept-terms"];
    let cases: [(&[&[&str]], i32, &str); 10] = [
        (
            &[&["--tls-cert", certificate]],
            2,
            "it needs the private key too; give it by --tls-key",
        ),
        (
            &[&["--tls-key", key]],
            2,
            "it needs the certificate too; give it by --tls-cert",
        ),
        (
            &[&["--tls-cert", certificate, "--tls-key", key], &agreed],
            2,
            "give one of them",
        ),
        (
            &[&["--tls-cert", "none.pem", "--tls-key", key]],
            2,
            "none.pem does not exist",
        ),
        (&[&domain], 2, "agree by --tls-accept-terms"),
        (
            &[&["--tls-domain", "*.example.org", "--tls-accept-terms"]],
            2,
            "not a domain name",
        ),
        (
            &[&agreed, &["--tls-directory", "http://ca.example/"]],
            2,
            "is no https address",
        ),
        (
            &[&agreed, &["--tls-contact", "me"]],
            2,
            "is no mail address",
        ),
        (
            &[&agreed, &["--tls-cache", inside.to_str().unwrap()]],
            2,
            "is in the data directory",
        ),
        (
            &[&["--bind-http", "127.0.0.1:0"]],
            2,
            "needs --tls-cert or --tls-domain",
        ),
    ];
    for (more, code, wanted) in cases {
        let mut command = orrery();
        command.args([
            "serve",
            "--bind",
            "127.0.0.1:0",
            "--jetstream",
            "ws://127.0.0.1:9/subscribe",
        ]);
        let output = command
            .arg("--data")
            .arg(&data)
            .args(more.concat())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(wanted), "{said}, not {wanted}");
        assert!(
            !data.exists() && !dir.path().join("data.tls").exists(),
            "{said}"
        );
    }
}
