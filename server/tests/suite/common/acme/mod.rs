//! A small authority that speaks ACME (RFC 8555) on a loopback address. It checks names as a real one does, by connecting with the
//! protocol acme-tls/1, only to an address that the test says; it does not check signatures.

mod see;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::{Method, Request, Response};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Reader as _, SliceReader};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use self::see::see;

const DAY: Duration = Duration::from_secs(86_400);

/// The authority.
pub struct Authority {
    /// The URL of its directory.
    pub directory: String,
    /// Its root in PEM, which its own server is trusted by too.
    pub root: String,
    state: Arc<State>,
}

struct State {
    base: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Where port 443 of every name leads.
    leads_to: Option<SocketAddr>,
    /// How long certificates hold.
    lifetime: Duration,
    nonces: HashSet<String>,
    /// The next requests that are told of a bad nonce.
    bad_nonces: u32,
    /// Contact and thumbprint of the key of each account.
    accounts: Vec<(Value, String)>,
    orders: Vec<Order>,
}

struct Order {
    account: usize,
    names: Vec<String>,
    /// Of each name, `pending` or `valid`, or why it is invalid.
    checks: Vec<Result<&'static str, String>>,
    chain: Option<String>,
}

impl Authority {
    pub async fn start() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let own = own.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!(
            "https://localhost:{}",
            listener.local_addr().unwrap().port()
        );
        let root = issuer.as_ref().pem();
        let inner = Inner {
            lifetime: DAY * 90,
            ..Inner::default()
        };
        let state = Arc::new(State {
            base: base.clone(),
            issuer,
            inner: Mutex::new(inner),
        });
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), shared.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(tcp).await else {
                        return;
                    };
                    let service = service_fn(move |request| answer(state.clone(), request));
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            directory: format!("{base}/directory"),
            root,
            state,
        }
    }

    /// Where port 443 of every name leads from now on.
    pub fn leads_to(&self, address: SocketAddr) {
        self.state.inner.lock().leads_to = Some(address);
    }

    /// How long certificates hold from now on.
    pub fn lifetime(&self, lifetime: Duration) {
        self.state.inner.lock().lifetime = lifetime;
    }

    /// The next requests are told that their nonce is bad.
    pub fn bad_nonces(&self, count: u32) {
        self.state.inner.lock().bad_nonces = count;
    }

    /// How many orders there were, and how many of them became certificates.
    pub fn orders(&self) -> (usize, usize) {
        let inner = self.state.inner.lock();
        let made = inner.orders.iter().filter(|order| order.chain.is_some());
        (inner.orders.len(), made.count())
    }

    /// What accounts said of their operators.
    pub fn contacts(&self) -> Vec<Value> {
        let inner = self.state.inner.lock();
        inner
            .accounts
            .iter()
            .map(|(contact, _)| contact.clone())
            .collect()
    }

    /// Forgets all accounts.
    pub fn forget(&self) {
        for (_, thumbprint) in &mut self.state.inner.lock().accounts {
            thumbprint.clear();
        }
    }
}

/// An answer: status, what `Location` says, and the body.
type Told = (u16, Option<String>, String);

async fn answer(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::convert::Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = axum::body::to_bytes(Body::new(request.into_body()), 1 << 20)
        .await
        .unwrap();
    let (status, location, body) = match (method, path.as_str()) {
        (Method::GET, "/directory") => (200, None, state.directory()),
        (Method::HEAD, "/nonce") => (200, None, String::new()),
        (Method::POST, _) => {
            state
                .posted(&path, &serde_json::from_slice(&body).unwrap())
                .await
        }
        _ => panic!("no client asks for {path}"),
    };
    let nonce = HEXLOWER.encode(&KeyPair::generate().unwrap().serialize_der()[36..52]);
    state.inner.lock().nonces.insert(nonce.clone());
    let mut response = Response::builder()
        .status(status)
        .header("replay-nonce", nonce);
    if let Some(location) = location {
        response = response.header("location", location);
    }
    Ok(response.body(Body::from(body)).unwrap())
}

fn problem(status: u16, kind: &str, detail: &str) -> Told {
    let kind = format!("urn:ietf:params:acme:error:{kind}");
    let body = json!({"type": kind, "detail": detail, "status": status});
    (status, None, body.to_string())
}

impl State {
    fn directory(&self) -> String {
        let url = |path: &str| format!("{}/{path}", self.base);
        json!({
            "newNonce": url("nonce"),
            "newAccount": url("accounts"),
            "newOrder": url("orders"),
            "revokeCert": url("revoke"),
            "keyChange": url("keys"),
        })
        .to_string()
    }

    async fn posted(self: &Arc<Self>, path: &str, jws: &Value) -> Told {
        let decoded = |name: &str| {
            let text = jws[name].as_str().unwrap();
            BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
        };
        let protected: Value = serde_json::from_slice(&decoded("protected")).unwrap();
        let payload: Value = serde_json::from_slice(&decoded("payload")).unwrap_or_default();
        assert_eq!(protected["url"], format!("{}{path}", self.base));
        {
            let mut inner = self.inner.lock();
            let is_known = inner.nonces.remove(protected["nonce"].as_str().unwrap());
            if inner.bad_nonces > 0 || !is_known {
                inner.bad_nonces = inner.bad_nonces.saturating_sub(1);
                return problem(400, "badNonce", "this nonce is used up");
            }
        }
        if path == "/accounts" {
            return self.new_account(&protected["jwk"], &payload);
        }
        let account = protected["kid"].as_str().unwrap();
        let account: usize = account.rsplit('/').next().unwrap().parse().unwrap();
        if self.inner.lock().accounts[account].1.is_empty() {
            return problem(400, "accountDoesNotExist", "no such account");
        }
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let number = |place: usize| parts[place].parse::<usize>().unwrap();
        match parts[0] {
            "account" => {
                self.inner.lock().accounts[account].0 = payload["contact"].clone();
                (200, None, json!({"status": "valid"}).to_string())
            }
            "orders" => self.new_order(account, &payload),
            "order" => (200, None, self.order(number(1))),
            "authorization" => (200, None, self.authorization(number(1), number(2))),
            "challenge" => {
                self.check(number(1), number(2)).await;
                let authorization = self.authorization(number(1), number(2));
                let authorization: Value = serde_json::from_str(&authorization).unwrap();
                let mut challenge = authorization["challenges"][0].clone();
                // Whoever set it ready is told later what came of it.
                challenge.as_object_mut().unwrap().remove("error");
                (200, None, challenge.to_string())
            }
            "finalize" => {
                let csr = payload["csr"].as_str().unwrap();
                let csr = BASE64URL_NOPAD.decode(csr.as_bytes()).unwrap();
                self.make(number(1), &csr);
                (200, None, self.order(number(1)))
            }
            "certificate" => {
                let inner = self.inner.lock();
                (200, None, inner.orders[number(1)].chain.clone().unwrap())
            }
            _ => panic!("no client asks for {path}"),
        }
    }

    fn new_account(&self, jwk: &Value, payload: &Value) -> Told {
        if payload["termsOfServiceAgreed"] != true {
            return problem(403, "userActionRequired", "the terms are not agreed to");
        }
        // RFC 7638: these members in this order.
        let of = |name: &str| jwk[name].as_str().unwrap().to_owned();
        let canonical = format!(
            r#"{{"crv":"{}","kty":"{}","x":"{}","y":"{}"}}"#,
            of("crv"),
            of("kty"),
            of("x"),
            of("y")
        );
        let thumbprint = BASE64URL_NOPAD.encode(&Sha256::digest(canonical));
        let accounts = &mut self.inner.lock().accounts;
        accounts.push((payload["contact"].clone(), thumbprint));
        let location = format!("{}/account/{}", self.base, accounts.len() - 1);
        (201, Some(location), json!({"status": "valid"}).to_string())
    }

    fn new_order(&self, account: usize, payload: &Value) -> Told {
        let names: Vec<String> = payload["identifiers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|identifier| identifier["value"].as_str().unwrap().to_owned())
            .collect();
        if names.iter().any(|name| name.ends_with(".invalid")) {
            return problem(400, "rejectedIdentifier", "no public name ends like that");
        }
        let number = {
            let orders = &mut self.inner.lock().orders;
            orders.push(Order {
                account,
                checks: vec![Ok("pending"); names.len()],
                names,
                chain: None,
            });
            orders.len() - 1
        };
        let location = format!("{}/order/{number}", self.base);
        (201, Some(location), self.order(number))
    }

    fn order(&self, number: usize) -> String {
        let inner = self.inner.lock();
        let order = &inner.orders[number];
        let status = if order.chain.is_some() {
            "valid"
        } else if order.checks.iter().any(Result::is_err) {
            "invalid"
        } else if order.checks.iter().all(|check| *check == Ok("valid")) {
            "ready"
        } else {
            "pending"
        };
        let of = |place: usize| format!("{}/authorization/{number}/{place}", self.base);
        let mut told = json!({
            "status": status,
            "authorizations": (0..order.names.len()).map(of).collect::<Vec<_>>(),
            "finalize": format!("{}/finalize/{number}", self.base),
        });
        if order.chain.is_some() {
            told["certificate"] = json!(format!("{}/certificate/{number}", self.base));
        }
        told.to_string()
    }

    fn authorization(&self, number: usize, place: usize) -> String {
        let inner = self.inner.lock();
        let order = &inner.orders[number];
        let (status, error) = match &order.checks[place] {
            Ok(status) => (*status, None),
            Err(error) => ("invalid", Some(error)),
        };
        let mut challenge = json!({
            "type": "tls-alpn-01",
            "url": format!("{}/challenge/{number}/{place}", self.base),
            "token": token(number, place),
            "status": status,
        });
        if let Some(error) = error {
            let kind = "urn:ietf:params:acme:error:connection";
            challenge["error"] = json!({"type": kind, "detail": error, "status": 400});
        }
        json!({
            "identifier": {"type": "dns", "value": order.names[place]},
            "status": status,
            "challenges": [challenge],
        })
        .to_string()
    }

    /// Connects to whoever answers for the name.
    async fn check(&self, number: usize, place: usize) {
        let (name, thumbprint, address) = {
            let inner = self.inner.lock();
            let order = &inner.orders[number];
            let (_, thumbprint) = &inner.accounts[order.account];
            (
                order.names[place].clone(),
                thumbprint.clone(),
                inner.leads_to,
            )
        };
        let digest = Sha256::digest(format!("{}.{thumbprint}", token(number, place)));
        let found = match address {
            None => Err("nothing answers there".to_owned()),
            Some(address) => see(address, &name, &digest).await,
        };
        self.inner.lock().orders[number].checks[place] = found.map(|()| "valid");
    }

    fn make(&self, number: usize, csr: &[u8]) {
        let mut inner = self.inner.lock();
        let lifetime = inner.lifetime;
        let order = &mut inner.orders[number];
        assert!(order.checks.iter().all(|check| *check == Ok("valid")));
        for name in &order.names {
            let is_asked = csr
                .windows(name.len())
                .any(|window| window == name.as_bytes());
            assert!(is_asked, "{name} is not in the request");
        }
        let mut params = CertificateParams::new(order.names.clone()).unwrap();
        params.not_before = SystemTime::now().into();
        params.not_after = (SystemTime::now() + lifetime).into();
        let made = params
            .signed_by(&Asked(public_key(csr)), &self.issuer)
            .unwrap();
        order.chain = Some(made.pem() + &self.issuer.as_ref().pem());
    }
}

fn token(number: usize, place: usize) -> String {
    format!("token-{number}-{place}")
}

/// The public key of a request.
struct Asked(Vec<u8>);

impl PublicKeyData for Asked {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// RFC 2986, section 4.
fn public_key(csr: &[u8]) -> Vec<u8> {
    let mut reader = SliceReader::new(csr).unwrap();
    let mut found = Vec::new();
    let read = reader.sequence(|request| {
        request.sequence(|info| {
            let (_version, _subject) = (AnyRef::decode(info)?, AnyRef::decode(info)?);
            info.sequence(|key| {
                AnyRef::decode(key)?;
                found = BitStringRef::decode(key)?.raw_bytes().to_vec();
                Ok(())
            })?;
            AnyRef::decode(info).map(drop)
        })?;
        AnyRef::decode(request)?;
        AnyRef::decode(request)?;
        Ok(())
    });
    read.unwrap();
    found
}
