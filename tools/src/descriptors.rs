//! How many files and connections the process may have open: a server with many subscribers needs more than systems give
//! without being asked.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What is needed beside subscribers: connections of others, those to metrics, to the operator's address and to the one that leads to
/// https, files of the index, and some to spare.
const OTHERS: u64 = 1024 + 64 + 64 + 256 + 1024;

/// How many are needed for so many subscribers.
pub(crate) fn wanted(subscribers_max: usize) -> u64 {
    (subscribers_max as u64).saturating_add(OTHERS)
}

/// How many the system allows at most; nothing for no limit.
pub(crate) fn most() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Asks for as many as the system allows, and says so where that is too few for all subscribers.
pub(crate) fn raise(subscribers_max: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = wanted(subscribers_max);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
        limit = getrlimit(Resource::Nofile);
    }
    if let Some(current) = limit.current.filter(|current| *current < wanted) {
        tracing::warn!(
            "the system allows {current} open files, too few for {subscribers_max} subscribers; raise it (ulimit -n) or lower \
             --subscribers-max"
        );
    }
}
