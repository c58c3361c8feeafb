//! Writers of atproto identifiers and datetimes: DIDs, CIDs, TIDs, at-uris and
//! RFC 3339 times. All append to a byte buffer. Names are computed from small
//! numbers, so that a million accounts need no table of strings.

use crate::rng::mix;

/// An account: its popularity rank, and how many accounts that were deleted for
/// good held that rank before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Actor {
    pub(crate) rank: u32,
    pub(crate) generation: u32,
}

/// A record that others may link to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Strong {
    pub(crate) actor: Actor,
    pub(crate) tid: u64,
    /// The seed from which its CID is computed.
    pub(crate) cid: u64,
}

/// The character of a 5-bit value in base32 lower case (RFC 4648).
fn base32(value: u64) -> u8 {
    let v = (value & 31) as u8;
    if v < 26 { b'a' + v } else { b'2' + (v - 26) }
}

/// The character of a 5-bit value in the sortable base32 of TIDs.
fn base32_sortable(value: u64) -> u8 {
    let v = (value & 31) as u8;
    if v < 6 { b'2' + v } else { b'a' + (v - 6) }
}

/// Computes DIDs; differs by seed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    seed: u64,
}

impl Names {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed: mix(seed ^ 0x6e61_6d65),
        }
    }

    /// 64 bits that are this account's own.
    pub(crate) fn hash(self, actor: Actor) -> u64 {
        mix(self.seed ^ (u64::from(actor.generation) << 32 | u64::from(actor.rank)))
    }

    /// The clock id of the account's host, below 32 as those of real hosts are.
    pub(crate) fn clock_id(self, actor: Actor) -> u64 {
        (self.hash(actor) >> 40) & 31
    }

    /// Appends the DID: `did:plc:` and 24 base32 characters, or a `did:web` for one in 256.
    pub(crate) fn did(self, actor: Actor, out: &mut Vec<u8>) {
        let first = self.hash(actor);
        if first & 0xff == 0 {
            out.extend_from_slice(b"did:web:");
            self.label(actor, out);
            out.extend_from_slice(b".example.net");
            return;
        }
        let second = mix(first);
        out.extend_from_slice(b"did:plc:");
        let mut chars = [0_u8; 24];
        let (left, right) = chars.split_at_mut(12);
        for (i, (a, b)) in left.iter_mut().zip(right).enumerate() {
            *a = base32(first >> (4 + 5 * i));
            *b = base32(second >> (5 * i));
        }
        out.extend_from_slice(&chars);
    }

    /// Appends a label of a host name: 9 to 12 letters.
    fn label(self, actor: Actor, out: &mut Vec<u8>) {
        let hash = mix(self.hash(actor) ^ 0x6c61_6265);
        let length = 9 + (hash >> 62);
        for i in 0..length {
            // Letters only: a label must not begin or end with a hyphen, digits are rare.
            out.push(b'a' + ((hash >> (5 * i)) & 31).min(25) as u8);
        }
    }

    /// Appends the account's handle.
    pub(crate) fn handle(self, actor: Actor, out: &mut Vec<u8>) {
        self.label(actor, out);
        out.extend_from_slice(match self.hash(actor) >> 32 & 15 {
            0 => b".example.com",
            1 => b".blog.example",
            _ => b".bsky.social",
        });
    }

    /// Appends `at://DID/collection/tid`.
    pub(crate) fn at_uri(self, actor: Actor, collection: &str, key: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"at://");
        self.did(actor, out);
        out.push(b'/');
        out.extend_from_slice(collection.as_bytes());
        out.push(b'/');
        tid(key, out);
    }

    /// Appends a strong reference, `{"cid":…,"uri":…}`.
    pub(crate) fn strong_ref(self, record: Strong, collection: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"cid\":\"");
        cid(record.cid, out);
        out.extend_from_slice(b"\",\"uri\":\"");
        self.at_uri(record.actor, collection, record.tid, out);
        out.extend_from_slice(b"\"}");
    }
}

/// A TID's number: microseconds since 1970 and a clock id of 10 bits
/// (<https://atproto.com/specs/tid>).
pub(crate) fn tid_number(time_us: u64, clock_id: u64) -> u64 {
    (time_us << 10 | (clock_id & 0x3ff)) & (u64::MAX >> 1)
}

/// Appends the 13 characters of a TID.
pub(crate) fn tid(number: u64, out: &mut Vec<u8>) {
    let mut chars = [0_u8; 13];
    for (i, c) in chars.iter_mut().enumerate() {
        *c = base32_sortable(number >> (5 * (12 - i)));
    }
    out.extend_from_slice(&chars);
}

/// Appends the CID of a record: version 1, DAG-CBOR, SHA-256, with 32 bytes
/// computed from `seed` in place of a true hash.
pub(crate) fn cid(seed: u64, out: &mut Vec<u8>) {
    // 0x01 0x71 0x12 0x20 fills the first 32 bits: "afyrei" and the two zero bits
    // that begin the seventh character.
    out.extend_from_slice(b"bafyrei");
    digest(seed, out);
}

/// Appends the CID of a blob: as [`cid`], but of raw bytes (0x55).
pub(crate) fn blob_cid(seed: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"bafkrei");
    digest(seed, out);
}

/// The 52 characters that encode two zero bits, 256 random bits and two zero bits.
fn digest(seed: u64, out: &mut Vec<u8>) {
    let mut chars = [0_u8; 52];
    let mut state = seed;
    for chunk in chars.chunks_mut(12) {
        state = mix(state);
        for (i, c) in chunk.iter_mut().enumerate() {
            *c = base32(state >> (4 + 5 * i));
        }
    }
    let [first, .., last] = &mut chars;
    *first = base32(state >> 4 & 7);
    *last = base32((state >> 7 & 7) << 2);
    out.extend_from_slice(&chars);
}

/// Appends a number in decimal.
pub(crate) fn number(value: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut rest = value;
    let mut used = 0;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(20 - used..).unwrap_or_default());
}

fn two(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (value / 10 % 10) as u8, b'0' + (value % 10) as u8]);
}

/// Appends a UTC datetime with milliseconds, such as `2026-07-04T14:38:08.999Z`.
/// The calendar is H. Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>), for days after 1970.
pub(crate) fn datetime(time_us: u64, out: &mut Vec<u8>) {
    let ms = time_us / 1000;
    let (days, ms_of_day) = (ms / 86_400_000, ms % 86_400_000);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    two(year / 100, out);
    two(year, out);
    out.push(b'-');
    two(month, out);
    out.push(b'-');
    two(day, out);
    out.push(b'T');
    two(ms_of_day / 3_600_000, out);
    out.push(b':');
    two(ms_of_day / 60_000 % 60, out);
    out.push(b':');
    two(ms_of_day / 1000 % 60, out);
    out.push(b'.');
    out.push(b'0' + (ms_of_day / 100 % 10) as u8);
    two(ms_of_day % 100, out);
    out.push(b'Z');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn datetimes_are_civil() {
        // Reference values by GNU date -u -d @N.
        assert_eq!(
            text(|o| datetime(1_783_175_888_999_999, o)),
            "2026-07-04T14:38:08.999Z"
        );
        assert_eq!(
            text(|o| datetime(951_782_400_000_000, o)),
            "2000-02-29T00:00:00.000Z"
        );
        assert_eq!(text(|o| datetime(0, o)), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            text(|o| datetime(4_107_542_399_050_000, o)),
            "2100-02-28T23:59:59.050Z"
        );
    }

    #[test]
    fn tids_encode_time_and_clock() {
        // 2026-07-04T14:38:07Z; a real key of that second is 3mptbyplj5d2a.
        let number = tid_number(1_783_175_887_000_000, 6);
        let tid = text(|o| tid(number, o));
        assert_eq!(tid.len(), 13);
        assert!(tid.starts_with("3mptbyp"), "{tid}");
        assert!(tid.ends_with("2a"), "{tid}");
    }

    #[test]
    fn cids_decode_to_36_bytes_with_zero_padding() {
        for seed in 0..200 {
            for (write, codec) in [(cid as fn(u64, &mut Vec<u8>), 0x71), (blob_cid, 0x55)] {
                let cid = text(|o| write(seed, o));
                assert_eq!(cid.len(), 59);
                let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
                for c in cid.bytes().skip(1) {
                    let v = match c {
                        b'a'..=b'z' => c - b'a',
                        b'2'..=b'7' => c - b'2' + 26,
                        _ => panic!("bad character in {cid}"),
                    };
                    bits = bits << 5 | u32::from(v);
                    count += 5;
                    if count >= 8 {
                        count -= 8;
                        bytes.push((bits >> count) as u8);
                        bits &= (1 << count) - 1;
                    }
                }
                assert_eq!(bits, 0, "padding bits of {cid}");
                assert_eq!(bytes.len(), 36);
                assert_eq!(bytes[..4], [1, codec, 0x12, 0x20]);
            }
        }
    }

    #[test]
    fn dids_are_distinct_and_well_formed() {
        let names = Names::new(1);
        let mut seen = std::collections::HashSet::new();
        let mut web = 0;
        for rank in 0..20_000 {
            for generation in 0..2 {
                let did = text(|o| names.did(Actor { rank, generation }, o));
                if let Some(id) = did.strip_prefix("did:plc:") {
                    assert_eq!(id.len(), 24);
                    assert!(
                        id.bytes()
                            .all(|c| c.is_ascii_lowercase() || (b'2'..=b'7').contains(&c))
                    );
                } else {
                    assert!(did.starts_with("did:web:"));
                    web += 1;
                }
                assert!(seen.insert(did));
            }
        }
        assert!((80..260).contains(&web), "{web}");
    }

    #[test]
    fn numbers_print_in_full() {
        for value in [0, 9, 10, 1_783_175_888_085_434, u64::MAX] {
            assert_eq!(text(|o| number(value, o)), value.to_string());
        }
    }
}
