//! The shared real data, which is no part of this repository: it is looked for beside it, or where
//! `ORRERY_SHARED` says.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A file of the shared data, or `None`, said on standard error, where there is none.
pub fn file(path: &str) -> Option<PathBuf> {
    let shared = match std::env::var_os("ORRERY_SHARED") {
        Some(shared) => PathBuf::from(shared),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
    };
    let path = shared.join("data").join(path);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is absent", path.display());
    None
}

pub fn bytes(path: &str) -> Option<Vec<u8>> {
    file(path).map(|path| fs::read(path).unwrap())
}

pub fn text(path: &str) -> Option<String> {
    bytes(path).map(|bytes| String::from_utf8(bytes).unwrap())
}

pub fn json(path: &str) -> Option<Value> {
    text(path).map(|text| serde_json::from_str(&text).unwrap())
}

/// The cases of a JSON list.
pub fn cases(path: &str) -> Option<Vec<Value>> {
    let Value::Array(cases) = json(path)? else {
        panic!("{path} is no list");
    };
    assert!(!cases.is_empty(), "{path} holds no case");
    Some(cases)
}

/// A file compressed with zstd.
pub fn zstd(path: &str) -> Option<Vec<u8>> {
    let file = fs::File::open(file(path)?).unwrap();
    let mut decoder = zstd::Decoder::new(file).unwrap();
    decoder.window_log_max(27).unwrap();
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

/// The files of a tar archive compressed with zstd.
pub fn tar(path: &str) -> Option<BTreeMap<String, Vec<u8>>> {
    let bytes = zstd(path)?;
    let mut files = BTreeMap::new();
    let mut rest = bytes.as_slice();
    while rest.len() >= 512 && rest[0] != 0 {
        let (header, tail) = rest.split_at(512);
        let name = header[..100].split(|byte| *byte == 0).next().unwrap();
        let size = header[124..136].split(|byte| *byte == 0).next().unwrap();
        let size = std::str::from_utf8(size).unwrap().trim();
        let size = usize::from_str_radix(size, 8).unwrap();
        if matches!(header[156], b'0' | 0) {
            let name = String::from_utf8(name.to_vec()).unwrap();
            files.insert(name, tail[..size].to_vec());
        }
        rest = &tail[size.next_multiple_of(512).min(tail.len())..];
    }
    assert!(!files.is_empty(), "{path} holds no file");
    Some(files)
}

pub fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Reads base64, with padding or without.
pub fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    let (mut held, mut bits) = (0u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == c).unwrap();
        held = held << 6 | digit as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    out
}

/// A field that is text.
pub fn str<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no text {field} in {value}"))
}
