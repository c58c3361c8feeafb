//! What the filters hash: XXH3-64 of a canonical form of a target or of a row's key. And what the index
//! of DIDs hashes: a DID, with the seed of the segment.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::value::plc_text;
use super::{DidRef, TargetKey};

/// Bytes of a canonical form hashed without the heap; few are longer.
const STACK_BYTES: usize = 192;

/// The canonical form of a target: `0`, actor; or `1`, actor, collection, a zero byte, key; or `2`,
/// string.
pub(super) fn target(key: &TargetKey<'_>) -> u64 {
    match *key {
        TargetKey::Did(actor) => of(&[&[0], &actor.to_le_bytes()]),
        TargetKey::Record {
            actor,
            collection,
            rkey,
        } => of(&[
            &[1],
            &actor.to_le_bytes(),
            collection.as_bytes(),
            &[0],
            rkey.as_bytes(),
        ]),
        TargetKey::Other(other) => of(&[&[2], other.as_bytes()]),
    }
}

/// The canonical form of a row's key: actor, collection, a zero byte, key.
pub(super) fn stray(actor: u32, collection: &str, rkey: &str) -> u64 {
    of(&[
        &actor.to_le_bytes(),
        collection.as_bytes(),
        &[0],
        rkey.as_bytes(),
    ])
}

/// The hash of a DID.
pub(super) fn did(did: &str, seed: u64) -> u64 {
    xxh3_64_with_seed(did.as_bytes(), seed)
}

/// The hash of a DID read from a segment.
pub(super) fn did_ref(did: DidRef<'_>, seed: u64) -> u64 {
    match did {
        DidRef::Plc(bytes) => xxh3_64_with_seed(&plc_text(bytes), seed),
        DidRef::Str(text) => self::did(text, seed),
    }
}

/// The hash of the parts, one after the other.
fn of(parts: &[&[u8]]) -> u64 {
    let len = parts.iter().map(|part| part.len()).sum();
    let mut stack = [0; STACK_BYTES];
    if let Some(buffer) = stack.get_mut(..len) {
        let mut rest = &mut buffer[..];
        for part in parts {
            // The parts fill the buffer exactly.
            let (head, tail) = rest.split_at_mut(part.len());
            head.copy_from_slice(part);
            rest = tail;
        }
        return xxh3_64(buffer);
    }
    xxh3_64(&parts.concat())
}
