//! Who accounts are, in the words of the routes.

use std::sync::Arc;

use orrery_repo::{PublicKey, RepoError};
use orrery_resolve::{Document, KeyKind, Resolver, SigningKey};
use orrery_server::{EdgeError, EdgeIdentity, MiniDoc};
use serde_json::value::RawValue;

use crate::problems;

/// The DID of a handle, confirmed both ways.
pub(crate) async fn resolve_handle(resolver: &Resolver, handle: &str) -> Result<String, EdgeError> {
    let did = resolver.resolve_handle(handle).await;
    did.map_err(problems::of_handle)
}

fn problem_of(identifier: &str) -> fn(orrery_resolve::ResolveError) -> EdgeError {
    if identifier.starts_with("did:") {
        problems::of_did
    } else {
        problems::of_handle
    }
}

/// What many clients need of an account.
pub(crate) async fn mini_doc(resolver: &Resolver, identifier: &str) -> Result<MiniDoc, EdgeError> {
    let identity = resolver
        .identity(identifier)
        .await
        .map_err(problem_of(identifier))?;
    let document = &identity.document;
    let lacks =
        |what| EdgeError::Invalid(format!("the document of {} names no {what}", document.did));
    let pds = document.pds.clone().ok_or_else(|| lacks("data server"))?;
    let key = document
        .signing_key
        .as_ref()
        .ok_or_else(|| lacks("signing key"))?;
    // Of older documents too: clients know multikeys.
    let signing_key =
        public_key(key).map_or_else(|_| key.multibase.clone(), |key| key.to_multikey());
    Ok(MiniDoc {
        did: document.did.clone(),
        handle: identity.handle.clone(),
        pds,
        signing_key,
    })
}

/// The key of a document, in whichever form.
pub(crate) fn public_key(key: &SigningKey) -> Result<PublicKey, RepoError> {
    let kind = match key.kind {
        KeyKind::Multikey => "Multikey",
        KeyKind::LegacyK256 => "EcdsaSecp256k1VerificationKey2019",
        KeyKind::LegacyP256 => "EcdsaSecp256r1VerificationKey2019",
        // Refused by its name.
        _ => "another type",
    };
    PublicKey::from_verification_method(kind, &key.multibase)
}

/// The account's document, with its confirmed handle.
pub(crate) async fn identity(
    resolver: &Resolver,
    identifier: &str,
) -> Result<EdgeIdentity, EdgeError> {
    let identity = resolver
        .identity(identifier)
        .await
        .map_err(problem_of(identifier))?;
    Ok(EdgeIdentity {
        did: identity.document.did.clone(),
        handle: identity.handle.clone(),
        document: raw(&identity.document)?,
    })
}

/// The document of a DID.
pub(crate) async fn did_document(
    resolver: &Resolver,
    did: &str,
) -> Result<Arc<RawValue>, EdgeError> {
    let document = resolver.document(did).await.map_err(problems::of_did)?;
    raw(&document)
}

/// Where a service of a DID is.
pub(crate) async fn service(
    resolver: &Resolver,
    identifier: &str,
    id: &str,
    kind: Option<&str>,
) -> Result<String, EdgeError> {
    let endpoint = resolver.service(identifier, id, kind).await;
    endpoint.map_err(problem_of(identifier))
}

fn raw(document: &Document) -> Result<Arc<RawValue>, EdgeError> {
    let raw = RawValue::from_string(document.raw.to_string());
    raw.map(Arc::from).map_err(|_| {
        EdgeError::ResolutionFailed(format!("the document of {} is no JSON", document.did))
    })
}
