//! What outlives a restart: values known from before, on a store that somebody else provides.
//!
//! Owns [`Keep`] and the bytes of a kept value. Nothing in it is the truth: what is lost, damaged or of another
//! version is asked for anew.
//!
//! A kept value is a version byte (1), a byte of flags (bit 0: *doubtful*, the others zero), eight bytes of the time
//! in microseconds since 1970, little-endian, at which the source was last heard to say this, and the value: a DID as
//! text for [`Space::Handle`], the JSON of the document for [`Space::Document`]. The store is to notice damage.

/// Which values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// From a handle to the DID it leads to.
    Handle,
    /// From a DID to its document.
    Document,
}

/// A store for values that may be lost at any time. Its methods may block, but shortly: one value is read or written.
/// A store that fails behaves like one that is empty.
pub trait Keep: Send + Sync + 'static {
    /// The bytes last saved under the key, if they are still there.
    fn load(&self, space: Space, key: &str) -> Option<Vec<u8>>;

    /// Keeps the bytes under the key, instead of any before.
    fn save(&self, space: Space, key: &str, bytes: &[u8]);

    /// Drops what is kept under the key.
    fn forget(&self, space: Space, key: &str);
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeepNothing;

impl Keep for KeepNothing {
    fn load(&self, _: Space, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn save(&self, _: Space, _: &str, _: &[u8]) {}

    fn forget(&self, _: Space, _: &str) {}
}

const VERSION: u8 = 1;
const DOUBTFUL: u8 = 1;
const HEADER_BYTES: usize = 10;

/// A kept value, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept<'a> {
    /// There has been an identity event since.
    pub(crate) doubtful: bool,
    /// When the source was last heard to say this.
    pub(crate) confirmed_us: u64,
    /// The value.
    pub(crate) value: &'a [u8],
}

impl<'a> Kept<'a> {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.value.len());
        bytes.push(VERSION);
        bytes.push(if self.doubtful { DOUBTFUL } else { 0 });
        bytes.extend_from_slice(&self.confirmed_us.to_le_bytes());
        bytes.extend_from_slice(self.value);
        bytes
    }

    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (header, value) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let [version, flags, time @ ..] = header;
        if *version != VERSION || *flags & !DOUBTFUL != 0 {
            return None;
        }
        Some(Self {
            doubtful: *flags == DOUBTFUL,
            confirmed_us: u64::from_le_bytes(*time),
            value,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_a_kept_value_are_as_documented() {
        let kept = Kept {
            doubtful: true,
            confirmed_us: 0x0006_0708_090a_0b0c,
            value: b"did:web:a.b",
        };
        let bytes = kept.to_bytes();
        assert_eq!(
            bytes,
            b"\x01\x01\x0c\x0b\x0a\x09\x08\x07\x06\x00did:web:a.b"
        );
        assert_eq!(Kept::from_bytes(&bytes), Some(kept));
    }

    #[test]
    fn bytes_of_another_form_are_not_read() {
        let good = b"\x01\x00\x0c\x0b\x0a\x09\x08\x07\x06\x00";
        assert!(Kept::from_bytes(good).is_some());
        for bad in [
            &good[..9],
            b"",
            b"\x00\x00\x0c\x0b\x0a\x09\x08\x07\x06\x00x",
            b"\x02\x00\x0c\x0b\x0a\x09\x08\x07\x06\x00x",
            b"\x01\x02\x0c\x0b\x0a\x09\x08\x07\x06\x00x",
        ] {
            assert_eq!(Kept::from_bytes(bad), None, "{bad:?}");
        }
    }
}
