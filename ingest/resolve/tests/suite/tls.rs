//! TLS with a certificate made for the test, trusted and not, for this name and another.
use std::sync::Arc;

use crate::common::dns::{DnsServer, Reply};
use crate::common::{Server, get, ok, trusting};
use orrery_resolve::{Client, FetchError, rustls};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A server with a certificate of its own making for `pds.example`.
async fn serve() -> (Server, CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["pds.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let server = Server::start(move |_, tcp| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(tcp).await else {
                return;
            };
            let mut byte = [0];
            while stream.read_exact(&mut byte).await.is_ok() {
                if byte == *b"\n" {
                    let _ = stream.write_all(ok("secure").as_bytes()).await;
                    let _ = stream.shutdown().await;
                    return;
                }
            }
        }
    })
    .await;
    (server, certificate)
}

fn trust(certificate: CertificateDer<'static>) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

#[tokio::test]
async fn certificates_are_checked_against_the_name_and_the_authorities() {
    let (server, certificate) = serve().await;
    let dns = DnsServer::start(|_, kind, _| Reply::addresses(kind, &["127.0.0.1"])).await;
    let port = server.address.port();
    let mut options = trusting(&[&server]);
    options.dns = Some(dns.address);
    let strict = Client::new(options.clone()).unwrap();
    options.tls = Some(trust(certificate));
    let trusting = Client::new(options).unwrap();

    let answer = get(&trusting, &format!("https://pds.example:{port}/")).await;
    assert_eq!(answer.unwrap().body, "secure");
    for (client, host) in [
        (&trusting, "other.example"),
        (&trusting, "127.0.0.1"),
        (&strict, "pds.example"),
    ] {
        let error = get(client, &format!("https://{host}:{port}/"))
            .await
            .unwrap_err();
        let FetchError::Connect { problem, .. } = &error else {
            panic!("{host}: {error}")
        };
        assert!(problem.contains("certificate"), "{problem}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_no_https_server() {
    let server = Server::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let url = format!("https://{}/", server.address);
    let mut options = trusting(&[&server]);
    // Such a server waits for the end of a head that never comes.
    options.connect_timeout = std::time::Duration::from_millis(300);
    let error = get(&Client::new(options).unwrap(), &url).await.unwrap_err();
    assert!(matches!(error, FetchError::Connect { .. }), "{error}");
}
