//! TLS on the public port: which certificate is presented, and how it is kept fresh, from files or by an authority that speaks
//! ACME (RFC 8555). What connections then carry is none of its business, and it opens no file of the data directory.
//!
//! - `certificate.rs` one certificate · `presented.rs` which one a handshake gets · `files.rs` out of files
//! - `acme/` out of an authority · `redirect.rs` the plain port that leads here

mod acme;
mod certificate;
mod files;
mod presented;
pub(crate) mod redirect;

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use self::acme::Acme;
use self::files::Stamp;
use self::presented::{ACME_TLS, Presented};
use crate::error::{Error, Result};
use crate::index::{Fact, FactKind};

pub use self::acme::{AcmeSettings, LETS_ENCRYPT, LETS_ENCRYPT_STAGING};
pub use self::files::CertificateFiles;

/// How the public port speaks TLS. Clones are the same one.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    source: Arc<Source>,
}

/// What handshakes and whoever keeps the certificate fresh have in common.
struct Shared {
    presented: Arc<Presented>,
    provider: Arc<CryptoProvider>,
    reload: Notify,
    failures: AtomicU64,
    handshakes_failed: AtomicU64,
}

/// Where certificates come from.
enum Source {
    Files(CertificateFiles, Stamp),
    Acme(Box<Acme>),
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("presented", &self.shared.presented.current())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}

impl Tls {
    /// A certificate out of files, which are read now and, while [`serve`](crate::serve) runs, whenever they have changed. A certificate that
    /// has ended is presented all the same: it is as likely that the clock is wrong.
    ///
    /// # Errors
    /// [`Error::TlsFile`] names the file and what is wrong with it.
    pub fn from_files(files: CertificateFiles) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let stamp = files.stamp();
        let certificate = files.read(&provider)?;
        let tls = Self::new(provider, Source::Files(files, stamp))?;
        tls.shared.presented.present(certificate);
        Ok(tls)
    }

    /// Certificates of an authority that speaks ACME, got and renewed while [`serve`](crate::serve) runs. Until the first is there,
    /// handshakes fail.
    ///
    /// # Errors
    /// [`Error::Acme`] names the setting that cannot be used, [`Error::TlsFile`] a file or directory.
    pub fn by_acme(settings: AcmeSettings) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let acme = Acme::new(settings, Arc::clone(&provider))?;
        let kept = acme.kept();
        let tls = Self::new(provider, Source::Acme(Box::new(acme)))?;
        if let Some(certificate) = kept {
            tls.shared.presented.present(certificate);
        }
        Ok(tls)
    }

    fn new(provider: Arc<CryptoProvider>, source: Source) -> Result<Self> {
        let presented = Arc::new(Presented::default());
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Acme(format!("TLS cannot be set up: {error}")))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&presented) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if matches!(source, Source::Acme(_)) {
            config.alpn_protocols.push(ACME_TLS.to_vec());
        }
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            shared: Arc::new(Shared {
                presented,
                provider,
                reload: Notify::new(),
                failures: AtomicU64::new(0),
                handshakes_failed: AtomicU64::new(0),
            }),
            source: Arc::new(source),
        })
    }

    /// Reads the files now; asks the authority now, where it is to be asked at all.
    pub fn reload(&self) {
        self.shared.reload.notify_one();
    }

    /// When the certificate in use ends; `None` while there is none.
    #[must_use]
    pub fn certificate_end(&self) -> Option<SystemTime> {
        Some(self.shared.presented.current()?.ends)
    }

    /// The names that certificates are asked for; none where they come from files.
    pub(crate) fn domains(&self) -> &[String] {
        match &*self.source {
            Source::Files(..) => &[],
            Source::Acme(acme) => acme.domains(),
        }
    }

    /// Keeps the certificate fresh until `stopped`.
    pub(crate) async fn keep(&self, mut stopped: watch::Receiver<bool>) {
        let keep = async {
            match &*self.source {
                Source::Files(files, seen) => files.keep(&self.shared, *seen).await,
                Source::Acme(acme) => acme.keep(&self.shared).await,
            }
            pending::<()>().await;
        };
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => {}
            () = keep => {}
        }
    }

    /// The server's side of a handshake, within `limit` and until `stopped`. `None`: there is nobody to talk to.
    pub(crate) async fn accept<S>(
        &self,
        stream: S,
        limit: Duration,
        stopped: &mut watch::Receiver<bool>,
    ) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = tokio::select! {
            accepted = timeout(limit, self.acceptor.accept(stream)) => accepted,
            _ = stopped.wait_for(|stop| *stop) => return None,
        };
        let problem = match accepted {
            Ok(Ok(mut stream)) => {
                if stream.get_ref().1.alpn_protocol() != Some(ACME_TLS) {
                    return Some(stream);
                }
                // The handshake was all that the authority wanted.
                let _ = timeout(limit, stream.shutdown()).await;
                return None;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not done within {limit:?}"),
        };
        self.shared
            .handshakes_failed
            .fetch_add(1, Ordering::Relaxed);
        tracing::debug!(problem, "no TLS handshake");
        None
    }

    pub(crate) fn facts(&self) -> Vec<Fact> {
        let fact = |name: &str, help, kind, value| Fact {
            name: name.to_owned(),
            help,
            kind,
            value,
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let mut facts = vec![
            fact(
                "orrery_tls_certificate_failures_total",
                "Times that a certificate could not be read, got or kept.",
                FactKind::Counter,
                count(&self.shared.failures),
            ),
            fact(
                "orrery_tls_handshakes_failed_total",
                "TLS handshakes that failed or took too long.",
                FactKind::Counter,
                count(&self.shared.handshakes_failed),
            ),
        ];
        if let Some(end) = self.certificate_end() {
            let end = end.duration_since(UNIX_EPOCH).unwrap_or_default();
            facts.push(fact(
                "orrery_tls_certificate_end_timestamp_seconds",
                "When the certificate in use ends, seconds since 1970.",
                FactKind::Gauge,
                end.as_secs_f64(),
            ));
        }
        facts
    }
}

/// How long it is to the end of a certificate, in words.
fn days_left(ends: SystemTime) -> String {
    let days = |span: Duration| span.as_secs() / 86_400;
    match ends.duration_since(SystemTime::now()) {
        Ok(left) => format!("it ends in {} days", days(left)),
        Err(past) => format!("it ended {} days ago", days(past.duration())),
    }
}
