//! Byte classes of RFC 3986, as one table of bit sets, so that each test of a byte is one load.

/// `ALPHA / DIGIT / "+" / "-" / "."`: what a scheme holds after its first letter.
pub(crate) const SCHEME: u8 = 1;
/// `ALPHA / DIGIT / "-" / "." / "_" / "~"`.
pub(crate) const UNRESERVED: u8 = 1 << 1;
/// `unreserved / sub-delims`: a registered name, without its escapes.
pub(crate) const NAME: u8 = 1 << 2;
/// `pchar` without its escapes: a name, `:` or `@`.
pub(crate) const PCHAR: u8 = 1 << 3;
/// `A`–`Z`.
pub(crate) const UPPER: u8 = 1 << 4;
/// `ALPHA / DIGIT / "." / "_" / ":" / "%" / "-"`: what a DID holds.
pub(crate) const DID: u8 = 1 << 5;
/// `A`–`Z`, `a`–`z`.
pub(crate) const ALPHA: u8 = 1 << 6;

const TABLE: [u8; 256] = table();

/// Whether `byte` is in one of the classes of `set`.
#[inline(always)]
pub(crate) fn is(byte: u8, set: u8) -> bool {
    of(byte) & set != 0
}

/// All classes of `byte`.
#[inline(always)]
pub(crate) fn of(byte: u8) -> u8 {
    // The table covers every byte, so the bound check vanishes.
    TABLE.get(usize::from(byte)).copied().unwrap_or(0)
}

#[allow(
    clippy::indexing_slicing,
    reason = "evaluated at compile time; the index is below 256"
)]
const fn table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        let mut set = 0;
        if b.is_ascii_alphabetic() {
            set |= ALPHA;
        }
        if b.is_ascii_uppercase() {
            set |= UPPER;
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.') {
            set |= SCHEME;
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            set |= UNRESERVED | NAME | PCHAR;
        }
        if matches!(
            b,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        ) {
            set |= NAME | PCHAR;
        }
        if matches!(b, b':' | b'@') {
            set |= PCHAR;
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'%' | b'-') {
            set |= DID;
        }
        table[i] = set;
        i += 1;
    }
    table
}
