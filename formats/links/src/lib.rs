//! Links in AT Protocol records.
//!
//! A record is a tree of JSON values. Each string in it is tested, as a whole, for being a link: an
//! at-uri, a DID or another URI. A link is a *path*, which tells where in the record it stands
//! (`.subject.uri`, `.facets[].features[app.bsky.richtext.facet#link].uri`), and a normalised *target*.
//! `PATHS.md` beside this crate's sources holds the path grammar.
//!
//! ```
//! use orrery_links::{Extractor, TargetKind};
//!
//! let record = br#"{"$type":"app.bsky.feed.like","subject":{"uri":"at://did:plc:abc/app.bsky.feed.post/3k"}}"#;
//! let mut extractor = Extractor::default();
//! let extraction = extractor.extract_json(record)?;
//! let link = extraction.links().next().ok_or("no link")?;
//! assert_eq!(link.path, ".subject.uri");
//! assert_eq!(link.target, "at://did:plc:abc/app.bsky.feed.post/3k");
//! assert_eq!(link.kind, TargetKind::AtUri);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The tests for links are lenient, because what counts is what records hold; the parsers in
//! [`syntax`] are strict, for identifiers that must be right. The two never call each other.
//!
//! | file | owns |
//! | --- | --- |
//! | `extract.rs` | [`Extractor`], the reusable scratch, and its results |
//! | `walk.rs` | from a tree of values to links; generic over [`Node`] |
//! | `node.rs` | [`Node`], what the walk needs to know of a value |
//! | `json/` | validating JSON scanner into a flat tape, and the tape as [`Node`] |
//! | `target/` | [`parse_target`]: at-uri, then DID, then URI, with normalisation |
//! | `source.rs` | [`Source`], the pair of collection and path in queries |
//! | `syntax/` | strict parsers |
//!
//! The crate does no I/O, reads no clock and never panics on its input.

#![forbid(unsafe_code)]

mod class;
mod error;
mod extract;
mod json;
mod node;
mod source;
pub mod syntax;
mod target;
mod walk;

pub use error::{ExtractError, Found, SyntaxError};
pub use extract::{Extraction, Extractor, Limits, Link, Links, Truncation};
pub use node::{Node, View};
pub use source::Source;
pub use target::{TargetKind, normalise_target, parse_target};

/// The code in the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
