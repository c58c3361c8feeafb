//! Prose for posts and profiles, web addresses, and JSON strings. The words mean
//! nothing; what matters is that lengths, scripts and escapes are those of real posts.

use crate::ident::number;
use crate::rng::{Rng, mix};

/// A language: its tag, whether words are separated by spaces, its words.
struct Language {
    tag: &'static str,
    spaced: bool,
    words: &'static [&'static str],
}

const ENGLISH: Language = Language {
    tag: "en",
    spaced: true,
    words: &[
        "the",
        "a",
        "and",
        "of",
        "to",
        "in",
        "that",
        "it",
        "is",
        "was",
        "for",
        "on",
        "with",
        "this",
        "my",
        "you",
        "but",
        "not",
        "at",
        "so",
        "just",
        "we",
        "all",
        "today",
        "new",
        "about",
        "people",
        "think",
        "really",
        "time",
        "morning",
        "picture",
        "work",
        "never",
        "because",
        "little",
        "music",
        "garden",
        "weather",
        "finished",
        "reading",
        "drawing",
        "everyone",
        "wonderful",
        "question",
        "don't",
        "it's",
        "\"quoted\"",
        "coffee",
        "cats",
    ],
};

const JAPANESE: Language = Language {
    tag: "ja",
    spaced: false,
    words: &[
        "今日",
        "は",
        "の",
        "を",
        "見る",
        "猫",
        "が",
        "です",
        "ありがとう",
        "おはよう",
        "、",
        "。",
        "絵",
        "描いた",
        "と",
        "楽しい",
        "雨",
        "音楽",
        "に",
        "行く",
        "ね",
    ],
};

const PORTUGUESE: Language = Language {
    tag: "pt",
    spaced: true,
    words: &[
        "não",
        "que",
        "de",
        "uma",
        "hoje",
        "você",
        "muito",
        "bom",
        "dia",
        "gente",
        "então",
        "é",
        "música",
        "amanhã",
        "coração",
        "para",
        "com",
        "tudo",
        "aqui",
        "saudade",
    ],
};

const GERMAN: Language = Language {
    tag: "de",
    spaced: true,
    words: &[
        "und", "der", "die", "das", "heute", "nicht", "schön", "für", "über", "Wetter", "Katze",
        "morgen", "ganz", "viele", "Grüße", "aus", "dem", "Garten", "noch", "wieder",
    ],
};

const EMOJI: &[&str] = &["💦", "🌱", "😹", "❤️", "🏳️‍🌈", "✨", "👀"];

/// What a post says, before it is escaped for JSON: facets count its bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Prose {
    pub(crate) text: Vec<u8>,
    pub(crate) language: &'static str,
}

impl Prose {
    /// Replaces the text by about `bytes` bytes in some language.
    pub(crate) fn fill(&mut self, bytes: usize, rng: &mut Rng) {
        self.text.clear();
        let language = match rng.below(100) {
            0..=61 => &ENGLISH,
            62..=84 => &JAPANESE,
            85..=94 => &PORTUGUESE,
            _ => &GERMAN,
        };
        self.language = language.tag;
        // A letter of the spaced languages is one grapheme and mostly one byte.
        let bytes = if language.spaced {
            bytes.min(280)
        } else {
            bytes
        };
        while self.text.len() < bytes {
            if language.spaced && !self.text.is_empty() {
                self.text
                    .extend_from_slice(if rng.below(40) == 0 { b"\n\n" } else { b" " });
            }
            self.text
                .extend_from_slice(rng.pick(language.words).as_bytes());
        }
        if rng.percent(12) {
            self.text.extend_from_slice(rng.pick(EMOJI).as_bytes());
        }
    }

    /// Appends a part that a facet marks, after a space, and gives the byte range of the part.
    pub(crate) fn mark(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> (usize, usize) {
        if !self.text.is_empty() {
            self.text.push(b' ');
        }
        let start = self.text.len();
        write(&mut self.text);
        (start, self.text.len())
    }
}

/// Appends `text` as the inside of a JSON string.
pub(crate) fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(byte),
        }
    }
}

/// Pages that can be linked to.
pub(crate) const PAGES: u64 = 200_000;

const HOSTS: &[&str] = &[
    "www.youtube.com",
    "youtu.be",
    "www.theguardian.com",
    "www.nytimes.com",
    "media.tenor.com",
    "en.wikipedia.org",
    "github.com",
    "www.twitch.tv",
    "open.spotify.com",
    "arxiv.org",
];

/// Appends the address of the page at a place of the order of popularity: of the
/// shapes seen in posts, with paths, queries, fragments, ports, upper-case hosts
/// and letters beyond ASCII.
pub(crate) fn page(place: u64, out: &mut Vec<u8>) {
    let hash = mix(place ^ 0x7061_6765);
    let shape = hash % 100;
    out.extend_from_slice(if shape < 4 { b"http://" } else { b"https://" });
    if shape < 70 {
        let at = (hash >> 8) as usize % HOSTS.len();
        out.extend_from_slice(HOSTS.get(at).copied().unwrap_or_default().as_bytes());
    } else if shape < 72 {
        out.extend_from_slice(b"News.Example.ORG");
    } else if shape < 73 {
        out.extend_from_slice(b"localhost.example:8443");
    } else {
        out.extend_from_slice(b"site");
        number(hash >> 16 & 0xfff, out);
        out.extend_from_slice(b".example.com");
    }
    match hash >> 32 & 15 {
        0 => {}
        1 => out.push(b'/'),
        2..=5 => {
            out.extend_from_slice(b"/watch?v=");
            code(hash, out);
        }
        6..=9 => {
            out.extend_from_slice(b"/2026/01/");
            code(hash, out);
            out.extend_from_slice(b"?utm_source=bluesky&utm_medium=social");
        }
        10 => {
            out.extend_from_slice(b"/wiki/");
            code(hash, out);
            out.extend_from_slice(b"#History");
        }
        11 => {
            out.extend_from_slice("/straße/".as_bytes());
            code(hash, out);
        }
        _ => {
            out.extend_from_slice(b"/a/");
            code(hash, out);
            out.extend_from_slice(b"/page.html");
        }
    }
}

/// Eleven letters and digits that are this hash's own.
fn code(hash: u64, out: &mut Vec<u8>) {
    for i in 0..11 {
        let v = (hash >> (5 * i) & 31) as u8;
        out.push(if v < 26 { b'A' + v } else { b'2' + (v - 26) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_prose_reads_back() {
        let mut rng = Rng::new(4);
        let mut prose = Prose::default();
        for bytes in 0..400 {
            prose.fill(bytes, &mut rng);
            let (start, end) = prose.mark(|out| out.extend_from_slice(b"#tag"));
            assert_eq!(&prose.text[start..end], b"#tag");
            let mut json = vec![b'"'];
            escape(&prose.text, &mut json);
            json.push(b'"');
            let back: String = serde_json::from_slice(&json).unwrap();
            assert_eq!(back.as_bytes(), prose.text);
        }
    }

    #[test]
    fn pages_are_mostly_distinct_addresses() {
        let mut seen = std::collections::HashSet::new();
        for place in 0..2000 {
            let mut out = Vec::new();
            page(place, &mut out);
            let page = String::from_utf8(out).unwrap();
            assert!(page.starts_with("http"), "{page}");
            seen.insert(page);
        }
        assert!(seen.len() > 1800, "{}", seen.len());
    }
}
