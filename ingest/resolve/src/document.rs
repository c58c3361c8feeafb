//! DID documents: what they say about an account.
//!
//! Owns [`Document`] and the reading of its JSON. Strict on whose document it is; lenient on the rest, because an
//! account without a valid handle or key still has records, and one without a PDS still has a handle. What cannot be
//! used is as if it were not there.

use std::fmt;

use orrery_links::syntax::Handle;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::base::base_of;
use crate::error::ResolveError;

/// The id of the service that holds an account's records.
const PDS_ID: &str = "#atproto_pds";
const PDS_KIND: &str = "AtprotoPersonalDataServer";
const KEY_ID: &str = "#atproto";

/// Most services that are read of a document; those beyond are not.
const SERVICES_MAX: usize = 128;
/// Longest id, type or endpoint of a service that is kept; services with longer ones are not.
const STRING_BYTES_MAX: usize = 2048;
/// Longest key that is kept.
const KEY_BYTES_MAX: usize = 256;

/// A DID document.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// Whose document it is.
    pub did: String,
    /// The handle it claims, in lower case: the first of `alsoKnownAs` that is `at://` and a valid handle. Nothing
    /// says yet that the handle agrees.
    pub handle: Option<String>,
    /// The endpoint of the service `#atproto_pds`, as it stands there: an http(s) URL without a user name.
    pub pds: Option<String>,
    /// The key `#atproto`.
    pub signing_key: Option<SigningKey>,
    /// All services whose endpoint is a string, in the document's order.
    pub services: Vec<Service>,
    /// The JSON, byte for byte.
    pub raw: Box<str>,
}

/// A key that signs an account's commits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SigningKey {
    /// The key, as it stands in the document.
    pub multibase: String,
    /// What kind of key.
    pub kind: KeyKind,
}

impl SigningKey {
    /// Whether it is of a type from before `Multikey`: then `multibase` holds a bare point of the curve, without the
    /// prefix that tells which curve.
    #[must_use]
    pub const fn is_legacy(&self) -> bool {
        !matches!(self.kind, KeyKind::Multikey)
    }
}

/// How a key is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// `Multikey`: the key says itself which curve it is of.
    Multikey,
    /// `EcdsaSecp256k1VerificationKey2019`: a bare point of K-256.
    LegacyK256,
    /// `EcdsaSecp256r1VerificationKey2019`: a bare point of P-256.
    LegacyP256,
}

/// A service of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// The id, as it stands in the document: `#x` or `<did>#x`.
    pub id: String,
    /// The type.
    pub kind: String,
    /// The endpoint. Any string: what is to be asked there must be checked first.
    pub endpoint: String,
}

#[derive(Deserialize)]
struct Outline<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "alsoKnownAs")]
    also_known_as: Option<&'a RawValue>,
    #[serde(borrow, rename = "verificationMethod")]
    verification_method: Option<&'a RawValue>,
    #[serde(borrow)]
    service: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct MethodOutline<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    controller: Option<&'a RawValue>,
    #[serde(borrow, rename = "publicKeyMultibase")]
    key: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ServiceOutline<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, rename = "serviceEndpoint")]
    endpoint: Option<&'a RawValue>,
}

impl Document {
    /// Most bytes of JSON.
    pub const BYTES_MAX: usize = 256 << 10;

    /// Reads the document of `did`.
    ///
    /// # Errors
    /// [`ResolveError::Unusable`] when it is not a JSON object within the size limit whose `id` is exactly `did`.
    pub fn parse(did: &str, json: &[u8]) -> Result<Self, ResolveError> {
        let unusable = |problem: String| ResolveError::Unusable {
            did: did.to_owned(),
            problem,
        };
        if json.len() > Self::BYTES_MAX {
            let (bytes, most) = (json.len(), Self::BYTES_MAX);
            return Err(unusable(format!("{bytes} bytes, more than {most}")));
        }
        let text = std::str::from_utf8(json).map_err(|error| unusable(error.to_string()))?;
        // A derived struct can be read from an array too; a document is an object.
        if !text.trim_start().starts_with('{') {
            return Err(unusable("not a JSON object".to_owned()));
        }
        let outline: Outline<'_> =
            serde_json::from_str(text).map_err(|error| unusable(error.to_string()))?;
        let id = outline.id.and_then(string);
        if id.as_deref() != Some(did) {
            let id = id.map_or_else(|| "none".to_owned(), |id| abridged(&id));
            return Err(unusable(format!("its id is {id}")));
        }
        let services = services(outline.service);
        Ok(Self {
            did: did.to_owned(),
            handle: handle(outline.also_known_as),
            pds: pds(&services, did),
            signing_key: signing_key(outline.verification_method, did),
            services,
            raw: text.into(),
        })
    }

    /// The first service with this id, in either of its forms (`#x` or `<did>#x`, here as in the document), and this
    /// type, if one is given.
    #[must_use]
    pub fn service(&self, id: &str, kind: Option<&str>) -> Option<&Service> {
        let wanted = fragment(id, &self.did)?;
        self.services.iter().find(|service| {
            fragment(&service.id, &self.did) == Some(wanted)
                && kind.is_none_or(|kind| service.kind == kind)
        })
    }

    /// Bytes of memory, about.
    pub(crate) fn weight(&self) -> usize {
        let services: usize = self
            .services
            .iter()
            .map(|service| service.id.len() + service.kind.len() + service.endpoint.len() + 72)
            .sum();
        size_of::<Self>() + self.did.len() + self.raw.len() + services + 3 * 64
    }
}

/// Without the JSON, which strangers write and logs need not hold.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("did", &self.did)
            .field("handle", &self.handle)
            .field("pds", &self.pds)
            .field("signing_key", &self.signing_key)
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}

/// `#x` of `#x` or `<did>#x`.
fn fragment<'a>(id: &'a str, did: &str) -> Option<&'a str> {
    let fragment = id.strip_prefix(did).unwrap_or(id);
    fragment.starts_with('#').then_some(fragment)
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// The elements of an array, or a single value that is none as if it stood in one.
fn elements(raw: Option<&RawValue>) -> Vec<&RawValue> {
    let Some(raw) = raw else {
        return Vec::new();
    };
    if raw.get().starts_with('[') {
        serde_json::from_str(raw.get()).unwrap_or_default()
    } else {
        vec![raw]
    }
}

/// A struct is only read from an object.
fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    if !raw.get().starts_with('{') {
        return None;
    }
    serde_json::from_str(raw.get()).ok()
}

fn abridged(text: &str) -> String {
    const CHARACTERS: usize = 80;
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

fn handle(also_known_as: Option<&RawValue>) -> Option<String> {
    elements(also_known_as).into_iter().find_map(|raw| {
        let name = string(raw)?.strip_prefix("at://")?.to_ascii_lowercase();
        Handle::parse(&name).is_ok().then_some(name)
    })
}

fn services(raw: Option<&RawValue>) -> Vec<Service> {
    let services = elements(raw).into_iter().filter_map(|raw| {
        let outline: ServiceOutline<'_> = object(raw)?;
        let service = Service {
            id: string(outline.id?)?,
            // Some write the one type as a list of one.
            kind: elements(outline.kind).into_iter().find_map(string)?,
            endpoint: string(outline.endpoint?)?,
        };
        [&service.id, &service.kind, &service.endpoint]
            .iter()
            .all(|part| part.len() <= STRING_BYTES_MAX)
            .then_some(service)
    });
    services.take(SERVICES_MAX).collect()
}

fn pds(services: &[Service], did: &str) -> Option<String> {
    services
        .iter()
        .find(|service| {
            fragment(&service.id, did) == Some(PDS_ID)
                && service.kind == PDS_KIND
                && base_of(&service.endpoint).is_ok()
        })
        .map(|service| service.endpoint.clone())
}

fn signing_key(raw: Option<&RawValue>, did: &str) -> Option<SigningKey> {
    elements(raw).into_iter().find_map(|raw| {
        let outline: MethodOutline<'_> = object(raw)?;
        let id = string(outline.id?)?;
        if fragment(&id, did) != Some(KEY_ID) {
            return None;
        }
        // Somebody else's key is not the account's; a method that names nobody stands in the account's document.
        if let Some(controller) = outline.controller
            && string(controller).as_deref() != Some(did)
        {
            return None;
        }
        let kind = match string(outline.kind?)?.as_str() {
            "Multikey" => KeyKind::Multikey,
            "EcdsaSecp256k1VerificationKey2019" => KeyKind::LegacyK256,
            "EcdsaSecp256r1VerificationKey2019" => KeyKind::LegacyP256,
            _ => return None,
        };
        let multibase = string(outline.key?)?;
        is_base58(&multibase).then_some(SigningKey { multibase, kind })
    })
}

/// Multibase with the prefix `z`, base 58 as Bitcoin writes it.
fn is_base58(key: &str) -> bool {
    key.len() <= KEY_BYTES_MAX
        && key.strip_prefix('z').is_some_and(|digits| {
            !digits.is_empty()
                && digits
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l'))
        })
}
