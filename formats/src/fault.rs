//! The file `FAULT`: which mapped file could not be read when the process died by SIGBUS. It is written by
//! a signal handler, so encoding allocates nothing and cannot fail. It is a hint and has no checksum:
//! whoever reads it checks the files themselves.

/// The name of the file in the data directory.
pub const FILE_NAME: &str = "FAULT";
/// The most bytes of such a file.
pub const BYTES_MAX: usize = 160;
/// The most bytes of a name in it; a longer one is left out.
pub const NAME_BYTES_MAX: usize = 96;

const HEAD: &[u8] = b"orrery fault 1\n";

/// What a file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The path of the file within the data directory, with `/` between its parts.
    pub name: String,
    /// Where in the file the read failed.
    pub offset: u64,
}

/// Writes the file for a read of `name` that failed at `offset`; an empty name stands for a file that is
/// not known. Gives the number of bytes. Allocates nothing.
pub fn encode(name: &[u8], offset: u64, out: &mut [u8; BYTES_MAX]) -> usize {
    // Digits of the offset, last one first.
    let mut digits = [b'0'; 20];
    let mut rest = offset;
    let mut count = 0;
    for digit in &mut digits {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    let name = if name.len() > NAME_BYTES_MAX {
        b""
    } else {
        name
    };
    let text = HEAD
        .iter()
        .chain(name)
        .chain(b"\n")
        .chain(digits.iter().take(count).rev())
        .chain(b"\n");
    let mut written = 0;
    for (place, byte) in out.iter_mut().zip(text) {
        *place = *byte;
        written += 1;
    }
    written
}

/// Reads the file. `None` where it names no file, or is torn: any file may be the damaged one then.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Fault> {
    let rest = bytes.strip_prefix(HEAD)?.strip_suffix(b"\n")?;
    let (name, offset) = std::str::from_utf8(rest).ok()?.split_once('\n')?;
    // A name leads to a file within the directory and nowhere else.
    let is_inside = name
        .split('/')
        .all(|part| !matches!(part, "" | "." | "..") && !part.contains('\\'));
    if !is_inside || name.len() > NAME_BYTES_MAX {
        return None;
    }
    Some(Fault {
        name: name.to_owned(),
        offset: offset.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(name: &str, offset: u64) -> Vec<u8> {
        let mut out = [0; BYTES_MAX];
        let bytes = encode(name.as_bytes(), offset, &mut out);
        out[..bytes].to_vec()
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        assert_eq!(
            encoded("segments/a.seg", 65_536),
            b"orrery fault 1\nsegments/a.seg\n65536\n"
        );
        assert_eq!(encoded("", 0), b"orrery fault 1\n\n0\n");
    }

    #[test]
    fn what_is_written_is_read() {
        for offset in [0, 9, 10, u64::MAX] {
            let name = "s".repeat(NAME_BYTES_MAX);
            let found = decode(&encoded(&name, offset)).unwrap();
            assert_eq!((found.name, found.offset), (name, offset));
        }
    }

    #[test]
    fn what_names_no_file_of_the_directory_names_none() {
        let sound = encoded("segments/a.seg", 7);
        for cut in 0..sound.len() {
            assert_eq!(decode(&sound[..cut]), None, "cut at {cut}");
        }
        for name in ["", "/etc/passwd", "../x", "a/../b", "a//b", "."] {
            assert_eq!(decode(&encoded(name, 7)), None, "{name}");
        }
        assert_eq!(
            decode(&encoded(&"s".repeat(NAME_BYTES_MAX + 1), 7)),
            None,
            "a name too long is left out"
        );
        assert_eq!(decode(b"orrery fault 2\na\n1\n"), None);
        assert_eq!(decode(b"orrery fault 1\na\n-1\n"), None);
    }
}
