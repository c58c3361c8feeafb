//! What the server answers: endpoints that ask the index, and plain routes that do not. Both are tables, from which
//! the router, the pages and the OpenAPI document are made.

pub(crate) mod calls;
mod fields;
pub(crate) mod hint;
pub(crate) mod links;
mod many;
pub(crate) mod meta;
pub(crate) mod open;
pub(crate) mod plain;
mod stats;
pub(crate) mod stream;
mod table;

use schemars::{Schema, SchemaGenerator};

use crate::hydrate::Wanted;
use crate::index::{Answer, Index};
use crate::negotiate::View;
use crate::params::Params;
use crate::problem::Problem;
use crate::wire::{Coverage, Hydrated, Record};

pub(crate) use fields::{Field, FieldKind};
pub(crate) use table::ENDPOINTS;

/// One endpoint that answers from the index.
pub(crate) struct Endpoint {
    pub(crate) path: &'static str,
    pub(crate) group: Group,
    /// What it answers, for people.
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) deprecated: bool,
    pub(crate) fields: &'static [Field],
    /// The schema of its JSON.
    pub(crate) answer: fn(&mut SchemaGenerator) -> Schema,
    /// Checks the parameters and makes the work that answers them.
    pub(crate) parse: fn(&Params) -> Result<Job, Problem>,
}

/// What a route is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Links,
    Edge,
    Stats,
    Stream,
    Service,
}

impl Group {
    /// All of them, in the order in which they are shown.
    pub(crate) const ALL: [Self; 5] = [
        Self::Links,
        Self::Edge,
        Self::Stats,
        Self::Stream,
        Self::Service,
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Links => "Backlinks",
            Self::Edge => "Records and identities",
            Self::Stats => "Collections",
            Self::Stream => "Link stream",
            Self::Service => "Service",
        }
    }

    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Links => "Who links to a record, an account or a page.",
            Self::Edge => {
                "Records and accounts of the whole network as they are now: from the event stream, or from where they live."
            }
            Self::Stats => {
                "What is written to the collections of the network, over any span of hours."
            }
            Self::Stream => "Links as they are made and undone, live or from a time on.",
            Self::Service => "How the server is, and what it says of itself.",
        }
    }
}

/// The work that answers one request, run on the pool.
pub(crate) type Job = Box<dyn FnOnce(&dyn Index, &Ask) -> Result<Reply, Problem> + Send>;

/// What a job needs to know of its request.
pub(crate) struct Ask {
    pub(crate) view: View,
    pub(crate) endpoint: &'static Endpoint,
    pub(crate) params: Params,
    /// Whether there is a status page to lead to.
    pub(crate) has_status: bool,
}

/// The answer of a job.
pub(crate) struct Reply {
    pub(crate) content: Content,
    pub(crate) coverage: Coverage,
}

impl Reply {
    fn new(body: String, coverage: Coverage) -> Self {
        Self {
            content: Content::Whole(body),
            coverage,
        }
    }
}

/// The body of an answer.
pub(crate) enum Content {
    Whole(String),
    /// To be made when these records are there.
    Hydrated {
        records: Vec<Record>,
        wanted: Wanted,
        render: Render,
    },
}

/// Makes a body with what each record is like, run on the pool.
pub(crate) type Render = Box<dyn FnOnce(&Ask, Vec<Hydrated>) -> Result<String, Problem> + Send>;

/// What an answer rests on.
pub(crate) fn coverage<T>(index: &dyn Index, ask: &Ask, answer: &Answer<T>) -> Coverage {
    let hint = match ask.endpoint.group {
        Group::Links => hint::of_links(&ask.params),
        Group::Stats => hint::of_stats(&ask.params),
        Group::Edge | Group::Stream | Group::Service => None,
    };
    rests_on(index, answer, hint)
}

/// What an answer rests on, with what the question most likely means.
pub(crate) fn rests_on<T>(index: &dyn Index, answer: &Answer<T>, hint: Option<String>) -> Coverage {
    let ranges = answer.degraded.iter();
    Coverage {
        degraded: ranges
            .map(|(first, last)| format!("{first}-{last}"))
            .collect(),
        hint,
        ..Coverage::new(
            answer.coverage_from_us,
            answer.indexed_through_us,
            &index.selection(),
        )
    }
}
