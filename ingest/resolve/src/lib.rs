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
//! Files: `network` (the questions and answers), `address` (the guard), `url`, `dns`, `limits` (per host), `places` (of
//! the client as a whole), `client` (options, connecting, one exchange, kept connections, redirects).
#![forbid(unsafe_code)]

pub mod address;
mod client;
mod dns;
mod limits;
mod network;
mod places;
mod url;

pub use client::{Client, ClientError, ClientOptions};
pub use limits::HostLimits;
pub use network::{Answer, Boxed, DnsError, FetchError, Network, Request};
pub use rustls;

/// The code of the README, compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
