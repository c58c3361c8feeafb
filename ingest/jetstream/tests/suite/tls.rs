//! TLS with a certificate authority made for the test, trusted and not.
use std::sync::Arc;

use crate::common::{collect_until, event, next_error, subscribe};
use futures_util::{SinkExt as _, StreamExt as _};
use orrery_jetstream::{Config, Error, rustls};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

/// A server that presents a self-signed certificate for `localhost`; returns its URL and the certificate.
async fn serve() -> (String, CertificateDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
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
    // `localhost` may name both loopback addresses; the client tries both.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("wss://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(tcp).await else {
                continue;
            };
            let mut ws = tokio_tungstenite::accept_async(stream).await.unwrap();
            ws.send(Message::text(event(1, None))).await.unwrap();
            tokio::spawn(async move { while let Some(Ok(_)) = ws.next().await {} });
        }
    });
    (url, certificate)
}

#[tokio::test]
async fn a_private_authority_is_accepted_when_configured() {
    let (url, certificate) = serve().await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut config = Config::new(url);
    config.tls = Some(Arc::new(tls));
    assert_eq!(collect_until(&mut subscribe(config), 1).await, [1]);
}

#[tokio::test]
async fn an_unknown_authority_is_a_tls_error() {
    let (url, _) = serve().await;
    let error = next_error(&mut subscribe(Config::new(url))).await;
    let Error::Tls { host, source } = &error else {
        panic!("{error}")
    };
    assert_eq!(host, "localhost");
    assert!(source.to_string().contains("certificate"), "{source}");
}
