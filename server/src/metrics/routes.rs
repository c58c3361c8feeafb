//! The routes as numbers, so that a request is counted without a look-up of names.

use std::sync::LazyLock;

use crate::api::calls::{CALLS, Call};
use crate::api::plain::{PLAIN, Plain};
use crate::api::{ENDPOINTS, Endpoint, stream};

/// What requests that have no route of their own are counted as.
const OTHER: &str = "other";

/// A route, by its place among all: endpoints, then calls, then plain routes, the websocket, and what is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route(u16);

/// What is behind a path.
pub(crate) enum Known {
    Endpoint(&'static Endpoint),
    Call(&'static Call),
    Plain(&'static Plain),
    Subscribe,
    Nothing,
}

static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let endpoints = ENDPOINTS.iter().map(|endpoint| endpoint.path);
    let calls = CALLS.iter().map(|call| call.path);
    let plain = PLAIN.iter().map(|plain| plain.path);
    let rest = [stream::SUBSCRIBE, OTHER];
    endpoints.chain(calls).chain(plain).chain(rest).collect()
});

impl Route {
    /// The route at a path, and what it is.
    pub(crate) fn of(path: &str) -> (Self, Known) {
        if let Some(at) = ENDPOINTS.iter().position(|endpoint| endpoint.path == path) {
            return (
                Self::endpoint(at),
                ENDPOINTS.get(at).map_or(Known::Nothing, Known::Endpoint),
            );
        }
        if let Some(at) = CALLS.iter().position(|call| call.path == path) {
            return (
                Self::call(at),
                CALLS.get(at).map_or(Known::Nothing, Known::Call),
            );
        }
        let before = ENDPOINTS.len() + CALLS.len();
        if let Some(at) = PLAIN.iter().position(|plain| plain.path == path) {
            let known = PLAIN.get(at).map_or(Known::Nothing, Known::Plain);
            return (Self::at(before + at), known);
        }
        let before = before + PLAIN.len();
        if path == stream::SUBSCRIBE {
            return (Self::at(before), Known::Subscribe);
        }
        (Self::at(before + 1), Known::Nothing)
    }

    /// The endpoint at a place of its table.
    pub(crate) fn endpoint(at: usize) -> Self {
        Self::at(at)
    }

    /// The call at a place of its table.
    pub(crate) fn call(at: usize) -> Self {
        Self::at(ENDPOINTS.len() + at)
    }

    fn at(place: usize) -> Self {
        Self(u16::try_from(place).unwrap_or(u16::MAX))
    }

    /// All of them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..Self::count()).map(Self::at)
    }

    pub(super) fn count() -> usize {
        ENDPOINTS.len() + CALLS.len() + PLAIN.len() + 2
    }

    pub(super) fn place(self) -> usize {
        usize::from(self.0)
    }

    /// Its path.
    pub(crate) fn name(self) -> &'static str {
        NAMES.get(self.place()).copied().unwrap_or(OTHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_a_place_of_its_own_and_others_share_one() {
        assert_eq!(NAMES.len(), Route::count());
        for (place, name) in NAMES.iter().enumerate() {
            let (route, known) = Route::of(name);
            assert_eq!((route.place(), route.name()), (place, *name));
            assert_eq!(matches!(known, Known::Nothing), *name == OTHER);
        }
        assert_eq!(Route::of("/nothing").0.name(), OTHER);
        assert_eq!(Route::all().count(), NAMES.len());
    }
}
