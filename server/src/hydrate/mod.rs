//! Records for answers that name many: each once however often it is named, some at a time, and none that takes longer than
//! the answer may. What is not there is told beside what is.

mod name;
mod path;
mod wanted;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use crate::edge::{Edge, EdgeError, EdgeRecord};
use crate::wire;

pub(crate) use name::{RecordName, identifier};
pub(crate) use path::{Path, Walk};
pub(crate) use wanted::Wanted;

/// The most bytes of records in one answer. What comes after them is told as unavailable.
pub(crate) const BYTES_MAX: usize = 16 << 20;
/// Fetched records of one answer, and fetched pages.
pub(crate) const RECORDS_MAX: usize = 100;

/// What came of fetching one record.
#[derive(Debug, Clone)]
pub(crate) enum Fetched {
    Found(Arc<EdgeRecord>),
    Lacking(Lack),
}

/// Why a record is not there.
#[derive(Debug, Clone)]
pub(crate) struct Lack {
    /// `deleted`, `hidden`, `unavailable` or `invalid`.
    pub(crate) status: &'static str,
    /// As `com.atproto.repo.getRecord` names it.
    pub(crate) error: Cow<'static, str>,
    pub(crate) reason: String,
    /// Whether it may be there the next time.
    pub(crate) is_passing: bool,
}

impl Lack {
    /// The name is none.
    pub(crate) fn invalid(status: &'static str, reason: String) -> Self {
        Self {
            status,
            error: "InvalidRequest".into(),
            reason,
            is_passing: false,
        }
    }

    pub(crate) fn late() -> Self {
        Self {
            status: "unavailable",
            error: "Timeout".into(),
            reason: "it was not there in time".to_owned(),
            is_passing: true,
        }
    }

    pub(crate) fn no_room() -> Self {
        Self {
            status: "unavailable",
            error: "ResponseTooLarge".into(),
            reason: "the answer is full; ask for this record alone".to_owned(),
            is_passing: false,
        }
    }
}

impl From<EdgeError> for Lack {
    fn from(error: EdgeError) -> Self {
        let status = match error {
            EdgeError::Deleted(_) => "deleted",
            EdgeError::Hidden(_) => "hidden",
            _ => "unavailable",
        };
        let is_passing = matches!(
            error,
            EdgeError::Busy { .. } | EdgeError::Unavailable(_) | EdgeError::ResolutionFailed(_)
        );
        let problem = crate::api::calls::record_problem(error);
        let (error, reason) = problem.into_parts();
        Self {
            status,
            error,
            reason,
            is_passing,
        }
    }
}

/// How long fetching may take, and how much of it is done at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) deadline: Instant,
    pub(crate) concurrent: usize,
}

/// The newest version of a record.
pub(crate) async fn newest(
    edge: &dyn Edge,
    name: &RecordName,
) -> Result<Arc<EdgeRecord>, EdgeError> {
    let did = match name.is_by_did() {
        true => Cow::Borrowed(name.authority.as_str()),
        false => Cow::Owned(edge.resolve_handle(&name.authority).await?),
    };
    match edge.at_once(&did, &name.collection, &name.rkey) {
        Some(record) => Ok(record),
        None => edge.record(&did, &name.collection, &name.rkey).await,
    }
}

/// The records of these names, in their order. No more of them are held at a time than an answer has room for, whatever is asked
/// of them: with those that do not fit, it ends.
pub(crate) async fn fetch(
    edge: &Arc<dyn Edge>,
    names: Vec<Result<RecordName, Lack>>,
    limits: Limits,
) -> Vec<Fetched> {
    let mut got: HashMap<RecordName, Option<Fetched>> = HashMap::new();
    let mut asked = Vec::new();
    let mut room = Room(BYTES_MAX);
    for name in names.iter().flatten() {
        if got.contains_key(name) {
            continue;
        }
        let at_once = match name.is_by_did() {
            true => edge.at_once(&name.authority, &name.collection, &name.rkey),
            false => None,
        };
        if at_once.is_none() {
            let (edge, name) = (Arc::clone(edge), name.clone());
            asked.push(async move {
                let result = newest(&*edge, &name).await;
                (name, result)
            });
        }
        let at_once = at_once.map(|record| match room.take(record.value_json().len()) {
            Ok(()) => Fetched::Found(record),
            Err(lack) => Fetched::Lacking(lack),
        });
        got.insert(name.clone(), at_once);
    }
    let mut asked = stream::iter(asked).buffer_unordered(limits.concurrent);
    let mut missing = Lack::late();
    while let Ok(Some((name, result))) = timeout_at(limits.deadline, asked.next()).await {
        let fetched = match result {
            Ok(record) => match room.take(record.value_json().len()) {
                Ok(()) => Fetched::Found(record),
                Err(lack) => {
                    missing = lack;
                    break;
                }
            },
            Err(error) => Fetched::Lacking(error.into()),
        };
        got.insert(name, Some(fetched));
    }
    drop(asked);
    let fetched = names.into_iter().map(|name| match name {
        Err(lack) => Fetched::Lacking(lack),
        Ok(name) => match got.get(&name) {
            Some(Some(fetched)) => fetched.clone(),
            _ => Fetched::Lacking(missing.clone()),
        },
    });
    fetched.collect()
}

/// Bytes that are left of an answer.
struct Room(usize);

impl Room {
    fn take(&mut self, bytes: usize) -> Result<(), Lack> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(Lack::no_room)?;
        Ok(())
    }
}

/// Puts fetched records into the form of answers, as far as there is room.
pub(crate) struct Teller {
    wanted: Wanted,
    room: Room,
    walk: Walk,
}

impl Teller {
    pub(crate) fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            room: Room(BYTES_MAX),
            walk: Walk::default(),
        }
    }

    pub(crate) fn tell(&mut self, fetched: &Fetched) -> wire::Hydrated {
        let record = match fetched {
            Fetched::Found(record) => record,
            Fetched::Lacking(lack) => return wire::Hydrated::lacking(lack.clone()),
        };
        match self.value(record) {
            Ok((value, values)) => wire::Hydrated {
                status: "found",
                cid: record.cid.clone(),
                value,
                values,
                error: None,
                reason: None,
            },
            Err(lack) => wire::Hydrated::lacking(lack),
        }
    }

    /// The whole record, if it is wanted.
    pub(crate) fn whole(&mut self, record: &EdgeRecord) -> Result<Box<RawValue>, Lack> {
        let text = json_of(record)?;
        self.room.take(text.get().len())?;
        Ok(text.to_owned())
    }

    fn value(
        &mut self,
        record: &EdgeRecord,
    ) -> Result<(Option<Box<RawValue>>, wire::Values), Lack> {
        if matches!(self.wanted, Wanted::Whole) {
            return Ok((Some(self.whole(record)?), None));
        }
        let text = json_of(record)?;
        let mut chosen = std::collections::BTreeMap::new();
        let mut taken = 0;
        for path in self.wanted.paths() {
            let values = path.values(text, path::VALUES_MAX, &mut self.walk);
            taken += values.iter().map(|value| value.get().len()).sum::<usize>();
            let values = values.into_iter().map(ToOwned::to_owned).collect();
            chosen.insert(path.as_str().to_owned(), values);
            if taken > self.room.0 || self.walk.is_over() {
                return Err(Lack::no_room());
            }
        }
        self.room.take(taken)?;
        Ok((None, Some(chosen)))
    }
}

fn json_of(record: &EdgeRecord) -> Result<&RawValue, Lack> {
    serde_json::from_slice(record.value_json()).map_err(|error| {
        tracing::error!(%error, uri = record.uri, "a record is no JSON");
        Lack {
            status: "unavailable",
            error: "ServerError".into(),
            reason: "the record is no JSON".to_owned(),
            is_passing: false,
        }
    })
}
