//! The exclude list: reading it, adding to it, removing from it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::{BODY_BYTES_MAX, json};
use crate::api::calls::read_body;
use crate::app::App;
use crate::problem::Problem;
use crate::time::format_time;

/// The most entries of one request.
const ENTRIES_MAX: usize = 10_000;

/// Something that is to be excluded, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExcludeAsked {
    /// A DID, an at-uri or a URL.
    pub value: String,
    /// Whether a DID is meant as a target of links, and not as the account that wrote some.
    #[serde(default)]
    pub target: bool,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Something that is excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluded {
    /// `account` or `target`.
    pub kind: &'static str,
    /// The DID or the target.
    pub value: String,
    /// When it was added, microseconds since 1970.
    pub time_us: u64,
    /// Why; may be empty.
    pub reason: String,
}

/// The list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExcludeList {
    /// Its entries.
    pub entries: Vec<Excluded>,
    /// Accounts that the index does not hide yet, or still hides.
    pub pending: usize,
}

/// What became of a change of the list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ExcludeReport {
    /// Entries that were added or removed.
    pub changed: usize,
    /// Those that were there already, or were not there.
    pub unchanged: usize,
    /// Accounts that the index does not hide yet, or still hides.
    pub pending: usize,
    /// Of those that were not there to be removed, accounts that the index hid all the same, and shows again.
    #[serde(skip_serializing_if = "is_none")]
    pub shown: usize,
    /// Why they wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_none(count: &usize) -> bool {
    *count == 0
}

/// Why the list was not changed, or not durably. Nothing of the request was done, but for the last.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExcludeError {
    /// The request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The list cannot be written.
    #[error("{0}")]
    Failed(String),
    /// The list is changed, and only a power cut may undo that. Records and targets follow it at once; links of accounts do when it can be
    /// written again, and are `pending` until then.
    #[error("{0}")]
    NotDurable(String),
}

#[derive(Serialize)]
struct EntryBody<'a> {
    kind: &'a str,
    value: &'a str,
    time: String,
    reason: &'a str,
}

#[derive(Serialize)]
struct ListBody<'a> {
    entries: Vec<EntryBody<'a>>,
    pending: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    entries: Vec<ExcludeAsked>,
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Response<Body> {
    let list = app.index.excluded();
    let entries = list.entries.iter().map(|entry| EntryBody {
        kind: entry.kind,
        value: &entry.value,
        time: format_time(entry.time_us),
        reason: &entry.reason,
    });
    json(&ListBody {
        entries: entries.collect(),
        pending: list.pending,
    })
}

pub(super) async fn add(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let changed = change(app, request, true).await;
    changed.unwrap_or_else(Response::from)
}

pub(super) async fn remove(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let changed = change(app, request, false).await;
    changed.unwrap_or_else(Response::from)
}

async fn change(
    app: Arc<App>,
    request: Request,
    excluded: bool,
) -> Result<Response<Body>, Problem> {
    let body = read_body(request, BODY_BYTES_MAX, app.config.request_deadline).await?;
    let body: ChangeBody = serde_json::from_slice(&body)
        .map_err(|error| Problem::invalid(format!("the body: {error}")))?;
    if body.entries.len() > ENTRIES_MAX {
        return Err(Problem::invalid(format!(
            "entries has {} items; {ENTRIES_MAX} are the most of one request",
            body.entries.len()
        )));
    }
    let work = move || app.index.exclude(&body.entries, excluded);
    // It waits for the writer, and not in the place of a query.
    let report = tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Problem::internal())?;
    match report {
        Ok(report) => {
            let mut response = json(&report);
            if report.pending > 0 {
                *response.status_mut() = StatusCode::ACCEPTED;
            }
            Ok(response)
        }
        Err(ExcludeError::Invalid(message)) => Err(Problem::invalid(message)),
        Err(error @ (ExcludeError::Failed(_) | ExcludeError::NotDurable(_))) => {
            let name = match error {
                ExcludeError::NotDurable(_) => "NotDurable",
                _ => "NotWritten",
            };
            tracing::error!(%error, "a change of the exclude list failed");
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Err(Problem::new(status, name, error.to_string()))
        }
    }
}
