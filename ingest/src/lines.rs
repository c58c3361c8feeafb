//! Bounded lines out of any reader. The compression is told by the first bytes, not by a name, so that
//! standard input may be compressed too.

use std::io::{self, BufRead, BufReader, Cursor, Read};

/// Longest line that is read, in bytes; the same as the longest message of a subscription. What is longer
/// is passed over without being kept.
pub const LINE_BYTES_MAX: usize = 32 << 20;

/// Bytes read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// Largest window of a zstd frame, as a power of two: what `zstd --long` makes, 128 MiB. The memory is
/// only taken when a frame asks for it.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What came of reading a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// The line is in the buffer, without its end.
    Whole,
    /// The line was longer than allowed and has been passed over.
    TooLong,
    /// There is none.
    End,
}

/// Reads lines.
pub(crate) struct Lines {
    reader: Box<dyn BufRead + Send>,
    bytes_max: usize,
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lines").finish_non_exhaustive()
    }
}

impl Lines {
    /// Reads lines of up to `bytes_max` bytes out of text, gzip or zstd, of several frames where there are
    /// several.
    ///
    /// # Errors
    ///
    /// When the first bytes cannot be read, or zstd cannot be set up.
    pub(crate) fn new(mut input: impl Read + Send + 'static, bytes_max: usize) -> io::Result<Self> {
        let mut head = Vec::with_capacity(ZSTD_MAGIC.len());
        // A pipe may give one byte at a time; `take` reads on until four are there or it ends.
        input
            .by_ref()
            .take(ZSTD_MAGIC.len() as u64)
            .read_to_end(&mut head)?;
        let is_gzip = head.starts_with(&GZIP_MAGIC);
        let is_zstd = head.starts_with(&ZSTD_MAGIC);
        let input = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(input));
        let reader: Box<dyn BufRead + Send> = if is_gzip {
            let decoder = flate2::bufread::MultiGzDecoder::new(input);
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        } else if is_zstd {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        } else {
            Box::new(input)
        };
        Ok(Self { reader, bytes_max })
    }

    /// Replaces `line` by the next line.
    ///
    /// # Errors
    ///
    /// When reading or unpacking fails; an incomplete compressed file counts as that.
    pub(crate) fn next_into(&mut self, line: &mut Vec<u8>) -> io::Result<Line> {
        line.clear();
        let mut is_too_long = false;
        let mut is_begun = false;
        loop {
            let buffer = match self.reader.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() && !is_begun {
                return Ok(Line::End);
            }
            is_begun = true;
            let end = memchr::memchr(b'\n', buffer);
            let part = buffer.get(..end.unwrap_or(buffer.len())).unwrap_or(buffer);
            if line.len() + part.len() > self.bytes_max {
                is_too_long = true;
                line.clear();
            }
            if !is_too_long {
                line.extend_from_slice(part);
            }
            let used = end.map_or(buffer.len(), |end| end + 1);
            let is_last = end.is_some() || buffer.is_empty();
            self.reader.consume(used);
            if is_last {
                return Ok(if is_too_long {
                    Line::TooLong
                } else {
                    Line::Whole
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// Gives one byte at a time, as a slow pipe may.
    struct Drip(Cursor<Vec<u8>>);

    impl Read for Drip {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = buffer.len().min(1);
            self.0.read(&mut buffer[..length])
        }
    }

    fn read(
        input: impl Read + Send + 'static,
        bytes_max: usize,
    ) -> io::Result<Vec<Option<Vec<u8>>>> {
        let mut lines = Lines::new(input, bytes_max)?;
        let mut line = Vec::new();
        let mut all = Vec::new();
        loop {
            match lines.next_into(&mut line)? {
                Line::Whole => all.push(Some(line.clone())),
                Line::TooLong => all.push(None),
                Line::End => return Ok(all),
            }
        }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_come_whole_whatever_the_last_one_ends_with() {
        for text in ["a\nbc\n\nd", "a\nbc\n\nd\n"] {
            let lines = read(Cursor::new(text.as_bytes().to_vec()), 100).unwrap();
            let wanted: Vec<_> = ["a", "bc", "", "d"].map(|line| Some(line.into())).into();
            assert_eq!(lines, wanted, "{text:?}");
        }
        assert!(read(Cursor::new(Vec::new()), 100).unwrap().is_empty());
    }

    #[test]
    fn a_long_line_is_passed_over_and_the_next_one_is_read() {
        let mut text = vec![b'x'; 3 * BUFFER_BYTES];
        text.extend_from_slice(b"\nnext\n12345\n123456");
        let lines = read(Cursor::new(text), 5).unwrap();
        assert_eq!(
            lines,
            [None, Some(b"next".to_vec()), Some(b"12345".to_vec()), None]
        );
    }

    #[test]
    fn compression_is_told_by_the_first_bytes_even_of_a_slow_pipe() {
        let text = b"one\ntwo\n";
        let mut two_frames = gzip(text);
        two_frames.extend(gzip(b"three\n"));
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        for (input, count) in [(text.to_vec(), 2), (two_frames, 3), (zstd, 2)] {
            let lines = read(Drip(Cursor::new(input)), 100).unwrap();
            assert_eq!(lines.len(), count);
            assert_eq!(lines[1], Some(b"two".to_vec()));
        }
    }

    #[test]
    fn a_cut_compressed_file_is_an_error_and_not_an_end() {
        let text: Vec<u8> = (0..5000u32)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        for packed in [gzip(&text), zstd::encode_all(&text[..], 1).unwrap()] {
            let cut = packed[..packed.len() / 2].to_vec();
            assert!(read(Cursor::new(cut), 100).is_err());
        }
    }

    proptest! {
        #[test]
        fn agrees_with_splitting(text: Vec<u8>, bytes_max in 0usize..20) {
            prop_assume!(!text.starts_with(&GZIP_MAGIC) && !text.starts_with(&ZSTD_MAGIC));
            let mut wanted: Vec<_> = text
                .split(|&byte| byte == b'\n')
                .map(|line| (line.len() <= bytes_max).then(|| line.to_vec()))
                .collect();
            if text.is_empty() || text.ends_with(b"\n") {
                wanted.pop();
            }
            prop_assert_eq!(read(Cursor::new(text), bytes_max).unwrap(), wanted);
        }
    }
}
