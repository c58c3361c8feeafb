//! Asks other servers of the AT Protocol, safely.
//!
//! [`Client`] makes GET requests and looks up TXT records on behalf of strangers: the names and URLs come from DID
//! documents, handles and redirects, which anybody can write.
//!
//! ```no_run
//! use orrery_resolve::{Client, ClientOptions, Request};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(ClientOptions::new("+https://example.com/contact"))?;
//! let answer = client
//!     .get(Request::new("https://plc.directory/did:plc:ewvi7nxzyoun6zhxrhs64oiz", 64 << 10))
//!     .await?;
//! println!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
//! # Ok(())
//! # }
//! ```
//!
//! What holds:
//!
//! * **Only the public internet is connected to.** A host is looked up once, all its addresses are checked, and the
//!   connection is made to one of them; see [`address`]. Redirects are checked the same way.
//! * **Answers are bounded** in time, which covers everything from the queue to the last byte, and in size.
//! * **Hosts are spared**: few requests at once, a rate, and `Retry-After`; see [`HostLimits`].
//! * **Hosts do not block each other.** One that does not answer holds up only those who ask it.
//!
//! [`Resolver`] says who somebody is, with both halves of a handle's claim checked, and [`origin`] what a data server has. Both
//! are written over [`Network`], and share what is under way by [`Flights`].
//!
//! Files: `network` (the questions and answers), `address` (the guard), `url`, `dns`, `limits` (per host), `places` (of
//! the client as a whole), `client` (options, connecting, one exchange, kept connections, redirects), `document` (DID
//! documents), `identity` (handles and DIDs, their caches: `shelf`, `keep`), `base` (where DIDs are looked up), `flight` (one piece of work a
//! key), `origin` (data servers).
#![forbid(unsafe_code)]

pub mod address;
mod base;
mod client;
mod clock;
mod dns;
mod document;
mod error;
mod flight;
mod identity;
mod keep;
mod limits;
mod network;
pub mod origin;
mod places;
mod shelf;
mod url;

pub use client::{Client, ClientError, ClientOptions};
pub use document::{Document, KeyKind, Service, SigningKey};
pub use error::ResolveError;
pub use flight::{FlightError, Flights};
pub use identity::{
    HANDLE_INVALID, HandleState, Identity, Resolver, ResolverOptions, ResolverStatus,
};
pub use keep::{Keep, KeepNothing, Space};
pub use limits::HostLimits;
pub use network::{Answer, Boxed, DnsError, FetchError, Network, Request};
pub use rustls;

/// The code of the README, compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
