//! Signed AT Protocol repositories: everything needed to read them and to check what they claim.
//!
//! ```
//! use orrery_repo::record_cid;
//!
//! let record = br#"{"$type":"com.example.note","text":"hello"}"#;
//! let cid = record_cid(record)?;
//! assert_eq!(cid.to_string(), "bafyreidwydhkxbncvxuvbwefh5wchyyei7fikeu4oplmgkynqmsvpcjo2i");
//! # Ok::<(), orrery_repo::RepoError>(())
//! ```
//!
//! | file | owns |
//! | --- | --- |
//! | `cid.rs` | [`Cid`], the name of a block |
//! | `cbor.rs` | [`cbor`], canonical DAG-CBOR item by item |
//! | `json.rs`, `json/`, `rules.rs` | records between JSON and DAG-CBOR, and [`Rules`] for them |
//! | `car.rs` | [`Car`], a file of blocks |
//! | `commit.rs`, `key.rs` | [`Commit`] and [`PublicKey`], the signed root |
//! | `mst.rs`, `mst/` | [`mst`], the tree of records |
//! | `proof.rs` | [`verify_record_proof`], all of it together |
//! | `base.rs` | base32, base58 and base64 |
//!
//! All functions are pure and take any bytes: they do no I/O, read no clock, do not panic, and allocate by
//! what is there, never by what the bytes claim. Nothing that was tampered with gives another answer than
//! an error.

#![forbid(unsafe_code)]

mod base;
mod car;
pub mod cbor;
mod cid;
mod commit;
mod error;
mod json;
mod key;
pub mod mst;
mod proof;
mod rules;

pub use car::{Car, CarLimits};
pub use cid::{CID_BYTES, Cid, Codec};
pub use commit::Commit;
pub use error::{Form, Found, RepoError};
pub use json::{cbor_to_json, json_to_cbor, record_cid};
pub use key::{Curve, PublicKey};
pub use proof::{RecordProof, verify_record_proof};
pub use rules::Rules;

/// The code in the README, as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
