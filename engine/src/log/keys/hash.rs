//! Hashes of keys, and the hasher of maps by them.

use std::hash::Hasher;

use orrery_formats::keys::key_hash;
use xxhash_rust::xxh3::xxh3_64;

/// What stands for the record key of account events, without a collection.
const ACCOUNT_KEY: &str = "account";
/// The same of those that delete the account.
const DELETION_KEY: &str = "deletion";

/// Hashes keys with a directory's secret.
#[derive(Debug, Clone, Copy)]
pub struct KeyHasher {
    seed: u64,
    account: u64,
    deletion: u64,
}

impl KeyHasher {
    /// From the secret of the data directory.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        let seed = xxh3_64(secret);
        Self {
            seed,
            account: key_hash(seed, "", ACCOUNT_KEY),
            deletion: key_hash(seed, "", DELETION_KEY),
        }
    }

    /// The hash of a record's collection and key.
    #[must_use]
    pub fn hash(&self, collection: &str, rkey: &str) -> u64 {
        key_hash(self.seed, collection, rkey)
    }

    /// What stands for the hash of a key in account events: those that delete it, and all others. No record has
    /// such a key.
    #[must_use]
    pub const fn account_hash(&self, is_deletion: bool) -> u64 {
        if is_deletion {
            self.deletion
        } else {
            self.account
        }
    }
}

/// Passes on a fingerprint, which is a good hash already.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Fingerprints(u64);

impl Hasher for Fingerprints {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only `write_u64` is called for the keys of these maps.
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
