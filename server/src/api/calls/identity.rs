//! Who an account is: handles, documents, services.

use std::sync::Arc;

use super::errors::{By, problem};
use super::fields::{read_did, read_handle, read_identifier};
use super::{Answering, IDENTITY_CACHE, json};
use crate::app::App;
use crate::params::Params;
use crate::problem::Problem;
use crate::wire::edge as wire;

/// `com.atproto.identity.resolveHandle`.
pub(super) fn resolve_handle(app: Arc<App>, params: Params) -> Answering {
    Box::pin(async move {
        let handle = read_handle(&params, "handle")?;
        let edge = app.edge.edge()?;
        let work = async {
            let did = edge.resolve_handle(&handle).await;
            did.map_err(|error| problem(error, By::Handle))
        };
        let did = app.edge.run(work).await?;
        json(&wire::ResolvedHandle { did }, IDENTITY_CACHE)
    })
}

/// `blue.microcosm.identity.resolveMiniDoc`.
pub(super) fn mini_doc(app: Arc<App>, params: Params) -> Answering {
    Box::pin(async move {
        let identifier = read_identifier(&params, "identifier")?;
        let edge = app.edge.edge()?;
        let work = async {
            let doc = edge.mini_doc(&identifier).await;
            doc.map_err(|error| problem(error, By::MiniDoc))
        };
        let doc = app.edge.run(work).await?;
        json(&wire::MiniDoc::from(doc), IDENTITY_CACHE)
    })
}

/// `com.bad-example.identity.resolveService`.
pub(super) fn service(app: Arc<App>, params: Params) -> Answering {
    Box::pin(async move {
        let account = read_identifier(&params, "did")?;
        let id = params.required_text("id")?;
        // With the DID before it, it is that account's all the same.
        let id = match id.split_once('#') {
            Some((_, name)) if !name.is_empty() => format!("#{name}"),
            _ => {
                return Err(Problem::invalid(
                    "parameter id must be that of a service, such as #atproto_pds",
                ));
            }
        };
        let kind = params.scalar("type")?;
        if kind.is_some_and(str::is_empty) {
            return Err(Problem::invalid("parameter type must not be empty"));
        }
        let edge = app.edge.edge()?;
        let work = async {
            let did = match account.starts_with("did:") {
                true => Ok(account),
                false => edge.resolve_handle(&account).await,
            };
            let did = did.map_err(|error| problem(error, By::Service))?;
            let endpoint = edge.service(&did, &id, kind).await;
            endpoint.map_err(|error| problem(error, By::Service))
        };
        let endpoint = app.edge.run(work).await?;
        json(&wire::ResolvedService { endpoint }, IDENTITY_CACHE)
    })
}

/// `com.atproto.identity.resolveDid`.
pub(super) fn resolve_did(app: Arc<App>, params: Params) -> Answering {
    Box::pin(async move {
        let did = read_did(&params, "did")?;
        let edge = app.edge.edge()?;
        let work = async {
            let document = edge.did_document(did).await;
            document.map_err(|error| problem(error, By::Identity))
        };
        let document = app.edge.run(work).await?;
        json(&wire::ResolvedDid { did_doc: &document }, IDENTITY_CACHE)
    })
}

/// `com.atproto.identity.resolveIdentity`.
pub(super) fn resolve_identity(app: Arc<App>, params: Params) -> Answering {
    Box::pin(async move {
        let identifier = read_identifier(&params, "identifier")?;
        let edge = app.edge.edge()?;
        let work = async {
            let identity = edge.identity(&identifier).await;
            identity.map_err(|error| problem(error, By::Identity))
        };
        let identity = app.edge.run(work).await?;
        let answer = wire::ResolvedIdentity {
            did: &identity.did,
            did_doc: &identity.document,
            handle: &identity.handle,
        };
        json(&answer, IDENTITY_CACHE)
    })
}
