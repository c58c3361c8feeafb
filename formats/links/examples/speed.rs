//! Prints the time one record takes, for a few typical records. Build it with optimisations:
//! `cargo run --release -p orrery-links --example speed`. With a number of rounds and the
//! start of a name as arguments it only runs that record so often, for use under a profiler that counts
//! instructions.

use std::hint::black_box;
use std::time::Instant;

use orrery_links::Extractor;
use orrery_links::syntax::{Did, Nsid, RecordKey, Tid};

const LIKE: &str = r#"{"$type":"app.bsky.feed.like","createdAt":"2031-01-01T00:00:00.000Z","subject":{"cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a","uri":"at://did:plc:7iza6de2dwap2sbkpav7c6c6/app.bsky.feed.post/3jzfcijpj2z2a"}}"#;

const LIKE_VIA: &str = r#"{"$type":"app.bsky.feed.like","createdAt":"2031-01-01T00:00:00.000Z","subject":{"cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a","uri":"at://did:plc:7iza6de2dwap2sbkpav7c6c6/app.bsky.feed.post/3jzfcijpj2z2a"},"via":{"cid":"bafyreihu2n4mvvpe6erimgu7ewvzzlx5oayxr3lyzdjtmbqdwsdwgtbnqm","uri":"at://did:plc:ragtjsm2j2vknwkz3zp4oxrd/app.bsky.feed.repost/3jzfcijpj2z2b"}}"#;

const FOLLOW: &str = r#"{"$type":"app.bsky.graph.follow","createdAt":"2031-01-01T00:00:00.000Z","subject":"did:plc:7iza6de2dwap2sbkpav7c6c6"}"#;

const POST: &str = r#"{"$type":"app.bsky.feed.post","createdAt":"2031-01-01T00:00:00.000Z","embed":{"$type":"app.bsky.embed.external","external":{"description":"A page about the mechanical model of the planets, how its gears were cut, and who built the first ones.","thumb":{"$type":"blob","mimeType":"image/jpeg","ref":{"$link":"bafkreibabalobzn6cd366ukcsjycp4yymjymgfxcv6xczmlgpemzkz3cfa"},"size":184320},"title":"Orreries, old and new","uri":"https://museum.example/collections/orreries?page=2"}},"facets":[{"features":[{"$type":"app.bsky.richtext.facet#mention","did":"did:plc:ragtjsm2j2vknwkz3zp4oxrd"}],"index":{"byteEnd":14,"byteStart":0}}],"langs":["en"],"reply":{"parent":{"cid":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a","uri":"at://did:plc:7iza6de2dwap2sbkpav7c6c6/app.bsky.feed.post/3jzfcijpj2z2a"},"root":{"cid":"bafyreihu2n4mvvpe6erimgu7ewvzzlx5oayxr3lyzdjtmbqdwsdwgtbnqm","uri":"at://did:plc:ragtjsm2j2vknwkz3zp4oxrd/app.bsky.feed.post/3jzfcijpj2z2b"}},"text":"@alice.example look at this one: it has moons!\n\nThe gear train for the outer planets is — of course — simplified."}"#;

fn main() {
    let rounds = std::env::args()
        .nth(1)
        .and_then(|rounds| rounds.parse().ok());
    let mut extractor = Extractor::default();
    for (name, record) in [
        ("like", LIKE),
        ("like with via", LIKE_VIA),
        ("follow", FOLLOW),
        ("post", POST),
    ] {
        let name = format!("{name}, {} bytes", record.len());
        measure(&name, rounds, || {
            extractor
                .extract_json(black_box(record.as_bytes()))
                .map_or(0, |extraction| {
                    extraction
                        .links()
                        .map(|link| link.path.len() + link.target.len())
                        .sum()
                })
        });
    }
    measure("strict DID, NSID, record key and TID", rounds, || {
        let did = Did::parse(black_box("did:plc:7iza6de2dwap2sbkpav7c6c6"))
            .map_or(0, |did| did.as_str().len());
        let nsid =
            Nsid::parse(black_box("app.bsky.feed.like")).map_or(0, |nsid| nsid.as_str().len());
        let key = RecordKey::parse(black_box("3jzfcijpj2z2a")).map_or(0, |key| key.as_str().len());
        let tid =
            Tid::parse(black_box("3jzfcijpj2z2a")).map_or(0, |tid| usize::from(tid.clock_id()));
        did + nsid + key + tid
    });
}

/// Runs `work` in rounds and prints the fastest round, which other load on the machine disturbs least.
#[allow(clippy::print_stdout, reason = "an example prints its result")]
fn measure(name: &str, rounds: Option<u32>, mut work: impl FnMut() -> usize) {
    if let Some(rounds) = rounds {
        if !name.starts_with(&std::env::args().nth(2).unwrap_or_default()) {
            return;
        }
        for _ in 0..rounds {
            black_box(work());
        }
        return;
    }
    const CALLS: u32 = 20_000;
    let mut fastest_ns = f64::INFINITY;
    for _ in 0..25 {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(work());
        }
        fastest_ns = fastest_ns.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    println!("{name}: {fastest_ns:.0} ns");
}
