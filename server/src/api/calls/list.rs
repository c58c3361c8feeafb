//! The records of a collection of an account.

use std::sync::Arc;

use super::errors::{By, problem};
use super::fields::{LIST_DEFAULT, LIST_MAX, read_collection, read_identifier};
use super::{Answering, RECORD_CACHE, ready};
use crate::app::App;
use crate::edge::{EdgePage, ListAsk};
use crate::params::Params;
use crate::problem::Problem;

/// `com.atproto.repo.listRecords`.
pub(super) fn list(app: Arc<App>, params: Params) -> Answering {
    Box::pin(async move {
        let repo = read_identifier(&params, "repo")?;
        let mut ask = ListAsk {
            did: repo,
            collection: read_collection(&params)?.to_owned(),
            limit: params.number("limit", 1..=LIST_MAX, LIST_DEFAULT)?,
            cursor: params
                .scalar("cursor")?
                .filter(|cursor| !cursor.is_empty())
                .map(str::to_owned),
            reverse: params.flag("reverse")?,
        };
        let edge = app.edge.edge()?;
        let work = async {
            if !ask.did.starts_with("did:") {
                let did = edge.resolve_handle(&ask.did).await;
                ask.did = did.map_err(|error| problem(error, By::List))?;
            }
            let page = edge.list(ask).await;
            page.map_err(|error| problem(error, By::List))
        };
        let page = app.edge.run(work).await?;
        Ok(ready(body(&page)?, RECORD_CACHE))
    })
}

/// The page around its records, each of which is the answer that getRecord gives.
fn body(page: &EdgePage) -> Result<Vec<u8>, Problem> {
    let length: usize = page.records.iter().map(|record| record.answer.len()).sum();
    let mut body = Vec::with_capacity(length + page.records.len() + 64);
    body.push(b'{');
    if let Some(cursor) = &page.cursor {
        body.extend_from_slice(b"\"cursor\":");
        serde_json::to_writer(&mut body, cursor).map_err(|_| Problem::internal())?;
        body.push(b',');
    }
    body.extend_from_slice(b"\"records\":[");
    for (i, record) in page.records.iter().enumerate() {
        if i > 0 {
            body.push(b',');
        }
        body.extend_from_slice(&record.answer);
    }
    body.extend_from_slice(b"]}");
    Ok(body)
}
