//! One certificate with its chain and its key, as they are presented, and from when until when it holds.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode, Reader, SliceReader, Tag};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};

/// A certificate that can be presented.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) begins: SystemTime,
    pub(super) ends: SystemTime,
}

/// What is wrong, and with which of the two texts.
#[derive(Debug)]
pub(super) enum Flaw {
    Chain(String),
    Key(String),
}

impl Flaw {
    pub(super) fn problem(self) -> String {
        match self {
            Self::Chain(problem) | Self::Key(problem) => problem,
        }
    }
}

impl Certificate {
    /// Reads a chain and a key in PEM, which may stand in one text, and checks that they belong together.
    pub(super) fn from_pem(
        chain: &[u8],
        key: &[u8],
        provider: &CryptoProvider,
    ) -> Result<Self, Flaw> {
        let certificates = certificates(chain).map_err(Flaw::Chain)?;
        let key = private_key(key).map_err(Flaw::Key)?;
        let key = provider.key_provider.load_private_key(key).map_err(|_| {
            Flaw::Key("its private key is none that can be used (RSA, ECDSA or Ed25519)".to_owned())
        })?;
        Self::of(CertifiedKey::new(certificates, key)).map_err(Flaw::Chain)
    }

    /// Checks the chain, and that its first certificate is that of the key.
    fn of(key: CertifiedKey) -> Result<Self, String> {
        let broken = |place: usize| format!("certificate {place} of it cannot be read");
        let mut times = None;
        for (place, certificate) in key.cert.iter().enumerate() {
            let read = validity(certificate).map_err(|_| broken(place + 1))?;
            times.get_or_insert(read);
        }
        match key.keys_match() {
            Ok(()) | Err(TlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(TlsError::InconsistentKeys(_)) => {
                let others = key.cert.get(1..).unwrap_or_default();
                let is_behind = others.iter().any(|other| {
                    CertifiedKey::new(vec![other.clone()], Arc::clone(&key.key))
                        .keys_match()
                        .is_ok()
                });
                return Err(if is_behind {
                    "the server's own certificate must be its first, before those of the authorities"
                        .to_owned()
                } else {
                    "its first certificate is not that of the key: the public keys differ"
                        .to_owned()
                });
            }
            Err(error) => return Err(format!("{}: {error}", broken(1))),
        }
        let (begins, ends) = times.ok_or("it holds no certificate")?;
        Ok(Self {
            key: Arc::new(key),
            begins,
            ends,
        })
    }

    /// Whether it is made out to this name.
    pub(super) fn is_for(&self, name: &str) -> bool {
        let check = || {
            let parsed = ParsedCertificate::try_from(self.key.end_entity_cert().ok()?).ok()?;
            let name = ServerName::try_from(name).ok()?;
            verify_server_name(&parsed, &name).ok()
        };
        check().is_some()
    }
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| unreadable(&error))?;
    if !found.is_empty() {
        return Ok(found);
    }
    Err(match PrivateKeyDer::from_pem_slice(text) {
        Ok(_) => "it holds a private key and no certificate".to_owned(),
        Err(_) => "it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned(),
    })
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let holds = |what: &[u8]| text.windows(what.len()).any(|window| window == what);
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if holds(b"ENCRYPTED PRIVATE KEY") => Err(
            "its private key is encrypted; keep it without a passphrase, readable by this program alone".to_owned(),
        ),
        Err(pem::Error::NoItemsFound) if holds(b"BEGIN CERTIFICATE") => {
            Err("it holds a certificate and no private key".to_owned())
        }
        Err(pem::Error::NoItemsFound) => {
            Err("it holds no private key in PEM (-----BEGIN PRIVATE KEY-----)".to_owned())
        }
        Err(error) => Err(unreadable(&error)),
    }
}

fn unreadable(error: &pem::Error) -> String {
    format!("its PEM cannot be read: {error}")
}

/// From when until when a certificate holds (RFC 5280, section 4.1).
fn validity(certificate: &[u8]) -> der::Result<(SystemTime, SystemTime)> {
    let mut reader = SliceReader::new(certificate)?;
    let (begins, ends) = reader.sequence(|certificate| {
        let times = certificate.sequence(|signed| {
            // The version is not there where it is the first.
            if signed.peek_tag()?.is_context_specific() {
                AnyRef::decode(signed)?;
            }
            let _serial_number = AnyRef::decode(signed)?;
            let _signature = AnyRef::decode(signed)?;
            let _issuer = AnyRef::decode(signed)?;
            let times = signed.sequence(|times| Ok((time(times)?, time(times)?)))?;
            pass(signed)?;
            Ok(times)
        })?;
        pass(certificate)?;
        Ok(times)
    })?;
    Ok((UNIX_EPOCH + begins, UNIX_EPOCH + ends))
}

fn time<'a>(reader: &mut impl Reader<'a>) -> der::Result<Duration> {
    match reader.peek_tag()? {
        Tag::UtcTime => Ok(UtcTime::decode(reader)?.to_unix_duration()),
        _ => Ok(GeneralizedTime::decode(reader)?.to_unix_duration()),
    }
}

/// Passes over what is left.
fn pass<'a>(reader: &mut impl Reader<'a>) -> der::Result<()> {
    while !reader.is_finished() {
        AnyRef::decode(reader)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> CryptoProvider {
        rustls::crypto::ring::default_provider()
    }

    fn made(names: &[&str], from: u64, to: u64) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_before = (UNIX_EPOCH + Duration::from_secs(from)).into();
        params.not_after = (UNIX_EPOCH + Duration::from_secs(to)).into();
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn times_and_names_are_those_of_the_certificate() {
        // As UTCTime, and as GeneralizedTime, which is used from 2050 on.
        for (from, to) in [
            (1_700_000_000, 1_707_776_000),
            (1_700_000_000, 2_600_000_000),
        ] {
            let (chain, key) = made(&["a.example", "*.b.example"], from, to);
            let read =
                Certificate::from_pem(chain.as_bytes(), key.as_bytes(), &provider()).unwrap();
            let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs();
            assert_eq!((seconds(read.begins), seconds(read.ends)), (from, to));
            assert!(
                read.is_for("a.example") && read.is_for("A.example") && read.is_for("x.b.example")
            );
            assert!(!read.is_for("b.example") && !read.is_for("not a name"));
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_times() {
        let (chain, _) = made(&["a.example"], 1_700_000_000, 1_700_000_100);
        let certificates = certificates(chain.as_bytes()).unwrap();
        let whole: &[u8] = certificates.first().unwrap();
        assert!(validity(whole).is_ok());
        for end in 0..whole.len() {
            assert!(validity(whole.get(..end).unwrap()).is_err(), "{end}");
        }
    }
}
