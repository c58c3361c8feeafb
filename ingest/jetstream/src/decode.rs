//! Turning websocket messages into event text.
//!
//! Owns the published zstd dictionary and the cap on what one message may unpack to. Text messages pass as they are,
//! whatever was asked for. A message that cannot be decoded is a [`Drop`](Undecodable) with a reason, and costs at most
//! the cap in memory and the time to fill it once or twice.

use std::num::NonZeroU32;
use std::sync::LazyLock;

use thiserror::Error;
use zstd::bulk::Decompressor;
use zstd::dict::DecoderDictionary;
use zstd::zstd_safe;

/// The dictionary of the Jetstream v1 wire; origin and licence are in `dictionary/NOTICE.md`.
pub static DICTIONARY: &[u8] = include_bytes!("../dictionary/jetstream-v1.zdict");

/// Id of [`DICTIONARY`], as written in each frame made with it.
pub const DICTIONARY_ID: u32 = 1_612_007_021;

/// The dictionary digested once for all decoders.
static PREPARED: LazyLock<DecoderDictionary<'static>> =
    LazyLock::new(|| DecoderDictionary::copy(DICTIONARY));

/// Output buffer a decoder starts with. Events are below 13 KB in practice, so this is never outgrown by honest ones.
const BUFFER_BYTES: usize = 64 * 1024;

/// Why a binary message could not be turned into text.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undecodable {
    /// The message unpacks to more than the cap.
    #[error("the message unpacks to more than {bytes_max} bytes")]
    Bomb {
        /// The cap in force.
        bytes_max: usize,
    },
    /// The message is no zstd frame, or a damaged one.
    #[error("the message is not a zstd frame: {0}")]
    BadZstd(String),
    /// The frame was made with a dictionary this crate does not have.
    #[error("the message needs zstd dictionary {id}, this client has {DICTIONARY_ID}")]
    UnknownDictionary {
        /// Id written in the frame.
        id: u32,
    },
    /// The unpacked bytes are not UTF-8.
    #[error("the unpacked message is not UTF-8")]
    BadUtf8,
}

/// Unpacks binary messages; holds the dictionary and one output buffer, so make one per connection and keep it.
///
/// ```
/// use orrery_jetstream::Decoder;
///
/// let mut decoder = Decoder::new(1 << 20)?;
/// assert!(decoder.unpack(b"not zstd").is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Decoder {
    zstd: Decompressor<'static>,
    buffer: Vec<u8>,
    bytes_max: usize,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("bytes_max", &self.bytes_max)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// Makes a decoder whose output is at most `bytes_max` bytes per message.
    ///
    /// # Errors
    ///
    /// When the zstd library cannot set up a context, which means that memory is short.
    pub fn new(bytes_max: usize) -> std::io::Result<Self> {
        let zstd = Decompressor::with_prepared_dictionary(&PREPARED)?;
        Ok(Self {
            zstd,
            buffer: Vec::with_capacity(BUFFER_BYTES.min(bytes_max)),
            bytes_max,
        })
    }

    /// Unpacks one binary message and lends its text until the next call.
    ///
    /// # Errors
    ///
    /// An [`Undecodable`] reason; the decoder stays usable.
    pub fn unpack(&mut self, message: &[u8]) -> Result<&str, Undecodable> {
        if let Some(id) = zstd_safe::get_dict_id_from_frame(message).map(NonZeroU32::get)
            && id != DICTIONARY_ID
        {
            return Err(Undecodable::UnknownDictionary { id });
        }
        // The declared size is a hint for the buffer, believed up to the cap; it may be absent and it may lie.
        let declared = match zstd_safe::get_frame_content_size(message) {
            Ok(Some(bytes)) => usize::try_from(bytes).unwrap_or(usize::MAX),
            Ok(None) => 0,
            Err(_) => return Err(Undecodable::BadZstd("unreadable frame header".to_owned())),
        };
        if declared > self.bytes_max {
            return Err(Undecodable::Bomb {
                bytes_max: self.bytes_max,
            });
        }
        let mut capacity = declared.max(BUFFER_BYTES).min(self.bytes_max);
        loop {
            self.buffer.clear();
            self.buffer.reserve(capacity);
            match self.zstd.decompress_to_buffer(message, &mut self.buffer) {
                Ok(_) if self.buffer.len() > self.bytes_max => {
                    return Err(Undecodable::Bomb {
                        bytes_max: self.bytes_max,
                    });
                }
                Ok(_) => break,
                Err(error) if !is_too_small(&error) => {
                    return Err(Undecodable::BadZstd(error.to_string()));
                }
                Err(_) if self.buffer.capacity() >= self.bytes_max => {
                    // The full-size buffer is given back: one bomb must not cost memory for the rest of the run.
                    self.buffer = Vec::with_capacity(BUFFER_BYTES.min(self.bytes_max));
                    return Err(Undecodable::Bomb {
                        bytes_max: self.bytes_max,
                    });
                }
                Err(_) => capacity = self.bytes_max,
            }
        }
        std::str::from_utf8(&self.buffer).map_err(|_| Undecodable::BadUtf8)
    }
}

/// Whether zstd stopped because the output did not fit. The binding hands over only the library's text for the code.
fn is_too_small(error: &std::io::Error) -> bool {
    // 70 is ZSTD_error_dstSize_tooSmall of zstd_errors.h, stable since zstd 1.3.1; codes come negated in a size_t.
    error.to_string() == zstd_safe::get_error_name(0usize.wrapping_sub(70))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(text: &[u8]) -> Vec<u8> {
        zstd::bulk::Compressor::with_dictionary(3, DICTIONARY)
            .unwrap()
            .compress(text)
            .unwrap()
    }

    #[test]
    fn dictionary_is_the_published_one() {
        assert_eq!(DICTIONARY.len(), 112_640);
        assert_eq!(
            zstd_safe::get_dict_id_from_dict(DICTIONARY).map(NonZeroU32::get),
            Some(DICTIONARY_ID)
        );
    }

    #[test]
    fn round_trip_with_the_dictionary() {
        let mut decoder = Decoder::new(1 << 20).unwrap();
        for text in ["{}", "{\"did\":\"did:plc:x\"}", &"long ".repeat(100_000)] {
            assert_eq!(decoder.unpack(&pack(text.as_bytes())).unwrap(), text);
        }
    }

    #[test]
    fn declared_bomb_is_refused_before_unpacking() {
        let mut decoder = Decoder::new(1000).unwrap();
        assert_eq!(
            decoder.unpack(&pack(&vec![b'a'; 1001])),
            Err(Undecodable::Bomb { bytes_max: 1000 })
        );
        assert_eq!(
            decoder.unpack(&pack(&vec![b'a'; 1000])).unwrap().len(),
            1000
        );
    }

    #[test]
    fn undeclared_bomb_is_stopped_at_the_cap_and_its_buffer_given_back() {
        use std::io::Write as _;
        let mut encoder = zstd::Encoder::with_dictionary(Vec::new(), 3, DICTIONARY).unwrap();
        for _ in 0..64 {
            encoder.write_all(&[b'a'; 1 << 20]).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        assert!(bomb.len() < 100_000);
        let mut decoder = Decoder::new(4 << 20).unwrap();
        assert_eq!(
            decoder.unpack(&bomb),
            Err(Undecodable::Bomb { bytes_max: 4 << 20 })
        );
        assert!(decoder.buffer.capacity() <= BUFFER_BYTES);
        assert_eq!(decoder.unpack(&pack(b"{}")).unwrap(), "{}");
    }

    #[test]
    fn garbage_truncation_and_foreign_dictionaries_are_told_apart() {
        let mut decoder = Decoder::new(1 << 20).unwrap();
        assert!(matches!(decoder.unpack(b""), Err(Undecodable::BadZstd(_))));
        assert!(matches!(
            decoder.unpack(b"hello there, general"),
            Err(Undecodable::BadZstd(_))
        ));
        let whole = pack("some text that is long enough to cut".repeat(9).as_bytes());
        for end in 1..whole.len() {
            assert!(
                matches!(decoder.unpack(&whole[..end]), Err(Undecodable::BadZstd(_))),
                "cut at {end}"
            );
        }
        let mut foreign = whole.clone();
        // The id follows magic and descriptor; this frame has a single segment, so there is no window byte between.
        foreign[5..9].copy_from_slice(&7u32.to_le_bytes());
        assert_eq!(
            decoder.unpack(&foreign),
            Err(Undecodable::UnknownDictionary { id: 7 })
        );
        assert_eq!(
            decoder.unpack(&pack(&[0xff, 0xfe])),
            Err(Undecodable::BadUtf8)
        );
    }
}
