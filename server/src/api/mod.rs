//! The endpoints that answer from the index, as one table: the router, the forms of the pages and the front page
//! are all made from it.

pub(crate) mod links;
mod many;
pub(crate) mod meta;

use crate::index::{Answer, Index};
use crate::negotiate::View;
use crate::params::Params;
use crate::problem::Problem;
use crate::wire::Coverage;

/// One endpoint.
pub(crate) struct Endpoint {
    pub(crate) path: &'static str,
    /// What it answers, for people.
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) deprecated: bool,
    pub(crate) fields: &'static [Field],
    /// Checks the parameters and makes the work that answers them.
    pub(crate) parse: fn(&Params) -> Result<Job, Problem>,
}

/// The work that answers one request, run on the pool.
pub(crate) type Job = Box<dyn FnOnce(&dyn Index, &Ask) -> Result<Reply, Problem> + Send>;

/// What a job needs to know of its request.
pub(crate) struct Ask {
    pub(crate) view: View,
    pub(crate) endpoint: &'static Endpoint,
    pub(crate) params: Params,
}

/// The answer of a job.
pub(crate) struct Reply {
    pub(crate) body: String,
    pub(crate) coverage: Coverage,
}

/// A parameter, as the forms of the pages offer it.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: FieldKind,
    pub(crate) hint: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldKind {
    Required,
    Optional,
    Repeated,
    Number,
    Flag,
}

use FieldKind::{Flag, Number, Optional, Repeated, Required};

const fn field(name: &'static str, kind: FieldKind, hint: &'static str) -> Field {
    Field { name, kind, hint }
}

const SUBJECT: Field = field("subject", Required, "did, at-uri or URL");
const SOURCE: Field = field("source", Required, "app.bsky.feed.like:subject.uri");
const PATH_TO_OTHER: Field = field("pathToOther", Required, "list");
const TARGET: Field = field("target", Required, "did, at-uri or URL");
const COLLECTION: Field = field("collection", Required, "app.bsky.feed.like");
const PATH: Field = field("path", Required, ".subject.uri");
const DID: Field = field("did", Repeated, "only links by this account");
const LINK_DID: Field = field("linkDid", Repeated, "only links by this account");
const OTHER: Field = field("otherSubject", Repeated, "only this other subject");
const SINCE: Field = field("since", Optional, "microseconds or RFC 3339");
const UNTIL: Field = field("until", Optional, "microseconds or RFC 3339");
const LIMIT: Field = field("limit", Number, "1 to 1000, default 100");
const REVERSE: Field = field("reverse", Flag, "the opposite order");

/// Every endpoint that answers from the index.
pub(crate) static ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/",
        title: "orrery",
        about: "What the index holds, and the way to everything else.",
        deprecated: false,
        fields: &[],
        parse: meta::root,
    },
    Endpoint {
        path: "/xrpc/blue.microcosm.links.getBacklinks",
        title: "Records that link to a subject",
        about: "The records of one source that link to a subject, newest first.",
        deprecated: false,
        fields: &[SUBJECT, SOURCE, DID, SINCE, UNTIL, LIMIT, REVERSE],
        parse: links::get_backlinks,
    },
    Endpoint {
        path: "/xrpc/blue.microcosm.links.getBacklinksCount",
        title: "How many records link to a subject",
        about: "The number of records of one source that link to a subject.",
        deprecated: false,
        fields: &[SUBJECT, SOURCE, DID, SINCE, UNTIL],
        parse: links::get_backlinks_count,
    },
    Endpoint {
        path: "/xrpc/blue.microcosm.links.getBacklinkDids",
        title: "Accounts that link to a subject",
        about: "The accounts whose records link to a subject, each once.",
        deprecated: false,
        fields: &[SUBJECT, SOURCE, DID, SINCE, UNTIL, LIMIT, REVERSE],
        parse: links::get_backlink_dids,
    },
    Endpoint {
        path: "/xrpc/blue.microcosm.links.getManyToMany",
        title: "Many-to-many: records and their other subjects",
        about: "The records that link to a subject, each with another subject that it links to.",
        deprecated: false,
        fields: &[
            SUBJECT,
            SOURCE,
            PATH_TO_OTHER,
            LINK_DID,
            OTHER,
            SINCE,
            UNTIL,
            LIMIT,
            REVERSE,
        ],
        parse: many::get_many_to_many,
    },
    Endpoint {
        path: "/xrpc/blue.microcosm.links.getManyToManyCounts",
        title: "Many-to-many: how often each other subject is linked to",
        about: "The other subjects of the records that link to a subject, with counts.",
        deprecated: false,
        fields: &[
            SUBJECT,
            SOURCE,
            PATH_TO_OTHER,
            DID,
            OTHER,
            SINCE,
            UNTIL,
            LIMIT,
            REVERSE,
        ],
        parse: many::get_many_to_many_counts,
    },
    Endpoint {
        path: "/links/all",
        title: "Everything that links to a target",
        about: "Records and accounts that link to a target, counted by source.",
        deprecated: false,
        fields: &[TARGET],
        parse: links::all,
    },
    Endpoint {
        path: "/links/count/distinct-dids",
        title: "How many accounts link to a target",
        about: "The number of accounts whose records link to a target.",
        deprecated: false,
        fields: &[TARGET, COLLECTION, PATH, DID, SINCE, UNTIL],
        parse: links::count_distinct_dids,
    },
    Endpoint {
        path: "/links",
        title: "Records that link to a target",
        about: "As getBacklinks, under older names.",
        deprecated: true,
        fields: &[TARGET, COLLECTION, PATH, DID, SINCE, UNTIL, LIMIT, REVERSE],
        parse: links::links,
    },
    Endpoint {
        path: "/links/distinct-dids",
        title: "Accounts that link to a target",
        about: "As getBacklinkDids, under older names.",
        deprecated: true,
        fields: &[TARGET, COLLECTION, PATH, DID, SINCE, UNTIL, LIMIT, REVERSE],
        parse: links::distinct_dids,
    },
    Endpoint {
        path: "/links/count",
        title: "How many records link to a target",
        about: "As getBacklinksCount, under older names.",
        deprecated: true,
        fields: &[TARGET, COLLECTION, PATH, DID, SINCE, UNTIL],
        parse: links::count,
    },
    Endpoint {
        path: "/links/all/count",
        title: "Records that link to a target, by source",
        about: "As /links/all, without the accounts.",
        deprecated: true,
        fields: &[TARGET],
        parse: links::all_count,
    },
];

/// What an answer rests on.
pub(crate) fn coverage<T>(index: &dyn Index, answer: &Answer<T>) -> Coverage {
    let ranges = answer.degraded.iter();
    Coverage {
        degraded: ranges
            .map(|(first, last)| format!("{first}-{last}"))
            .collect(),
        ..Coverage::new(
            answer.coverage_from_us,
            answer.indexed_through_us,
            &index.selection(),
        )
    }
}
