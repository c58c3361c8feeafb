//! Certificates of an authority that speaks ACME, which checks names by connecting to the server.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::common::acme::Authority;
use crate::common::tls::{ask, connect, fact, presented, trusting, until};
use crate::common::{DAY, Server};
use orrery_server::{AcmeSettings, Config, Error, Tls};

const NAMES: [&str; 2] = ["links.example", "www.links.example"];

fn settings(authority: &Authority, dir: &Path, names: &[&str]) -> AcmeSettings {
    let root = dir.join("root.pem");
    std::fs::write(&root, &authority.root).unwrap();
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let mut settings = AcmeSettings::new(names, dir.join("cache"));
    settings.terms_accepted = true;
    settings.directory.clone_from(&authority.directory);
    settings.directory_roots = Some(root);
    settings.retry_first = Duration::from_millis(50);
    settings
}

async fn start(settings: AcmeSettings) -> (Server, Tls) {
    let tls = Tls::by_acme(settings).unwrap();
    let server = Server::with(Config {
        tls: Some(tls.clone()),
        ..Config::default()
    })
    .await;
    (server, tls)
}

/// Waits until there is a certificate in the directory for an authority.
async fn is_kept(dir: &Path) {
    let file = dir.join("certificate.pem");
    until(async || std::fs::read_to_string(&file).is_ok_and(|text| text.contains("BEGIN"))).await;
}

#[tokio::test]
async fn a_certificate_is_got_kept_and_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::start().await;
    let client = trusting(&[&authority.root], &["http/1.1"]);
    authority.bad_nonces(1);
    let mut wanted = settings(&authority, dir.path(), &NAMES);
    wanted.contact = Some("admin@links.example".to_owned());
    let (mut server, tls) = start(wanted.clone()).await;
    // Before there is one, nobody can connect.
    assert!(connect(server.address, NAMES[0], &client).await.is_err());
    authority.leads_to(server.address);
    until(async || tls.certificate_end().is_some()).await;
    for name in NAMES {
        let mut stream = connect(server.address, name, &client).await.unwrap();
        assert!(
            ask(&mut stream, "/_health")
                .await
                .starts_with("HTTP/1.1 200")
        );
    }
    assert!(
        connect(server.address, "other.example", &client)
            .await
            .is_err()
    );
    // The certificates of the challenges are gone again.
    let check = trusting(&[&authority.root], &["acme-tls/1"]);
    assert!(connect(server.address, NAMES[0], &check).await.is_err());
    let contact = serde_json::json!(["mailto:admin@links.example"]);
    assert_eq!(authority.contacts(), std::slice::from_ref(&contact));

    let kept = std::fs::read_dir(dir.path().join("cache")).unwrap();
    let kept = kept.map(|entry| entry.unwrap().path()).next().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&kept), 0o700);
    // It is in use before it is kept.
    is_kept(&kept).await;
    let mut files: Vec<String> = std::fs::read_dir(&kept)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["account.json", "certificate.pem", "directory.url"]);
    assert!(files.iter().all(|file| mode(&kept.join(file)) == 0o600));

    // What was got is presented by the next start, and not asked for again.
    let orders = authority.orders();
    let before = presented(server.address, NAMES[0], &client).await;
    server.stop();
    server.ended().await;
    let (server, _) = start(wanted.clone()).await;
    assert_eq!(presented(server.address, NAMES[0], &client).await, before);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(authority.orders(), orders);
    // For another name it is, by the same account, and the old one serves meanwhile.
    wanted.domains.push("new.example".to_owned());
    wanted.contact = None;
    let (server, _) = start(wanted).await;
    assert_eq!(presented(server.address, NAMES[0], &client).await, before);
    authority.leads_to(server.address);
    until(async || {
        connect(server.address, "new.example", &client)
            .await
            .is_ok()
    })
    .await;
    assert_eq!(authority.contacts(), [serde_json::json!([])]);
}

#[tokio::test]
async fn a_certificate_is_renewed_before_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::start().await;
    let client = trusting(&[&authority.root], &[]);
    authority.lifetime(Duration::from_secs(6));
    let (server, tls) = start(settings(&authority, dir.path(), &NAMES[..1])).await;
    authority.leads_to(server.address);
    until(async || tls.certificate_end().is_some()).await;
    let mut open = connect(server.address, NAMES[0], &client).await.unwrap();
    let before = presented(server.address, NAMES[0], &client).await;
    authority.lifetime(DAY * 90);
    // At no moment is there none that holds.
    until(async || presented(server.address, NAMES[0], &client).await != before).await;
    assert_eq!(authority.orders().1, 2);
    assert!(ask(&mut open, "/_health").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn failures_are_counted_and_tried_again_while_everything_else_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::start().await;
    let client = trusting(&[&authority.root], &[]);
    let mut wanted = settings(&authority, dir.path(), &NAMES[..1]);
    wanted.retry_first = Duration::from_millis(100);
    let tls = Tls::by_acme(wanted.clone()).unwrap();
    let free = || {
        std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    };
    let (metrics, plain) = (free(), free());
    let mut server = Server::with(Config {
        tls: Some(tls.clone()),
        metrics: Some(metrics),
        redirect: Some(plain),
        ..Config::default()
    })
    .await;
    // Nothing answers for the name.
    let failed = async || fact(metrics, "orrery_tls_certificate_failures_total").await;
    until(async || failed().await >= Some(2.0)).await;
    assert_eq!(
        fact(metrics, "orrery_tls_certificate_end_timestamp_seconds").await,
        None
    );
    // By plain HTTP the port that needs no certificate leads to the name that is to have one.
    let request = b"GET /x HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
    let told = crate::common::exchange(plain, request).await;
    assert_eq!(told.header("location"), Some("https://links.example/x"));
    authority.leads_to(server.address);
    tls.reload();
    until(async || tls.certificate_end().is_some()).await;
    assert!(connect(server.address, NAMES[0], &client).await.is_ok());
    // One account did for all attempts.
    assert_eq!(authority.contacts().len(), 1);

    // A damaged certificate and an account that the authority has forgotten are made anew.
    server.stop();
    server.ended().await;
    let kept = std::fs::read_dir(dir.path().join("cache"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::write(kept.join("certificate.pem"), "x").unwrap();
    authority.forget();
    let (mut server, tls) = start(wanted.clone()).await;
    authority.leads_to(server.address);
    until(async || tls.certificate_end().is_some()).await;
    assert!(connect(server.address, NAMES[0], &client).await.is_ok());
    assert_eq!(authority.contacts().len(), 2);

    // So is one that it has forgotten when it is told of another contact.
    is_kept(&kept).await;
    server.stop();
    server.ended().await;
    std::fs::remove_file(kept.join("certificate.pem")).unwrap();
    authority.forget();
    wanted.contact = Some("admin@links.example".to_owned());
    let (server, tls) = start(wanted).await;
    authority.leads_to(server.address);
    until(async || tls.certificate_end().is_some()).await;
    assert_eq!(authority.contacts().len(), 3);
}

#[tokio::test]
async fn settings_that_no_authority_would_take_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::start().await;
    let good = || settings(&authority, dir.path(), &NAMES);
    assert!(Tls::by_acme(good()).is_ok());
    let refused = |change: &dyn Fn(&mut AcmeSettings), wanted: &str| {
        let mut settings = good();
        change(&mut settings);
        let error = Tls::by_acme(settings).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}, not {wanted}");
    };
    for name in [
        "*.links.example",
        "192.0.2.1",
        "localhost",
        "a b.example",
        "x.example:443",
    ] {
        let change = |settings: &mut AcmeSettings| settings.domains = vec![name.to_owned()];
        refused(&change, &format!("{name:?} is no name of a host"));
    }
    refused(&|settings| settings.domains.clear(), "1 to 100 names");
    refused(
        &|settings| settings.contact = Some("nobody".to_owned()),
        "is no mail address",
    );
    refused(
        &|settings| settings.terms_accepted = false,
        "terms of service",
    );
    refused(
        &|settings| settings.directory = "http://ca.example/x".to_owned(),
        "is no https address",
    );
    let file = dir.path().join("root.pem");
    refused(
        &|settings| settings.cache.clone_from(&file),
        "cannot be written",
    );
    std::fs::write(dir.path().join("empty"), "").unwrap();
    let empty = dir.path().join("empty");
    refused(
        &|settings| settings.directory_roots = Some(empty.clone()),
        "holds no certificate",
    );
    let mut settings = good();
    settings.domains.clear();
    assert!(matches!(Tls::by_acme(settings), Err(Error::Acme(_))));
}
