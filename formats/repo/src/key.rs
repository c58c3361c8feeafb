//! Public keys of accounts, and the signatures made with them.

use std::fmt;

use k256::ecdsa::signature::Verifier as _;

use crate::base;
use crate::error::RepoError;

const SIGNATURE_BYTES: usize = 64;
/// Multicodec `secp256k1-pub`, as varint.
const K256_PREFIX: [u8; 2] = [0xe7, 0x01];
/// Multicodec `p256-pub`, as varint.
const P256_PREFIX: [u8; 2] = [0x80, 0x24];

/// The curves with which accounts sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256, secp256r1.
    P256,
    /// secp256k1.
    K256,
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::K256 => "K-256",
        })
    }
}

/// A public key: a point of its curve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Point);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Point {
    P256(p256::ecdsa::VerifyingKey),
    K256(k256::ecdsa::VerifyingKey),
}

impl PublicKey {
    /// Reads a multikey (`zDn…` of P-256, `zQ3s…` of K-256), which states its curve.
    ///
    /// # Errors
    /// The text is no such key, or a key of another kind.
    pub fn from_multikey(multibase: &str) -> Result<Self, RepoError> {
        let bytes = decode(multibase)?;
        let (curve, point) = match bytes.split_first_chunk() {
            Some((&K256_PREFIX, point)) => (Curve::K256, point),
            Some((&P256_PREFIX, point)) => (Curve::P256, point),
            _ => return Err(refused("a P-256 or K-256 key", "a key of another kind")),
        };
        if point.len() != 33 {
            let found = format!("{} bytes", point.len());
            return Err(refused("a compressed point of 33 bytes", &found));
        }
        Self::from_point(curve, point)
    }

    /// Reads a `did:key:z…`.
    ///
    /// # Errors
    /// As [`from_multikey`](Self::from_multikey).
    pub fn from_did_key(did: &str) -> Result<Self, RepoError> {
        let multibase = did
            .strip_prefix("did:key:")
            .ok_or_else(|| refused("\"did:key:\"", &shown(did)))?;
        Self::from_multikey(multibase)
    }

    /// Reads the `publicKeyMultibase` of a verification method of a DID document by the method's `type`:
    /// `Multikey`, or one of the older `EcdsaSecp256k1VerificationKey2019` and
    /// `EcdsaSecp256r1VerificationKey2019`, which have the bare point, compressed or not.
    ///
    /// # Errors
    /// The type is another one, or the text no such key.
    pub fn from_verification_method(kind: &str, multibase: &str) -> Result<Self, RepoError> {
        let curve = match kind {
            "Multikey" => return Self::from_multikey(multibase),
            "EcdsaSecp256k1VerificationKey2019" => Curve::K256,
            "EcdsaSecp256r1VerificationKey2019" => Curve::P256,
            _ => {
                return Err(refused(
                    "type Multikey, EcdsaSecp256k1VerificationKey2019 or EcdsaSecp256r1VerificationKey2019",
                    &shown(kind),
                ));
            }
        };
        let point = decode(multibase)?;
        if !matches!(
            (point.len(), point.first()),
            (33, Some(2 | 3)) | (65, Some(4))
        ) {
            let found = format!("{} bytes", point.len());
            return Err(refused("a point of 33 or 65 bytes", &found));
        }
        Self::from_point(curve, &point)
    }

    /// Reads a point in its SEC1 form.
    fn from_point(curve: Curve, point: &[u8]) -> Result<Self, RepoError> {
        let key = match curve {
            Curve::P256 => p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map(Point::P256),
            Curve::K256 => k256::ecdsa::VerifyingKey::from_sec1_bytes(point).map(Point::K256),
        };
        key.map(Self)
            .map_err(|_| refused("a point of the curve", &format!("none of {curve}")))
    }

    /// The key's curve.
    #[must_use]
    pub const fn curve(&self) -> Curve {
        match self.0 {
            Point::P256(_) => Curve::P256,
            Point::K256(_) => Curve::K256,
        }
    }

    /// The compressed point, of 33 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.0 {
            Point::P256(key) => key.to_encoded_point(true).as_bytes().to_vec(),
            Point::K256(key) => key.to_encoded_point(true).as_bytes().to_vec(),
        }
    }

    /// The key as a multikey.
    #[must_use]
    pub fn to_multikey(&self) -> String {
        let mut bytes = match self.curve() {
            Curve::P256 => P256_PREFIX.to_vec(),
            Curve::K256 => K256_PREFIX.to_vec(),
        };
        bytes.extend_from_slice(&self.to_bytes());
        let mut text = "z".to_owned();
        base::put_base58(&bytes, &mut text);
        text
    }

    /// Checks an ECDSA signature over the SHA-256 of `message`: r and s of 32 bytes each, s the lower of its
    /// two forms.
    ///
    /// # Errors
    /// [`RepoError::SignatureForm`], [`RepoError::SignatureHighS`], or [`RepoError::SignatureWrong`] if this
    /// key did not make it.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), RepoError> {
        let form = |expected| RepoError::SignatureForm {
            expected,
            found: signature.len(),
        };
        if signature.len() != SIGNATURE_BYTES {
            return Err(form("64 bytes, r and s"));
        }
        const RANGE: &str = "r and s within the curve's order";
        let verified = match &self.0 {
            Point::P256(key) => {
                let signature =
                    p256::ecdsa::Signature::from_slice(signature).map_err(|_| form(RANGE))?;
                if signature.normalize_s().is_some() {
                    return Err(RepoError::SignatureHighS);
                }
                key.verify(message, &signature)
            }
            Point::K256(key) => {
                let signature =
                    k256::ecdsa::Signature::from_slice(signature).map_err(|_| form(RANGE))?;
                if signature.normalize_s().is_some() {
                    return Err(RepoError::SignatureHighS);
                }
                key.verify(message, &signature)
            }
        };
        verified.map_err(|_| RepoError::SignatureWrong {
            curve: self.curve(),
        })
    }
}

/// The bytes of base58 multibase text.
fn decode(multibase: &str) -> Result<Vec<u8>, RepoError> {
    let text = multibase
        .strip_prefix('z')
        .ok_or_else(|| refused("base58 (\"z\")", &shown(multibase)))?;
    base::base58(text)
}

fn refused(expected: &'static str, found: &str) -> RepoError {
    RepoError::PublicKey {
        expected,
        found: found.to_owned(),
    }
}

/// The beginning of a text of any length.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(64).collect::<String>())
}
