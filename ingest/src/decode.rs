//! From an event as Jetstream sends it to an event as the log keeps it, with every identifier checked on
//! the way. Nothing is copied.

use orrery_formats::event::{Body, Encoding, Event, Operation, Record};
use orrery_jetstream::{Event as WireEvent, Kind, Operation as WireOperation};

use crate::reason::Reason;
use crate::validate;

/// Checks `event` and gives it in the form of the log, borrowing from it.
///
/// # Errors
///
/// The first thing that is wrong with it.
///
/// ```
/// use orrery_formats::event::{Body, Operation};
///
/// let text = r#"{"did":"did:plc:aaaa","time_us":1786000000000001,"kind":"commit","commit":{"rev":"3mabc2222222b",
///     "operation":"delete","collection":"app.bsky.graph.follow","rkey":"3mabc2222222a"}}"#;
/// let wire = orrery_jetstream::Event::parse(text).unwrap();
/// let event = orrery_ingest::decode(&wire).unwrap();
/// assert!(matches!(event.body, Body::Commit { operation: Operation::Delete, .. }));
/// ```
pub fn decode<'a>(event: &'a WireEvent<'_>) -> Result<Event<'a>, Reason> {
    let did = validate::did(&event.did)?;
    let time_us = validate::time_us(event.time_us)?;
    let body = match &event.kind {
        Kind::Commit(commit) => Body::Commit {
            rev: validate::rev(&commit.rev)?,
            collection: validate::collection(&commit.collection)?,
            rkey: validate::rkey(&commit.rkey)?,
            operation: match &commit.operation {
                WireOperation::Create { record, cid } => {
                    Operation::Create(json_record(record, cid.as_deref())?)
                }
                WireOperation::Update { record, cid } => {
                    Operation::Update(json_record(record, cid.as_deref())?)
                }
                WireOperation::Delete => Operation::Delete,
            },
        },
        Kind::Identity(identity) => {
            validate::same_did(did, &identity.did)?;
            Body::Identity {
                seq: identity.seq,
                handle: validate::handle(identity.handle.as_deref()),
            }
        }
        Kind::Account(account) => {
            validate::same_did(did, &account.did)?;
            Body::Account {
                seq: account.seq,
                active: account.active,
                status: account.status.as_deref(),
            }
        }
    };
    Ok(Event { time_us, did, body })
}

fn json_record<'a>(text: &'a str, cid: Option<&'a str>) -> Result<Record<'a>, Reason> {
    Ok(Record {
        cid: validate::cid(cid)?,
        encoding: Encoding::Json,
        body: text.as_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(
        did: &str,
        time_us: u64,
        rev: &str,
        collection: &str,
        rkey: &str,
        rest: &str,
    ) -> String {
        format!(
            r#"{{"did":"{did}","time_us":{time_us},"kind":"commit","commit":{{"rev":"{rev}","collection":"{collection}","rkey":"{rkey}",{rest}}}}}"#
        )
    }

    fn reason(text: &str) -> Option<Reason> {
        let wire = WireEvent::parse(text).expect(text);
        decode(&wire).err()
    }

    const CREATE: &str = r#""operation":"create","record":{"a":1},"cid":"bafyreib4arprhlwsekkqkrs5u76hbtyv2mqgqn3bobzjck43o4obzu3dti""#;
    const TIME: u64 = 1_786_000_000_000_001;
    const REV: &str = "3mabc2222222b";

    #[test]
    fn a_commit_comes_through_whole() {
        let text = commit("did:plc:a", TIME, REV, "a.b.c", "self", CREATE);
        let wire = WireEvent::parse(&text).unwrap();
        let event = decode(&wire).unwrap();
        assert_eq!((event.did, event.time_us), ("did:plc:a", TIME));
        let Body::Commit {
            rev,
            collection,
            rkey,
            operation: Operation::Create(record),
        } = event.body
        else {
            panic!("{event:?}")
        };
        assert_eq!(rev, orrery_links::syntax::Tid::parse(REV).unwrap().to_u64());
        assert_eq!((collection, rkey), ("a.b.c", "self"));
        assert_eq!(
            (record.body, record.encoding),
            (&br#"{"a":1}"#[..], Encoding::Json)
        );
        assert!(record.cid.starts_with("bafyrei"));
    }

    #[test]
    fn a_record_without_a_cid_is_accepted() {
        let rest = r#""operation":"update","record":{}"#;
        assert_eq!(
            reason(&commit("did:plc:a", TIME, REV, "a.b.c", "self", rest)),
            None
        );
    }

    #[test]
    fn each_bad_identifier_has_its_reason() {
        let cases = [
            (
                commit("did:plc", TIME, REV, "a.b.c", "k", CREATE),
                Reason::InvalidDid,
            ),
            (
                commit("did:plc:a b", TIME, REV, "a.b.c", "k", CREATE),
                Reason::InvalidDid,
            ),
            (
                commit("did:plc:a", TIME, "3mabc222222", "a.b.c", "k", CREATE),
                Reason::InvalidRev,
            ),
            (
                commit("did:plc:a", TIME, "zzzzzzzzzzzzz", "a.b.c", "k", CREATE),
                Reason::InvalidRev,
            ),
            (
                commit("did:plc:a", TIME, REV, "a.b", "k", CREATE),
                Reason::InvalidCollection,
            ),
            (
                commit("did:plc:a", TIME, REV, "a.b.c", "..", CREATE),
                Reason::InvalidRkey,
            ),
            (
                commit("did:plc:a", TIME, REV, "a.b.c", "a/b", CREATE),
                Reason::InvalidRkey,
            ),
            (
                commit("did:plc:a", 1, REV, "a.b.c", "k", CREATE),
                Reason::TimeOutOfRange,
            ),
            (
                commit("did:plc:a", u64::MAX, REV, "a.b.c", "k", CREATE),
                Reason::TimeOutOfRange,
            ),
            (
                commit(
                    "did:plc:a",
                    TIME,
                    REV,
                    "a.b.c",
                    "k",
                    r#""operation":"create","record":{},"cid":"no""#,
                ),
                Reason::InvalidCid,
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(reason(&text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn account_and_identity_events_name_one_account() {
        let account = r#"{"did":"did:plc:a","time_us":1786000000000001,"kind":"account","account":{"did":"DID","seq":7,"time":"t","active":false,"status":"suspended"}}"#;
        let identity = r#"{"did":"did:plc:a","time_us":1786000000000001,"kind":"identity","identity":{"did":"DID","seq":8,"time":"t","handle":"HANDLE"}}"#;
        for text in [account, identity] {
            assert_eq!(reason(&text.replace("DID", "did:plc:a")), None);
            assert_eq!(
                reason(&text.replace("DID", "did:plc:b")),
                Some(Reason::DidMismatch)
            );
        }
        let text = account.replace("DID", "did:plc:a");
        let wire = WireEvent::parse(&text).unwrap();
        assert_eq!(
            decode(&wire).unwrap().body,
            Body::Account {
                seq: 7,
                active: false,
                status: Some("suspended")
            }
        );
        for (handle, kept) in [
            ("alice.example", Some("alice.example")),
            ("no handle", None),
        ] {
            let text = identity
                .replace("DID", "did:plc:a")
                .replace("HANDLE", handle);
            let wire = WireEvent::parse(&text).unwrap();
            assert_eq!(
                decode(&wire).unwrap().body,
                Body::Identity {
                    seq: 8,
                    handle: kept
                }
            );
        }
    }
}
