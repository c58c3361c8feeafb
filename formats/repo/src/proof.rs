//! A proof of one record, as `com.atproto.sync.getRecord` gives it.

use crate::car::{Car, CarLimits};
use crate::cid::{Cid, Codec};
use crate::commit::Commit;
use crate::error::RepoError;
use crate::key::PublicKey;
use crate::mst::{self, Proven};

/// What a proof proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordProof<'a> {
    /// The signed commit.
    pub commit: Cid,
    /// Its revision, which says how new it is.
    pub rev: &'a str,
    /// The record with its DAG-CBOR bytes, or `None` where there is none at the path.
    pub record: Option<(Cid, &'a [u8])>,
}

/// Checks the proof that the repository of `did` holds a record, or holds none, at `collection` and `rkey`.
///
/// The CAR's root is a commit of version 3 of that repository, signed with `key`; the nodes of its tree on
/// the way to the record are all there and sound; and so is the record's block. That the record's bytes are
/// canonical DAG-CBOR is checked by what reads them ([`cbor_to_json`](crate::cbor_to_json)). How old the
/// commit is, only its `rev` says.
///
/// # Errors
/// Anything of that does not hold. No error is a proof of absence.
pub fn verify_record_proof<'a>(
    car: &'a [u8],
    did: &str,
    collection: &str,
    rkey: &str,
    key: &PublicKey,
) -> Result<RecordProof<'a>, RepoError> {
    for (what, part) in [("collection", collection), ("record key", rkey)] {
        if !mst::is_part(part) {
            return Err(unfit(what, part));
        }
    }
    let path = format!("{collection}/{rkey}");
    if !mst::is_path(&path) {
        return Err(unfit("path", &path));
    }

    let car = Car::read(car, &CarLimits::PROOF)?;
    let root = car.root()?;
    if root.codec() != Codec::DagCbor {
        return Err(RepoError::WrongCodec {
            block: root,
            role: "the commit",
        });
    }
    let in_commit = |error: RepoError| error.in_block(root);
    let commit = Commit::parse(car.need(&root, "the commit")?).map_err(in_commit)?;
    let (3, Some(rev)) = (commit.version, commit.rev) else {
        return Err(in_commit(RepoError::Commit {
            field: "version",
            expected: "3",
            found: commit.version.to_string(),
        }));
    };
    if commit.did != did {
        return Err(RepoError::WrongDid {
            expected: did.to_owned(),
            found: commit.did.to_owned(),
        });
    }
    commit.verify(key).map_err(in_commit)?;

    let record = match mst::prove(&car, &commit.data, &path)? {
        Proven::Absent => None,
        Proven::Present(cid) if cid.codec() != Codec::DagCbor => {
            return Err(RepoError::WrongCodec {
                block: cid,
                role: "a record",
            });
        }
        Proven::Present(cid) => Some((cid, car.need(&cid, "the record")?)),
    };
    Ok(RecordProof {
        commit: root,
        rev,
        record,
    })
}

fn unfit(what: &'static str, found: &str) -> RepoError {
    RepoError::Path {
        what,
        found: found.chars().take(64).collect(),
    }
}
