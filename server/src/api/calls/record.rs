//! One record: by its parts or its at-uri, as JSON or with its proof.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, Uri, header};
use orrery_links::syntax::{Did, Nsid, RecordKey};

use super::errors::{By, problem};
use super::fields::{read_cid, read_collection, read_did, read_identifier, read_rkey};
use super::{Answering, RECORD_CACHE, ready};
use crate::app::App;
use crate::hydrate::{RecordName, newest};
use crate::params::{Params, decode};
use crate::problem::Problem;

pub(super) const CAR: &str = "application/vnd.ipld.car";

/// Answers a request for a record of a DID that is in memory. `None` where anything is out of the ordinary.
pub(super) fn at_once(app: &App, uri: &Uri) -> Option<Response<Body>> {
    let edge = app.edge.edge().ok()?;
    let asked = Asked::read(uri.query()?)?;
    let record = edge.at_once(&asked.repo?, &asked.collection?, &asked.rkey?)?;
    if asked.cid.is_some() && asked.cid.as_deref() != record.cid.as_deref() {
        return None;
    }
    Some(ready(record.answer.clone(), RECORD_CACHE))
}

/// The parameters of a request, borrowed where nothing is escaped.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked<'q> {
    repo: Option<Cow<'q, str>>,
    collection: Option<Cow<'q, str>>,
    rkey: Option<Cow<'q, str>>,
    cid: Option<Cow<'q, str>>,
}

impl<'q> Asked<'q> {
    /// `None` for what is not a DID, a collection and a key, each once: the other way knows what to say.
    fn read(query: &'q str) -> Option<Self> {
        let mut asked = Self::default();
        for piece in query.split('&') {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let place = match name {
                "repo" => &mut asked.repo,
                "collection" => &mut asked.collection,
                "rkey" => &mut asked.rkey,
                "cid" => &mut asked.cid,
                // An escaped name may be one of those.
                _ if name.contains(['%', '+']) => return None,
                _ => continue,
            };
            let value = match value.contains(['%', '+']) {
                true => Cow::Owned(decode(value).ok()?),
                false => Cow::Borrowed(value),
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        Did::parse(asked.repo.as_deref()?).ok()?;
        Nsid::parse(asked.collection.as_deref()?).ok()?;
        RecordKey::parse(asked.rkey.as_deref()?).ok()?;
        Some(asked)
    }
}

/// `com.atproto.repo.getRecord`.
pub(super) fn get(app: Arc<App>, params: Params) -> Answering {
    Box::pin(async move {
        let name = RecordName {
            authority: read_identifier(&params, "repo")?,
            collection: read_collection(&params)?.to_owned(),
            rkey: read_rkey(&params)?.to_owned(),
        };
        answer(&app, &name, read_cid(&params)?).await
    })
}

/// `blue.microcosm.repo.getRecordByUri`.
pub(super) fn get_by_uri(app: Arc<App>, params: Params) -> Answering {
    Box::pin(async move {
        let uri = params.required("at_uri")?;
        let name = RecordName::of_uri(uri).map_err(|why| {
            Problem::invalid(format!(
                "parameter at_uri must be the at-uri of a record: {why}"
            ))
        })?;
        answer(&app, &name, read_cid(&params)?).await
    })
}

async fn answer(
    app: &App,
    name: &RecordName,
    cid: Option<&str>,
) -> Result<Response<Body>, Problem> {
    let edge = app.edge.edge()?;
    let work = async {
        let record = newest(&**edge, name).await;
        record.map_err(|error| problem(error, By::Record))
    };
    let record = app.edge.run(work).await?;
    match (cid, record.cid.as_deref()) {
        (Some(cid), Some(newest)) if cid != newest => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "RecordNotFound",
            format!("the newest version of the record is {newest}, and others are not kept"),
        )),
        (Some(_), None) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "RecordNotFound",
            "the content id of the newest version is not known",
        )),
        _ => Ok(ready(record.answer.clone(), RECORD_CACHE)),
    }
}

/// `com.atproto.sync.getRecord`.
pub(super) fn proof(app: Arc<App>, params: Params) -> Answering {
    Box::pin(async move {
        let did = read_did(&params, "did")?;
        let (collection, rkey) = (read_collection(&params)?, read_rkey(&params)?);
        let edge = app.edge.edge()?;
        let work = async {
            let proof = edge.proof(did, collection, rkey).await;
            proof.map_err(|error| problem(error, By::Proof))
        };
        let proof = app.edge.run(work).await?;
        let mut response = Response::new(Body::from(proof));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CAR));
        headers.insert(header::CACHE_CONTROL, RECORD_CACHE);
        Ok(response)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_reads_what_the_long_way_reads() {
        for (query, owned) in [
            ("repo=did:plc:a&collection=a.b.c&rkey=k", false),
            ("rkey=k&x=y&repo=did:plc:a&collection=a.b.c", false),
            (
                "repo=did%3Aplc%3Aa&collection=a.b.c&rkey=k&cid=bafyreia",
                true,
            ),
        ] {
            let asked = Asked::read(query).unwrap();
            let params = Params::parse(query).unwrap();
            for (name, value) in [
                ("repo", &asked.repo),
                ("collection", &asked.collection),
                ("rkey", &asked.rkey),
                ("cid", &asked.cid),
            ] {
                assert_eq!(value.as_deref(), params.scalar(name).unwrap(), "{query}");
            }
            assert_eq!(matches!(asked.repo, Some(Cow::Owned(_))), owned);
        }
        for out_of_the_ordinary in [
            "",
            "repo=alice.example&collection=a.b.c&rkey=k",
            "repo=did:plc:a&collection=a.b.c",
            "repo=did:plc:a&collection=a.b&rkey=k",
            "repo=did:plc:a&collection=a.b.c&rkey=..",
            "repo=did:plc:a&collection=a.b.c&rkey=k&rkey=k",
            "repo=did:plc:a&collection=a.b.c&rkey=k&%63id=x",
            "repo=did:plc:a&collection=a.b.c&rkey=%ff",
            "repo=did:plc:a&collection=a.b.c&rkey=a+b",
        ] {
            assert_eq!(
                Asked::read(out_of_the_ordinary),
                None,
                "{out_of_the_ordinary}"
            );
        }
    }
}
