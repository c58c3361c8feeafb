//! What a handshake is answered with: the certificate in use, or that of a challenge while an authority checks a name.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;

/// The protocol of authorities that check a name (RFC 8737).
pub(super) const ACME_TLS: &[u8] = b"acme-tls/1";

/// The certificates that handshakes may get.
#[derive(Debug, Default)]
pub(super) struct Presented {
    current: RwLock<Option<Arc<Certificate>>>,
    challenges: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl Presented {
    pub(super) fn current(&self) -> Option<Arc<Certificate>> {
        self.current.read().clone()
    }

    /// From now on handshakes get this one; open connections stay as they are.
    pub(super) fn present(&self, certificate: Certificate) {
        *self.current.write() = Some(Arc::new(certificate));
    }

    /// What authorities get that check `name`.
    pub(super) fn challenge(&self, name: &str, key: CertifiedKey) {
        let name = name.to_ascii_lowercase();
        self.challenges.write().insert(name, Arc::new(key));
    }

    pub(super) fn end_challenges(&self) {
        self.challenges.write().clear();
    }
}

impl ResolvesServerCert for Presented {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_check = hello
            .alpn()
            .is_some_and(|protocols| protocols.eq(std::iter::once(ACME_TLS)));
        if is_check {
            let name = hello.server_name()?.to_ascii_lowercase();
            return self.challenges.read().get(&name).cloned();
        }
        let current = self.current.read();
        current.as_ref().map(|current| Arc::clone(&current.key))
    }
}
