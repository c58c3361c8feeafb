//! The thread beside the writer: when it rests, when it tries again what failed, and how it is stopped.

use std::io;
use std::path::Path;
use std::sync::mpsc;

use super::*;
use crate::compaction::hooked_fs::HookedFs;
use crate::io::Fs;
use crate::io::fault::SimFs;
use crate::power_cut_tests::{Step, apply};
use crate::store::{SCRATCH, SEGMENTS};
use crate::{Options, Store, Writer};

const DIR: &str = "data";
/// Longer than any test.
const NEVER: Duration = Duration::from_secs(3_600);

fn options(compact: bool, merge_retry: Duration) -> Options {
    Options {
        compact,
        merge_retry,
        compact_fan_in: 2,
        compact_share: 1.0,
        disk_reserve: 0,
        ..Options::default()
    }
}

fn write(writer: &mut Writer, place: u64) {
    let step = Step::Write {
        actor: place % 4,
        key: place,
        target: 2,
    };
    apply(writer, place, step).unwrap();
}

/// So many sealed segments of 100 rows each.
fn segments(count: u64) -> SimFs {
    let fs = SimFs::new();
    let options = options(false, NEVER);
    let store = Store::open_with_fs(fs.shared(), Path::new(DIR), options).unwrap();
    let mut writer = store.writer().unwrap();
    for place in 1..=count * 100 {
        write(&mut writer, place);
        if place % 100 == 0 {
            writer.seal().unwrap();
        }
    }
    writer.close().unwrap();
    fs
}

fn names(fs: &SimFs, below: &str) -> Vec<String> {
    let entries = fs.list(&Path::new(DIR).join(below)).unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn looks(compaction: &Compaction) -> u64 {
    compaction.counts.looks.load(Ordering::Relaxed)
}

/// A file layer on which `fails` decides of each file of a segment whether it can be created. Merges create one each,
/// and so do seals.
fn failing(fs: &SimFs, fails: impl Fn() -> bool + Send + Sync + 'static) -> Arc<dyn Fs> {
    let segments = Path::new(DIR).join(SEGMENTS);
    HookedFs::shared(fs.shared(), move |path| {
        if path.starts_with(&segments) && fails() {
            return Err(io::Error::other("a merge that fails"));
        }
        Ok(())
    })
}

#[test]
fn the_thread_rests_while_a_merge_waits_to_be_installed_though_one_that_failed_may_be_tried_again()
{
    let fs = segments(4);
    let is_over = AtomicBool::new(false);
    let failing = failing(&fs, move || !is_over.swap(true, Ordering::Relaxed));
    // Far longer than the thread takes to go on to the other merge.
    let retry = Duration::from_secs(2);
    let store = Store::open_with_fs(failing, Path::new(DIR), options(true, retry)).unwrap();
    let mut writer = store.writer().unwrap();
    // So that what is merged waits for a seal.
    write(&mut writer, 401);
    let shared = Arc::clone(&writer.shared);
    let compaction = &shared.compaction;
    wait_until("a merge", || compaction.waiting().is_some());
    std::thread::sleep(retry + retry / 4);
    let before = looks(compaction);
    std::thread::sleep(Duration::from_millis(300));
    let looked = looks(compaction) - before;
    assert!(looked < 10, "it looked {looked} times for something to do");
    // The other one is known to have failed, and made once there is a place for it.
    let status = store.status().compaction;
    assert_eq!(status.merges, 1);
    let failure = status.failure.expect("one failed and was not made since");
    assert!(failure.contains("a merge that fails"), "{failure}");
    writer.seal().unwrap();
    wait_until("the other merge", || store.status().compaction.merges == 2);
    wait_until("an end of the failure", || {
        store.status().compaction.failure.is_none()
    });
}

#[test]
fn a_thread_with_a_merge_to_try_again_hears_when_the_one_that_waits_is_given_up() {
    let fs = segments(4);
    let is_over = AtomicBool::new(false);
    let failing = failing(&fs, move || !is_over.swap(true, Ordering::Relaxed));
    let retry = Duration::from_secs(2);
    let store = Store::open_with_fs(failing, Path::new(DIR), options(true, retry)).unwrap();
    let mut writer = store.writer().unwrap();
    write(&mut writer, 401);
    let compaction = &writer.shared.compaction;
    wait_until("a merge", || compaction.waiting().is_some());
    std::thread::sleep(retry + retry / 4);
    assert!(compaction.give_way(&writer.shared));
    wait_until("the other merge", || compaction.waiting().is_some());
}

#[test]
fn no_merge_begins_between_taking_one_to_install_it_and_publishing_what_it_replaces() {
    let fs = segments(4);
    let store = Store::open_with_fs(fs.shared(), Path::new(DIR), options(true, NEVER)).unwrap();
    let mut writer = store.writer().unwrap();
    let shared = Arc::clone(&writer.shared);
    let compaction = &shared.compaction;
    wait_until("a merge", || compaction.waiting().is_some());
    let mut segments = writer.generation.segments.clone();
    let removed = writer.install_waiting(&mut segments).unwrap();
    assert_eq!((removed.len(), segments.len()), (2, 3));
    // The writer freed something meanwhile: the thread wakes, and looks for what to merge.
    let before = looks(compaction);
    compaction.tell_of_room();
    wait_until("a look", || looks(compaction) > before);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(store.status().compaction.merges, 1, "of what is replaced");
    writer.publish_segments(segments);
    writer.unlink_segments(&removed);
    // What was made of the new ones finds its inputs.
    wait_until("the other merge", || compaction.waiting().is_some());
    writer.install_between_seals().unwrap();
    assert_eq!(writer.generation.segments.len(), 2);
}

#[test]
fn a_merge_that_failed_is_not_tried_again_before_its_wait_is_over_whatever_is_sealed() {
    let fs = segments(2);
    let (tried, tries) = mpsc::channel();
    let failing = failing(&fs, move || tried.send(()).is_ok());
    let store = Store::open_with_fs(failing, Path::new(DIR), options(true, NEVER)).unwrap();
    let writer = store.writer().unwrap();
    let compaction = &writer.shared.compaction;
    wait_until("a failure", || store.status().compaction.failure.is_some());
    for _ in 0..20 {
        let before = looks(compaction);
        compaction.notify();
        wait_until("a look", || looks(compaction) > before + 1);
    }
    assert_eq!(tries.try_iter().count(), 1);
    assert!(store.status().compaction.failure.is_some());
}

#[test]
fn a_merge_that_fails_is_tried_again_by_itself_after_longer_and_longer_waits() {
    let fs = segments(2);
    let (tried, tries) = mpsc::channel();
    let failing = failing(&fs, move || tried.send(Instant::now()).is_ok());
    let retry = Duration::from_millis(20);
    let store = Store::open_with_fs(failing, Path::new(DIR), options(true, retry)).unwrap();
    let _writer = store.writer().unwrap();
    let next = || tries.recv_timeout(Duration::from_secs(60)).unwrap();
    let mut before = next();
    for wait in [20, 40, 80] {
        let at = next();
        assert!(at - before >= Duration::from_millis(wait), "{wait} ms");
        before = at;
    }
}

/// A store with two segments whose merge stands before its first byte until `go_on` is dropped or sent to.
fn standing(fs: &SimFs) -> (Arc<dyn Fs>, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (reached, is_reached) = mpsc::channel();
    let (go_on, opened) = mpsc::channel::<()>();
    let gate = Mutex::new(Some((reached, opened)));
    let hooked = failing(fs, move || {
        let passes = gate.lock().take();
        if let Some((reached, opened)) = passes {
            let _ = reached.send(());
            let _ = opened.recv();
        }
        false
    });
    (hooked, is_reached, go_on)
}

#[test]
fn a_merge_counts_as_running_until_what_it_made_can_be_taken() {
    let fs = segments(2);
    let (hooked, is_reached, go_on) = standing(&fs);
    let store = Store::open_with_fs(hooked, Path::new(DIR), options(true, NEVER)).unwrap();
    let writer = store.writer().unwrap();
    is_reached.recv_timeout(Duration::from_secs(60)).unwrap();
    let compaction = &writer.shared.compaction;
    {
        // What the merge makes cannot be put down.
        let _slot = compaction.slot.lock();
        drop(go_on);
        wait_until("the merge", || compaction.counts.merges.status().times == 1);
        assert_eq!(compaction.counts.running.load(Ordering::Relaxed), 1);
    }
    assert!(compaction.give_way(&writer.shared));
    assert_eq!(names(&fs, SEGMENTS).len(), 2, "it is given up");
}

#[test]
fn a_running_merge_gives_way_to_the_writer_and_leaves_nothing_behind() {
    let fs = segments(2);
    let (hooked, is_reached, go_on) = standing(&fs);
    let store = Store::open_with_fs(hooked, Path::new(DIR), options(true, NEVER)).unwrap();
    let mut writer = store.writer().unwrap();
    is_reached.recv_timeout(Duration::from_secs(60)).unwrap();
    let shared = Arc::clone(&writer.shared);
    let compaction = &shared.compaction;
    std::thread::scope(|scope| {
        let gave = scope.spawn(|| compaction.give_way(&shared));
        wait_until("the writer's word", || {
            compaction.must_give_way.load(Ordering::Relaxed)
        });
        assert!(!gave.is_finished(), "it waits for the end of the merge");
        drop(go_on);
        assert!(gave.join().unwrap());
    });
    let status = store.status().compaction;
    assert_eq!((status.is_running, status.merges), (false, 0));
    assert!(compaction.waiting().is_none());
    assert_eq!(names(&fs, SEGMENTS).len(), 2);
    assert_eq!(names(&fs, SCRATCH), [""; 0]);
    // It is made again once there is room.
    writer.seal().unwrap();
    compaction.tell_of_room();
    wait_until("the merge", || store.status().compaction.merges == 1);
}
