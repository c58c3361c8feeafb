//! A read error in a mapped file has no return value: the system sends SIGBUS, and the process dies. The
//! handler here leaves word of which file it was, in the file `FAULT` of the data directory, so that the
//! next open finds the damage instead of dying by it again. The process still dies.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{c_int, c_void, siginfo_t};
use orrery_formats::fault::{BYTES_MAX, FILE_NAME, encode};
use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};

use super::table;

/// The data directory whose mappings are entered. The handler does not touch it.
static WATCHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// What the handler needs, made ready before it is installed and never changed or freed after.
struct Ready {
    marker: CString,
    dir: OwnedFd,
    previous: libc::sigaction,
}

static READY: AtomicPtr<Ready> = AtomicPtr::new(ptr::null_mut());

/// As long as this process lives, a read error in a mapping of a file below `dir` leaves the file `FAULT`
/// in `dir`, which is made where it is not there, before the process dies by SIGBUS. To be called once,
/// before the store of that directory is opened; mappings made before are not watched. A SIGBUS from
/// anywhere else goes to whatever handled it before.
///
/// # Errors
/// `AlreadyExists` when another directory is watched; what the system says against opening `dir` or
/// against the handler.
pub fn catch_faults(dir: &Path) -> io::Result<()> {
    let mut watched = WATCHED.lock();
    match &*watched {
        Some(known) if known == dir => return Ok(()),
        Some(known) => {
            let text = format!("{} is watched already", known.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        None => {}
    }
    std::fs::create_dir_all(dir)?;
    let marker = CString::new(dir.join(FILE_NAME).as_os_str().as_bytes())?;
    let handle = rustix::fs::open(dir, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut previous = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: with a null action `sigaction` changes nothing and writes the present action to the third
    // argument, which points to room for one.
    let asked = unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), previous.as_mut_ptr()) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    let ready = Ready {
        marker,
        dir: handle,
        // SAFETY: the call above succeeded, so it has written the whole action.
        previous: unsafe { previous.assume_init() },
    };
    // Leaked on purpose: a signal may come at any moment from here on.
    READY.store(Box::into_raw(Box::new(ready)), Ordering::Release);
    // SAFETY: `sigaction` is a plain structure of integers, for which zeros are valid: no flags, an empty
    // mask of blocked signals.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_sigbus as *const () as usize;
    // On the alternate stack where the thread has one, as the handler of the standard library.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the action is a handler of the kind that SA_SIGINFO announces. It calls only what is safe
    // within a signal handler: see there.
    let set = unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    *watched = Some(dir.to_owned());
    Ok(())
}

/// Enters a mapping where it is of a file below the watched directory.
pub(super) fn enter(path: &Path, bytes: &[u8]) -> Option<table::Entry> {
    let watched = WATCHED.lock();
    let name = path.strip_prefix(watched.as_deref()?).ok()?.to_str()?;
    Some(table::enter(bytes.as_ptr() as usize, bytes.len(), name))
}

/// Whether the code is that of a failed access, and the access is made again when the handler returns.
fn is_fault(code: c_int) -> bool {
    // BUS_ADRALN, BUS_ADRERR, BUS_OBJERR and BUS_MCEERR_AR.
    (1..=4).contains(&code)
}

/// The handler. It runs on a thread that was stopped anywhere, maybe within the allocator: it takes no
/// lock, allocates nothing, cannot panic, and makes only system calls.
extern "C" fn on_sigbus(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the pointer is null or was made by `Box::into_raw` before the handler was installed, and is
    // never freed; nobody holds a mutable reference.
    let Some(ready) = (unsafe { READY.load(Ordering::Acquire).as_ref() }) else {
        return;
    };
    // SAFETY: for a handler with SA_SIGINFO the kernel passes a pointer to a whole `siginfo_t`, and for
    // SIGBUS with one of the codes that `is_fault` names its address member is set.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    if is_fault(code)
        && let Some(found) = table::find(address)
    {
        leave_word(ready, &found);
        // The access is made again at the return, and ends the process as it would have without us.
        // SAFETY: zeros are a valid action, the default one (SIG_DFL is 0, no flags, an empty mask), and
        // `sigaction` is among the calls that POSIX allows in a handler.
        unsafe {
            let default: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, &raw const default, ptr::null_mut());
        }
        return;
    }
    pass_on(&ready.previous, signal, info, context, is_fault(code));
}

/// Writes the marker, and a line to standard error. Whatever fails, nothing can be done about it.
fn leave_word(ready: &Ready, found: &table::Found) {
    let mut text = [0; BYTES_MAX];
    let bytes = encode(found.name(), found.offset, &mut text);
    let text = text.get(..bytes).unwrap_or_default();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(ready.marker.as_c_str(), flags, Mode::from_raw_mode(0o644)) {
        // So few bytes are written whole or not at all; a torn marker is read as one without a name.
        let _ = rustix::io::write(&file, text);
        let _ = rustix::fs::fsync(&file);
        let _ = rustix::fs::fsync(ready.dir.as_fd());
    }
    // SAFETY: standard error stays open as long as the process lives; where someone closed it, the write
    // fails or goes to a file of theirs, which is no matter of memory.
    let stderr = unsafe { std::os::fd::BorrowedFd::borrow_raw(STDERR) };
    for part in [
        b"orrery: a mapped file cannot be read; the next start finds out which: ",
        found.name(),
        b"\n",
    ] {
        let _ = rustix::io::write(stderr, part);
    }
}

const STDERR: RawFd = 2;

/// Does what would have been done without this handler.
fn pass_on(
    previous: &libc::sigaction,
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut c_void,
    comes_again: bool,
) {
    let handler = previous.sa_sigaction;
    if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
        // SAFETY: the action is the one that the system gave, and both calls are among those that POSIX
        // allows in a handler. A fault comes again at the return; any other signal is sent once more.
        unsafe {
            libc::sigaction(signal, ptr::from_ref(previous), ptr::null_mut());
            if !comes_again {
                libc::raise(signal);
            }
        }
    } else if previous.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: an action with SA_SIGINFO whose handler is neither default nor ignore holds a function of
        // this type; it gets the arguments that the kernel made for a handler of this signal.
        unsafe {
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                std::mem::transmute(handler);
            handler(signal, info, context);
        }
    } else {
        // SAFETY: as above; without SA_SIGINFO the function takes the signal alone.
        unsafe {
            let handler: extern "C" fn(c_int) = std::mem::transmute(handler);
            handler(signal);
        }
    }
}
