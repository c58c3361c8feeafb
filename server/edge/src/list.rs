//! Pages of an account's records: its data server's, with what the stream said of late. A data server may answer out of a cache that is
//! some moments old, and a record that is asked for by itself is told as the stream has it: lists agree with that.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_engine::{AccountState, Progress, Recorded};
use orrery_formats::event::{Body, Operation};
use orrery_resolve::origin::{OriginRecord, list_records};
use orrery_server::{EdgeError, EdgePage, EdgeRecord, ListAsk};

use crate::freshness::Stream;
use crate::records::{Records, event_record, hidden, proven_cid};
use crate::{problems, render};

/// How many of the newest events are looked through for records that a page lacks: those of some seconds, which are in memory or
/// nearly so.
const EVENTS_BEFORE: u64 = 8_192;
/// How many more, which came while the page was on its way. More come only while the index catches up.
const EVENTS_MAX: usize = 32_768;

/// What the stream said of a key last.
type Changes = BTreeMap<String, Option<Arc<EdgeRecord>>>;

/// A page.
pub(crate) async fn find(records: &Arc<Records>, ask: ListAsk) -> Result<EdgePage, EdgeError> {
    if !records.options.fetches {
        return Err(EdgeError::Unavailable(
            "lists come from data servers, and this server asks none".to_owned(),
        ));
    }
    check_account(records, &ask.did).await?;
    let as_of = records.visible();
    let document = records
        .resolver
        .document(&ask.did)
        .await
        .map_err(problems::of_owner)?;
    let pds = document.pds.as_deref().ok_or_else(|| {
        EdgeError::Unavailable(format!("the document of {} names no data server", ask.did))
    })?;
    let page = list_records(
        &*records.network,
        pds,
        &ask.did,
        &ask.collection,
        ask.limit,
        ask.cursor.as_deref(),
        ask.reverse,
    )
    .await
    .map_err(problems::of_origin)?;
    // Hidden or deleted while the page was on its way.
    check_account(records, &ask.did).await?;
    let here = Arc::clone(records);
    records
        .lookups
        .run(move || {
            let prefix = render::uri(&ask.did, &ask.collection, "");
            let mut listed = Vec::with_capacity(page.records.len());
            let stream = here.stream(&ask.collection);
            let rkey_of = |record: Option<&OriginRecord>| {
                let rkey = record?.uri.strip_prefix(&prefix)?;
                Some(rkey.to_owned())
            };
            let span = Span {
                first: rkey_of(page.records.first()),
                last: rkey_of(page.records.last()),
                is_last: page.cursor.is_none(),
            };
            for record in page.records {
                match of_stream(&here, &ask, &stream, record.uri.strip_prefix(&prefix))? {
                    None => {}
                    Some(Ok(newest)) => {
                        listed.push(newest);
                        continue;
                    }
                    Some(Err(Gone)) => continue,
                }
                let json = record.value.get().as_bytes();
                let cid = proven_cid(record.cid.as_deref(), json)?;
                listed.push(Arc::new(render::record(record.uri, Some(cid), json)));
            }
            let changes = changes(&here, &ask, as_of)?;
            Ok(EdgePage {
                records: apply(listed, changes, &prefix, &ask, &span),
                cursor: page.cursor,
            })
        })
        .await?
}

/// What the data server's page spans, whatever of it is gone.
struct Span {
    first: Option<String>,
    last: Option<String>,
    /// No page follows.
    is_last: bool,
}

/// A record that is no longer there.
struct Gone;

/// What the stream said of a record last, as one that is asked for by itself is told. `None`: nothing that counts.
#[allow(
    clippy::type_complexity,
    reason = "three ways, each with its own value"
)]
fn of_stream(
    records: &Records,
    ask: &ListAsk,
    stream: &Stream,
    rkey: Option<&str>,
) -> Result<Option<Result<Arc<EdgeRecord>, Gone>>, EdgeError> {
    let Some(rkey) = rkey.filter(|_| stream.whole_since_us.is_some()) else {
        return Ok(None);
    };
    let recorded = records.store.record(&ask.did, &ask.collection, rkey);
    let recorded = recorded.map_err(|error| problems::of_engine(&records.store, &error))?;
    match &recorded {
        Recorded::Deleted { time_us, .. } if stream.vouches_since(*time_us) => Ok(Some(Err(Gone))),
        Recorded::Found { time_us, .. } if stream.vouches_since(*time_us) => {
            let uri = render::uri(&ask.did, &ask.collection, rkey);
            Ok(Some(Ok(records.of_event(&uri, recorded)?)))
        }
        _ => Ok(None),
    }
}

async fn check_account(records: &Arc<Records>, did: &str) -> Result<(), EdgeError> {
    let here = Arc::clone(records);
    let did = did.to_owned();
    let account = records
        .lookups
        .run(move || here.store.account(&did))
        .await?;
    let account = account.map_err(|error| problems::of_engine(&records.store, &error))?;
    match account.state {
        AccountState::Hidden { status } => Err(EdgeError::Hidden(hidden(status.as_deref()))),
        AccountState::Deleted => Err(EdgeError::Deleted("the account was deleted".to_owned())),
        AccountState::Active | AccountState::Unknown => Ok(()),
    }
}

/// The newest version of each key of the collection that the newest events tell of, `as_of` being visible before the page was
/// asked for. While the index is behind, the data server knows better than any of them.
fn changes(records: &Records, ask: &ListAsk, as_of: u64) -> Result<Changes, EdgeError> {
    let stream = records.stream(&ask.collection);
    let mut changes = Changes::new();
    if stream.whole_since_us.is_none() {
        return Ok(changes);
    }
    let first = as_of
        .saturating_sub(EVENTS_BEFORE)
        .max(records.store.log_floor());
    let mut reader = records.store.events_from(first);
    let read = reader.read(EVENTS_MAX, &mut |accepted| {
        if accepted.event.did != ask.did || !stream.vouches_since(accepted.event.time_us) {
            return;
        }
        let (collection, rkey, operation) = match accepted.event.body {
            Body::Commit {
                collection,
                rkey,
                operation,
                ..
            } => (collection, rkey, operation),
            // Whether its records went with it is for the data server to say.
            Body::Account { .. } => return changes.clear(),
            Body::Identity { .. } | Body::Exclusion { .. } => return,
        };
        if collection != ask.collection {
            return;
        }
        let record = match operation {
            Operation::Delete => None,
            Operation::Create(record) | Operation::Update(record) => {
                let uri = render::uri(&ask.did, collection, rkey);
                match event_record(&uri, record.cid, record.encoding, record.body) {
                    Ok(record) => Some(Arc::new(record)),
                    // What cannot be read stays as the data server has it.
                    Err(_) => return,
                }
            }
        };
        changes.insert(rkey.to_owned(), record);
    });
    match read.map_err(|error| problems::of_engine(&records.store, &error))? {
        Progress::CaughtUp => Ok(changes),
        // Too much has come since, or some of it is lost: a mixture would be neither old nor new.
        Progress::Read | Progress::Lost { .. } | Progress::Trimmed { .. } => Ok(Changes::new()),
    }
}

/// Puts the changes into a page. A key that the page does not have belongs into it where it lies between its first and its last,
/// or before the first of a first page, or behind the last of a last one.
fn apply(
    listed: Vec<Arc<EdgeRecord>>,
    mut changes: Changes,
    prefix: &str,
    ask: &ListAsk,
    span: &Span,
) -> Vec<Arc<EdgeRecord>> {
    if changes.is_empty() {
        return listed;
    }
    let rkey_of = |record: &EdgeRecord| {
        let rkey = record.uri.strip_prefix(prefix);
        rkey.unwrap_or_default().to_owned()
    };
    // Walked from the greatest key down, unless in reverse.
    let comes_before = |a: &str, b: &str| if ask.reverse { a < b } else { a > b };
    let is_first_page = ask.cursor.is_none();
    let mut page = Vec::with_capacity(listed.len());
    for record in listed {
        match changes.remove(&rkey_of(&record)) {
            None => page.push(record),
            Some(None) => {}
            Some(Some(newer)) => page.push(newer),
        }
    }
    let belongs = |rkey: &str| {
        let is_behind_start = is_first_page
            || span
                .first
                .as_deref()
                .is_some_and(|first| comes_before(first, rkey));
        let is_before_end = span.is_last
            || span
                .last
                .as_deref()
                .is_some_and(|last| comes_before(rkey, last));
        is_behind_start && is_before_end
    };
    let added = changes.into_iter().filter(|(rkey, _)| belongs(rkey));
    page.extend(added.filter_map(|(_, record)| record));
    page.sort_by(|a, b| {
        let (a, b) = (rkey_of(a), rkey_of(b));
        if ask.reverse { a.cmp(&b) } else { b.cmp(&a) }
    });
    page
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const DID: &str = "did:plc:a";

    fn record(rkey: &str, json: &str) -> Arc<EdgeRecord> {
        let uri = render::uri(DID, "a.b.c", rkey);
        Arc::new(render::record(uri, None, json.as_bytes()))
    }

    fn ask(cursor: Option<&str>, reverse: bool) -> ListAsk {
        ListAsk {
            did: DID.to_owned(),
            collection: "a.b.c".to_owned(),
            limit: 50,
            cursor: cursor.map(str::to_owned),
            reverse,
        }
    }

    fn page(
        keys: &[&str],
        changes: &[(&str, bool)],
        ask: &ListAsk,
        is_last: bool,
    ) -> Vec<(String, String)> {
        let listed = keys.iter().map(|key| record(key, "1")).collect();
        let changes = changes
            .iter()
            .map(|(key, is_there)| ((*key).to_owned(), is_there.then(|| record(key, "2"))))
            .collect();
        let span = Span {
            first: keys.first().map(|key| (*key).to_owned()),
            last: keys.last().map(|key| (*key).to_owned()),
            is_last,
        };
        let page = apply(listed, changes, "at://did:plc:a/a.b.c/", ask, &span);
        page.iter()
            .map(|record| {
                let rkey = record.uri.rsplit('/').next().unwrap().to_owned();
                (
                    rkey,
                    String::from_utf8(record.value_json().to_vec()).unwrap(),
                )
            })
            .collect()
    }

    fn own(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(key, json): &(&str, &str)| ((*key).to_owned(), (*json).to_owned());
        expected.iter().map(own).collect()
    }

    #[test]
    fn deletes_updates_and_creates_of_the_page_are_applied() {
        let changes = [
            ("k9", true),
            ("k6", false),
            ("k4", true),
            ("k3", true),
            ("k0", true),
        ];
        let got = page(
            &["k8", "k6", "k4", "k2"],
            &changes,
            &ask(None, false),
            false,
        );
        // k0 comes on a later page.
        assert_eq!(
            got,
            own(&[
                ("k9", "2"),
                ("k8", "1"),
                ("k4", "2"),
                ("k3", "2"),
                ("k2", "1")
            ])
        );
    }

    #[test]
    fn a_page_in_the_middle_takes_nothing_from_before_it_and_the_last_one_all_behind() {
        let changes = [("k9", true), ("k0", true)];
        let middle = page(&["k8", "k2"], &changes, &ask(Some("k9"), false), false);
        assert_eq!(middle, own(&[("k8", "1"), ("k2", "1")]));
        let last = page(&["k8", "k2"], &changes, &ask(Some("k9"), false), true);
        assert_eq!(last, own(&[("k8", "1"), ("k2", "1"), ("k0", "2")]));
        let empty = page(&[], &changes, &ask(None, false), true);
        assert_eq!(empty, own(&[("k9", "2"), ("k0", "2")]));
    }

    #[test]
    fn in_reverse_the_order_and_the_ends_are_the_other_way_round() {
        let changes = [("k9", true), ("k5", true), ("k0", true)];
        let got = page(&["k2", "k8"], &changes, &ask(None, true), false);
        assert_eq!(
            got,
            own(&[("k0", "2"), ("k2", "1"), ("k5", "2"), ("k8", "1")])
        );
    }
}
