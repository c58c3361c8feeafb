//! Many records in one request.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

use super::body::{parse, too_many};
use super::{Answering, NO_CACHE, ready};
use crate::app::App;
use crate::hydrate::{Lack, RECORDS_MAX, RecordName, Teller, Wanted, fetch};
use crate::problem::Problem;
use crate::wire::edge::{BatchRecord, BatchRecords};

#[derive(Deserialize)]
struct Input {
    uris: Vec<String>,
}

/// `blue.orrery.repo.getRecords`.
pub(super) fn get_records(app: Arc<App>, _: IpAddr, body: Bytes) -> Answering {
    Box::pin(async move {
        let started = Instant::now();
        let Input { uris } = parse(&body)?;
        if uris.len() > RECORDS_MAX {
            return Err(too_many("uris", RECORDS_MAX));
        }
        let edge = app.edge.edge()?;
        let names = uris
            .iter()
            .map(|uri| RecordName::of_uri(uri).map_err(|why| Lack::invalid("invalid", why)));
        let fetching = fetch(edge, names.collect(), app.hydrate_limits(started));
        let fetched = app.edge.run(async { Ok(fetching.await) }).await?;
        let work = move || {
            let mut teller = Teller::new(Wanted::Whole);
            let records = uris
                .into_iter()
                .zip(&fetched)
                .map(|(uri, fetched)| BatchRecord {
                    uri,
                    hydrated: teller.tell(fetched),
                });
            let answer = BatchRecords {
                records: records.collect(),
            };
            serde_json::to_string(&answer).map_err(|_| Problem::internal())
        };
        Ok(ready(app.pool.run(work).await?, NO_CACHE))
    })
}
