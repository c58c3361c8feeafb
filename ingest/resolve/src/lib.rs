//! Asks the rest of the AT Protocol network: who somebody is, and what their record says.
//!
//! Files: `network` (the questions and answers), `document` (DID documents), `identity` (handles, DIDs, and whether they
//! agree), `shelf` (what is known, by age), `keep` (what outlives a restart), `flight` (one piece of work per key),
//! `origin` (records), `base` (URLs in documents), `clock`.

#![forbid(unsafe_code)]

pub mod address;
mod base;
mod clock;
mod document;
mod error;
mod flight;
mod identity;
mod keep;
mod network;
pub mod origin;
mod shelf;

pub use document::{Document, KeyKind, Service, SigningKey};
pub use error::ResolveError;
pub use flight::{FlightError, Flights};
pub use identity::{
    HANDLE_INVALID, HandleState, Identity, Resolver, ResolverOptions, ResolverStatus,
};
pub use keep::{Keep, KeepNothing, Space};
pub use network::{Answer, Boxed, DnsError, FetchError, Network, Request};
