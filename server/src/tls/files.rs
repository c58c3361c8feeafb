//! A certificate out of two files, read again when they change.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::certificate::{Certificate, Flaw};
use super::{Shared, days_left};
use crate::error::{Error, Result};

/// More than any chain or key has.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// From when on an old certificate is told of, once a day.
const SOON: Duration = Duration::from_secs(7 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);

/// Where a certificate and its key are, both in PEM. They may be one file.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The server's certificate, and behind it those of the authorities up to the root.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// How often to see whether they have changed. A change is read once the files stayed the same for that long.
    pub check_every: Duration,
}

impl CertificateFiles {
    /// These files, looked at every ten seconds.
    #[must_use]
    pub fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self {
            certificate,
            key,
            check_every: Duration::from_secs(10),
        }
    }

    /// Reads both, and sees whether they can be used and belong together.
    ///
    /// # Errors
    /// [`Error::TlsFile`] names the file and what is wrong with it.
    pub fn check(&self) -> Result<()> {
        self.read(&rustls::crypto::ring::default_provider())
            .map(drop)
    }

    /// Reads and checks both.
    pub(super) fn read(&self, provider: &CryptoProvider) -> Result<Certificate> {
        let chain = read(&self.certificate)?;
        let key = read(&self.key)?;
        Certificate::from_pem(&chain, &key, provider).map_err(|flaw| match flaw {
            Flaw::Chain(problem) => Error::tls_file(&self.certificate, problem),
            Flaw::Key(problem) => Error::tls_file(&self.key, problem),
        })
    }

    /// What differs once a file was written or another one took its place.
    pub(super) fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
        })
    }

    /// Presents what the files hold whenever they have changed, or when told to read them. `seen` is how they were before they were
    /// read at the start.
    pub(super) async fn keep(&self, shared: &Arc<Shared>, seen: Stamp) {
        let mut ticks = interval(self.check_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut read, mut last) = (seen, seen);
        let mut told: Option<SystemTime> = None;
        loop {
            let is_asked = tokio::select! {
                _ = ticks.tick() => false,
                () = shared.reload.notified() => true,
            };
            let files = self.clone();
            let Ok(stamp) = spawn_blocking(move || files.stamp()).await else {
                continue;
            };
            // Two files are not written at one moment: what has just changed may be half of it.
            let is_settled = std::mem::replace(&mut last, stamp) == stamp;
            if is_asked || (stamp != read && is_settled) {
                read = stamp;
                self.read_again(shared).await;
            }
            warn_of_the_end(shared, &mut told);
        }
    }

    async fn read_again(&self, shared: &Arc<Shared>) {
        let (files, provider) = (self.clone(), Arc::clone(&shared.provider));
        let problem = match spawn_blocking(move || files.read(&provider)).await {
            Ok(Ok(certificate)) => {
                tracing::info!(
                    "a new certificate is in use, {}",
                    days_left(certificate.ends)
                );
                shared.presented.present(certificate);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        shared.failed();
        let current = shared.presented.current();
        let left = current.map_or_else(String::new, |current| days_left(current.ends));
        tracing::warn!("{problem}. The certificate that was read before stays in use, {left}");
    }
}

fn warn_of_the_end(shared: &Shared, told: &mut Option<SystemTime>) {
    let now = SystemTime::now();
    let Some(current) = shared.presented.current() else {
        return;
    };
    let is_near = current.ends < now + SOON;
    let was_told = told.is_some_and(|told| now.duration_since(told).is_ok_and(|past| past < DAY));
    if is_near && !was_told {
        *told = Some(now);
        let left = days_left(current.ends);
        tracing::warn!("the certificate in use must be replaced: {left}");
    }
}

/// Of each file its inode, size and time of change; nothing where it is not there.
pub(super) type Stamp = [Option<(u64, u64, i64, i64)>; 2];

fn read(path: &Path) -> Result<Vec<u8>> {
    let cannot = |error| Error::tls_file(path, format!("it cannot be read: {error}"));
    let found = std::fs::metadata(path).map_err(cannot)?;
    if !found.is_file() || found.len() > FILE_BYTES_MAX {
        let problem = "it is no file of at most 1 MiB".to_owned();
        return Err(Error::tls_file(path, problem));
    }
    std::fs::read(path).map_err(cannot)
}
