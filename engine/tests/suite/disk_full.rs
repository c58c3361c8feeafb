//! Pauses and resumes on a real file system that is too small: a tmpfs, where this process may mount one.
#![cfg(target_os = "linux")]
use std::path::Path;
use std::process::Command;

use orrery_engine::event::{Body, Encoding, Event, Operation, Record};
use orrery_engine::{Applied, Error, Options, Store, Writer};

struct Tmpfs<'a>(&'a Path);

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0).status());
    }
}

fn mount(path: &Path) -> Option<Tmpfs<'_>> {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
        .arg(path)
        .output();
    if mounted.is_ok_and(|output| output.status.success()) {
        return Some(Tmpfs(path));
    }
    eprintln!("skipped: only root can mount a file system to fill");
    None
}

fn write(writer: &mut Writer, place: u64) -> orrery_engine::Result<Applied> {
    let time_us = 1_767_225_600_000_000 + place * 1_000;
    let body = format!(r#"{{"subject":"https://example.org/{place}"}}"#);
    writer.apply(&Event {
        time_us,
        did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa",
        body: Body::Commit {
            rev: time_us << 10,
            collection: "app.bsky.feed.like",
            rkey: &format!("k{place}"),
            operation: Operation::Create(Record {
                cid: "",
                encoding: Encoding::Json,
                body: body.as_bytes(),
            }),
        },
    })
}

#[test]
fn a_hundred_times_full_and_free_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = mount(dir.path()) else {
        return;
    };
    let mut options = Options::default();
    options.disk_reserve = 64 << 10;
    options.commit_bytes = 64 << 10;
    options.seal_events = 2_000;
    options.log_bytes_max = 1 << 20;
    let store = Store::open(dir.path().join("data"), options.clone()).unwrap();
    let mut writer = store.writer().unwrap();
    let filler = dir.path().join("filler");
    let everything = vec![1; 16 << 20];
    let mut place = 0;
    let mut applied = || -> Result<(), Error> {
        write(&mut writer, place + 1)?;
        place += 1;
        Ok(())
    };
    for _ in 0..100 {
        for _ in 0..50 {
            applied().unwrap();
        }
        // Someone else takes all there is.
        std::fs::write(&filler, &everything).unwrap_err();
        let full = loop {
            if let Err(error) = applied() {
                break error;
            }
        };
        assert!(matches!(full, Error::DiskFull { .. }), "{full}");
        assert!(store.status().paused.is_some());
        assert_eq!(
            store.snapshot().totals().live_rows,
            store.snapshot().last_seq()
        );
        std::fs::remove_file(&filler).unwrap();
    }
    applied().unwrap();
    assert_eq!(store.status().paused, None);
    writer.commit().unwrap();
    assert_eq!(store.status().poisoned, None);
    drop((store, writer));
    let store = Store::open(dir.path().join("data"), options).unwrap();
    assert_eq!(store.snapshot().totals().live_rows, place);
    store.verify().unwrap();
}
