//! Certificates of an authority that speaks ACME: got, kept in a directory, and renewed in time. Names are checked by TLS-ALPN-01
//! (RFC 8737), on the port that answers anyway.
//!
//! - `order.rs` one certificate · `client.rs` requests to the authority · `cache.rs` what is kept · `timing.rs` when

mod cache;
mod client;
mod order;
mod timing;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper::Uri;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use self::cache::{CERTIFICATE, Cache};
use self::client::Client;
use self::order::{Failed, Made};
use super::certificate::Certificate;
use super::{Shared, days_left};
use crate::error::{Error, Result};

/// Let's Encrypt.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Let's Encrypt, for trying out: nobody trusts what it makes, and it allows much more.
pub const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// What one certificate can be made out to, with common authorities.
const DOMAINS_MAX: usize = 100;
/// How long one attempt may take in all.
const ATTEMPT_MAX: Duration = Duration::from_secs(600);
/// The longest sleep: the clock of a small machine may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// Which certificate is asked for, and of whom.
#[derive(Debug, Clone)]
pub struct AcmeSettings {
    /// The names of this server; port 443 of each must lead here. No wildcards and no addresses.
    pub domains: Vec<String>,
    /// A mail address for the authority's warnings.
    pub contact: Option<String>,
    /// Whether the operator has accepted the authority's terms of service.
    pub terms_accepted: bool,
    /// The URL of the authority's directory.
    pub directory: String,
    /// A file with roots, in PEM, that the authority's own server is trusted by, instead of those of the web.
    pub directory_roots: Option<PathBuf>,
    /// The directory in which the account and certificates are kept; made where it is not there.
    pub cache: PathBuf,
    /// How long to wait after the first failure.
    pub retry_first: Duration,
}

impl AcmeSettings {
    /// Certificates of Let's Encrypt for these names, kept in `cache`. Its terms of service are not accepted yet.
    #[must_use]
    pub fn new(domains: Vec<String>, cache: PathBuf) -> Self {
        Self {
            domains,
            contact: None,
            terms_accepted: false,
            directory: LETS_ENCRYPT.to_owned(),
            directory_roots: None,
            cache,
            retry_first: Duration::from_secs(60),
        }
    }

    /// Whether they make sense. Nobody is asked, and nothing is opened or made.
    ///
    /// # Errors
    /// [`Error::Acme`] names what cannot be used.
    pub fn check(&self) -> Result<()> {
        let bad = |problem: String| Err(Error::Acme(problem));
        if self.domains.is_empty() || self.domains.len() > DOMAINS_MAX {
            return bad(format!("a certificate is for 1 to {DOMAINS_MAX} names"));
        }
        for name in &self.domains {
            let is_name = name.contains('.')
                && name.parse::<std::net::IpAddr>().is_err()
                && rustls::pki_types::DnsName::try_from(name.as_str()).is_ok();
            if !is_name {
                return bad(format!(
                    "{name:?} is no name of a host; wildcards and addresses cannot be checked by TLS-ALPN-01"
                ));
            }
        }
        if let Some(contact) = &self.contact {
            let is_mail = contact.split('@').filter(|part| !part.is_empty()).count() == 2
                && contact
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && byte != b',' && byte != b'?');
            if !is_mail {
                return bad(format!("the contact {contact:?} is no mail address"));
            }
        }
        let directory: Option<Uri> = self.directory.parse().ok();
        if directory.is_none_or(|uri| uri.scheme_str() != Some("https") || uri.host().is_none()) {
            return bad(format!(
                "the directory {:?} is no https address",
                self.directory
            ));
        }
        if !self.terms_accepted {
            return bad("the terms of service of the authority are not accepted".to_owned());
        }
        Ok(())
    }
}

/// Where certificates come from and are kept.
pub(super) struct Acme {
    settings: AcmeSettings,
    client: Client,
    cache: Cache,
    provider: Arc<CryptoProvider>,
}

impl Acme {
    pub(super) fn new(mut settings: AcmeSettings, provider: Arc<CryptoProvider>) -> Result<Self> {
        for name in &mut settings.domains {
            name.make_ascii_lowercase();
        }
        settings.check()?;
        let client = Client(Arc::new(client_config(&settings, Arc::clone(&provider))?));
        let cache = Cache::open(&settings.cache, &settings.directory).map_err(|error| {
            Error::tls_file(&settings.cache, format!("it cannot be written: {error}"))
        })?;
        Ok(Self {
            settings,
            client,
            cache,
            provider,
        })
    }

    pub(super) fn domains(&self) -> &[String] {
        &self.settings.domains
    }

    /// The certificate of an earlier run, whatever it is for: it is better than none.
    pub(super) fn kept(&self) -> Option<Certificate> {
        let problem = match self.cache.get(CERTIFICATE) {
            Ok(None) => return None,
            Ok(Some(pem)) => match Certificate::from_pem(&pem, &pem, &self.provider) {
                Ok(certificate) => return Some(certificate),
                Err(flaw) => flaw.problem(),
            },
            Err(error) => error.to_string(),
        };
        let path = self.cache.dir.join(CERTIFICATE);
        tracing::warn!(
            "{} cannot be used: {problem}. A new certificate is asked for",
            path.display()
        );
        None
    }

    /// When the next certificate is to be asked for; `None`: now.
    fn due(&self, current: Option<&Certificate>) -> Option<SystemTime> {
        let current = current?;
        let is_whole = self
            .settings
            .domains
            .iter()
            .all(|name| current.is_for(name));
        is_whole.then(|| timing::renewal(current.begins, current.ends))
    }

    /// Gets certificates when they are due, for ever.
    pub(super) async fn keep(&self, shared: &Arc<Shared>) {
        let mut failures = 0_u32;
        loop {
            let current = shared.presented.current();
            if let Some(due) = self.due(current.as_deref())
                && let Ok(wait) = due.duration_since(SystemTime::now())
            {
                sleep(wait.min(SLEEP_MAX)).await;
                continue;
            }
            let placed = timeout(ATTEMPT_MAX, order::place(self, &shared.presented)).await;
            shared.presented.end_challenges();
            let problem = match placed {
                Ok(Ok(made)) => match self.take(shared, made).await {
                    None => {
                        failures = 0;
                        continue;
                    }
                    Some(problem) => problem.to_owned(),
                },
                Ok(Err(Failed(problem))) => problem,
                Err(_) => format!("not done within {ATTEMPT_MAX:?}"),
            };
            failures = failures.saturating_add(1);
            shared.failed();
            let pause = timing::pause(self.settings.retry_first, failures);
            let left = match current {
                Some(current) => format!("of the one in use: {}", days_left(current.ends)),
                None => "there is none yet, so nobody can connect".to_owned(),
            };
            tracing::warn!(
                "no certificate for {} from {}: {problem}. Tried again in {pause:?}, or on SIGHUP; {left}",
                self.settings.domains.join(", "),
                self.settings.directory
            );
            tokio::select! {
                () = sleep(pause) => {}
                () = shared.reload.notified() => {}
            }
        }
    }

    /// Presents a new certificate and keeps it. Gives what is wrong where it would have to be renewed at once: to ask for one after the
    /// other would only use up what the authority allows.
    async fn take(&self, shared: &Shared, made: Made) -> Option<&'static str> {
        tracing::info!(
            "a new certificate is in use, {}",
            days_left(made.certificate.ends)
        );
        let due = self.due(Some(&made.certificate));
        shared.presented.present(made.certificate);
        self.put(shared, made.pem).await;
        let is_lasting = due.is_some_and(|due| due > SystemTime::now());
        (!is_lasting).then_some(
            "the one that it has just made is due to be renewed already; see whether the clock of this machine is right",
        )
    }

    async fn put(&self, shared: &Shared, pem: String) {
        let cache = self.cache.clone();
        let put = spawn_blocking(move || cache.put(CERTIFICATE, pem.as_bytes())).await;
        if let Ok(Err(error)) = put {
            shared.failed();
            tracing::warn!(
                "the new certificate cannot be kept in {}: {error}. Without it the next start asks for another one, which \
                 authorities allow a few times a week",
                self.cache.dir.display()
            );
        }
    }
}

/// How the authority's own server is talked to.
fn client_config(settings: &AcmeSettings, provider: Arc<CryptoProvider>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match &settings.directory_roots {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let unusable = |problem: String| Error::tls_file(path, problem);
            let text = std::fs::read(path)
                .map_err(|error| unusable(format!("it cannot be read: {error}")))?;
            for root in CertificateDer::pem_slice_iter(&text) {
                let root =
                    root.map_err(|error| unusable(format!("its PEM cannot be read: {error}")))?;
                roots.add(root).map_err(|error| {
                    unusable(format!("a certificate of it is no root: {error}"))
                })?;
            }
            if roots.is_empty() {
                let problem = "it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)";
                return Err(unusable(problem.to_owned()));
            }
        }
    }
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Acme(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
