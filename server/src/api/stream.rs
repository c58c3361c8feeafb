//! The parameters of the link stream, as the OpenAPI document tells them; `stream/options.rs` reads them.

use super::Field;
use super::fields::{
    ALL_LINKS, INCLUDE_TIME, INSTANT, REQUIRE_HELLO, STREAM_CURSOR, WANTED_DIDS, WANTED_OPERATIONS,
    WANTED_ORIGINS, WANTED_PREFIXES, WANTED_SOURCES, WANTED_SUBJECTS,
};

/// The path of the websocket.
pub(crate) const SUBSCRIBE: &str = "/subscribe";

pub(crate) const TITLE: &str = "Links as they are made and undone";

pub(crate) const ABOUT: &str = "A websocket. Each text frame is one link: its source (a collection, a colon and a path without its \
    first dot), the record that holds it, and its subject. A link is told when its subject is in one of the lists of subjects, \
    if any is given, and its source in that of sources, if that is given. Lists repeat their name, also with [] or [0] \
    behind it. Without instant=true a link is told 21 s after it came, and not at all if it was undone by then. A client that uses any \
    of cursor, wantedOperations, wantedOrigins, allLinks, includeTime and requireHello gets time_us and cursor in each frame, \
    and of updates only what became different. With a cursor and without instant=true, links of up to 21 s before the \
    connection may have the origin live. An address has at most 100 connections. The message {\"type\":\"options_update\",\"payload\":{\"wantedSubjects\":[], \
    \"wantedSubjectPrefixes\":[],\"wantedSubjectDids\":[],\"wantedSources\":[]}} replaces all four lists. The server closes \
    with 1008 and a reason on a bad message or an unanswered ping, with 1013 where a client is too slow, with 1001 when it ends.";

pub(crate) const FIELDS: &[Field] = &[
    WANTED_SUBJECTS,
    WANTED_PREFIXES,
    WANTED_DIDS,
    WANTED_SOURCES,
    INSTANT,
    STREAM_CURSOR,
    WANTED_OPERATIONS,
    WANTED_ORIGINS,
    ALL_LINKS,
    INCLUDE_TIME,
    REQUIRE_HELLO,
];
