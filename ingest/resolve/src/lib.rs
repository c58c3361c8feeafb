//! Asks the rest of the AT Protocol network: who somebody is, and what their record says.

#![forbid(unsafe_code)]

mod address;
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

pub use address::{Refusal, check};
pub use document::{Document, KeyKind, Service, SigningKey};
pub use error::ResolveError;
pub use flight::{FlightError, Flights};
pub use identity::{
    HANDLE_INVALID, HandleState, Identity, Resolver, ResolverOptions, ResolverStatus,
};
pub use keep::{Keep, KeepNothing, Space};
pub use network::{Answer, Boxed, DnsError, FetchError, Network, Request};
