//! The names that generated events are made of. A small universe makes collisions frequent: the same record
//! written again, the same target from everywhere.

/// Microseconds since 1970 at which generated events begin: 2026-11-01T00:00:00Z.
pub const START_US: u64 = 1_793_491_200_000_000;

/// A set of names.
#[derive(Debug, Clone)]
pub struct Universe {
    pub dids: Vec<String>,
    /// Collections, each with its record keys.
    pub collections: Vec<(String, Vec<String>)>,
    /// Targets as records hold them, in normal form or not.
    pub targets: Vec<String>,
    /// Further forms and strangers, to ask for.
    pub asked: Vec<String>,
}

/// A TID as text: 53 bits of microseconds, 10 of clock id, in the sortable base 32 of atproto.
pub fn tid(time_us: u64, clock: u64) -> String {
    const DIGITS: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
    let value = (time_us << 10) | (clock & 0x3ff);
    (0..13)
        .map(|i| char::from(DIGITS[(value >> (60 - 5 * i)) as usize & 31]))
        .collect()
}

/// The paths at which generated records link.
pub const PATHS: [&str; 4] = [
    ".subject",
    ".via.uri",
    ".items[]",
    ".facets[app.test.richtext#link].features[].uri",
];

fn strings(of: &[&str]) -> Vec<String> {
    of.iter().map(|s| (*s).to_owned()).collect()
}

impl Universe {
    /// Five accounts, four collections, targets of every kind.
    pub fn small() -> Self {
        let dids = strings(&[
            "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa",
            "did:plc:bbbbbbbbbbbbbbbbbbbbbbb2",
            "did:plc:short",
            "did:web:link.example",
            "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
        ]);
        let now = tid(START_US + 10_000, 3);
        let soon = tid(START_US + 60_000_000, 31);
        let collections = vec![
            (
                "app.test.like".to_owned(),
                vec![now.clone(), soon.clone(), tid(START_US, 0)],
            ),
            // A TID from long ago and one from the far future: times that say nothing of the event's.
            (
                "app.test.follow".to_owned(),
                vec![
                    now.clone(),
                    tid(1_600_000_000_000_000, 7),
                    tid(4_000_000_000_000_000, 7),
                ],
            ),
            ("app.test.profile".to_owned(), strings(&["self"])),
            // Nearly TIDs: too long, a digit outside the alphabet, a high bit that no TID has.
            (
                "app.test.odd".to_owned(),
                strings(&[
                    "zzzzzzzzzzzzz",
                    "3jzfcijpj2z2a2",
                    "3jzfcijpj2z1a",
                    "a:b-c_d~e.f",
                ]),
            ),
        ];
        let targets = vec![
            dids[0].clone(),
            format!("at://{}/app.test.like/{now}", dids[1]),
            format!("at://{}", dids[0]),
            "at://Alice.Example/app.test.post/3kabc".to_owned(),
            "HTTPS://Site.Example/Page?q=A".to_owned(),
            format!("at://{}/app.test.like/{now}#Frag", dids[1]),
            format!("at://{}/app.test.profile/self/", dids[3]),
            "did:plc:neverwrites2222222222222".to_owned(),
            format!("at://{}", dids[2]),
            "mailto:A@b.example".to_owned(),
        ];
        let asked = vec![
            format!("at://{}/", dids[0]),
            format!("AT://{}", dids[3]),
            "at://did:plc:neverwrites2222222222222".to_owned(),
            dids[2].clone(),
            "https://SITE.example/Page?q=A".to_owned(),
            "https://site.example/page?q=A".to_owned(),
            "at://did:plc:unknown/app.test.like/3k".to_owned(),
            "nothing at all".to_owned(),
            String::new(),
        ];
        Self {
            dids,
            collections,
            targets,
            asked,
        }
    }

    /// Enough names that several segments differ in what they hold.
    pub fn large() -> Self {
        let small = Self::small();
        let dids: Vec<String> = (0..300_u32)
            .map(|i| match i % 10 {
                0 => format!("did:web:host{i}.example"),
                _ => format!("did:plc:{:a>24}", base32(i)),
            })
            .collect();
        let times: Vec<String> = (0..40)
            .map(|i| tid(START_US + i * 900_000, i % 32))
            .collect();
        let mut targets = small.targets;
        for i in 0..400_usize {
            let did = &dids[i * 7 % dids.len()];
            targets.push(match i % 5 {
                0 => did.clone(),
                1 => format!("https://site{i}.example/page"),
                2 => format!("at://{did}/app.test.profile/self"),
                _ => format!("at://{did}/app.test.like/{}", times[i % times.len()]),
            });
        }
        let collections = vec![
            ("app.test.like".to_owned(), times.clone()),
            ("app.test.follow".to_owned(), times),
            ("app.test.profile".to_owned(), strings(&["self"])),
            (
                "app.test.odd".to_owned(),
                (0..8).map(|i| format!("key-{i}")).collect(),
            ),
        ];
        Self {
            dids,
            collections,
            targets,
            asked: small.asked,
        }
    }

    /// Many accounts that write about a few targets under a few keys: lists of hundreds of rows, many of them dead.
    pub fn crowded() -> Self {
        let mut crowded = Self::large();
        crowded.targets.truncate(5);
        crowded.collections.truncate(2);
        for (_, keys) in &mut crowded.collections {
            keys.truncate(5);
        }
        crowded
    }

    /// Every (collection, key), numbered.
    pub fn keys(&self) -> Vec<(&str, &str)> {
        self.collections
            .iter()
            .flat_map(|(collection, keys)| {
                keys.iter()
                    .map(move |key| (collection.as_str(), key.as_str()))
            })
            .collect()
    }

    /// Every string that is asked for as a target.
    pub fn questions(&self) -> Vec<&str> {
        self.targets
            .iter()
            .chain(&self.asked)
            .map(String::as_str)
            .collect()
    }
}

fn base32(mut i: u32) -> String {
    let mut text = String::new();
    for _ in 0..4 {
        text.push(char::from(
            b"abcdefghijklmnopqrstuvwxyz234567"[i as usize & 31],
        ));
        i >>= 5;
    }
    text
}
