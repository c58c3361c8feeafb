//! Which of the things known of a record may be told, if any: a pure function of what the log window, the store of
//! fetched values and the stream say.
//!
//! Two things order what is known: an event by its seq, a fetched value by the newest seq that was visible when its fetch began
//! (`as_of`). The higher one is newer, since a data server tells of a change no later than the stream does. And two things
//! make it worth believing: no event of the key came since, and the stream has been seen whole since then.

use orrery_engine::Recorded;

/// What the log window has of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InWindow {
    /// Its newest event wrote it.
    Found { seq: u64, time_us: u64 },
    /// Its newest event, or one of its account, deleted it.
    Deleted { seq: u64, time_us: u64 },
    /// There is no event of it from this seq on.
    Unknown { window_from: u64 },
}

impl InWindow {
    /// What the engine says.
    pub(crate) fn of(recorded: &Recorded) -> Self {
        match *recorded {
            Recorded::Found { seq, time_us, .. } => Self::Found { seq, time_us },
            Recorded::Deleted { seq, time_us } => Self::Deleted { seq, time_us },
            Recorded::Unknown { window_from } => Self::Unknown { window_from },
        }
    }
}

/// When a fetched value was known to be the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked {
    /// The newest seq that was visible before.
    pub(crate) as_of: u64,
    /// When, microseconds since 1970.
    pub(crate) at_us: u64,
}

/// What the stream vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stream {
    /// Events from this time on are all there, up to now; `None`: nothing is vouched for.
    pub(crate) whole_since_us: Option<u64>,
    /// Now, microseconds since 1970.
    pub(crate) now_us: u64,
    /// For how long what was checked is told without the stream's word, microseconds.
    pub(crate) unvouched_us: u64,
}

impl Stream {
    /// Whether something that was so at a time must still be so, if no event says otherwise.
    pub(crate) fn vouches_since(&self, at_us: u64) -> bool {
        self.whole_since_us.is_some_and(|since| at_us >= since) || self.was_just_now(at_us)
    }

    /// Whether that was so short a while ago that it is not asked for again.
    fn was_just_now(&self, at_us: u64) -> bool {
        // A clock that was set back makes nothing look new for ever.
        self.now_us
            .checked_sub(at_us)
            .is_some_and(|age| age < self.unvouched_us)
    }
}

/// What to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tell {
    /// The event's record.
    Event,
    /// The fetched value.
    Fetched,
    /// That it was deleted.
    Deleted,
    /// Nothing before its data server was asked. `stale` is what there would be.
    Ask { stale: Stale },
}

/// What is known but not vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stale {
    Event,
    Fetched,
    Deleted,
    Nothing,
}

/// Decides. `purged_through` is the seq of the newest deletion of the account that is known.
pub(crate) fn decide(
    window: InWindow,
    purged_through: Option<u64>,
    fetched: Option<Checked>,
    stream: &Stream,
) -> Tell {
    let fetched = fetched.filter(|checked| purged_through.is_none_or(|seq| seq <= checked.as_of));
    match (window, fetched) {
        (InWindow::Found { seq, .. } | InWindow::Deleted { seq, .. }, Some(checked))
            if checked.as_of >= seq =>
        {
            tell_fetched(checked, stream)
        }
        (InWindow::Found { time_us, .. }, _) if stream.vouches_since(time_us) => Tell::Event,
        (InWindow::Found { .. }, _) => Tell::Ask {
            stale: Stale::Event,
        },
        // A stream that is not whole since may lack that it was made again.
        (InWindow::Deleted { time_us, .. }, _) if stream.vouches_since(time_us) => Tell::Deleted,
        (InWindow::Deleted { .. }, _) => Tell::Ask {
            stale: Stale::Deleted,
        },
        (InWindow::Unknown { window_from }, Some(checked)) => {
            if checked.as_of.saturating_add(1) >= window_from || stream.was_just_now(checked.at_us)
            {
                tell_fetched(checked, stream)
            } else {
                Tell::Ask {
                    stale: Stale::Fetched,
                }
            }
        }
        (InWindow::Unknown { .. }, None) => Tell::Ask {
            stale: if purged_through.is_some() {
                Stale::Deleted
            } else {
                Stale::Nothing
            },
        },
    }
}

fn tell_fetched(checked: Checked, stream: &Stream) -> Tell {
    if stream.vouches_since(checked.at_us) {
        Tell::Fetched
    } else {
        Tell::Ask {
            stale: Stale::Fetched,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: Stream = Stream {
        whole_since_us: Some(1_000),
        now_us: 1_000_000,
        unvouched_us: 60,
    };
    const BEHIND: Stream = Stream {
        whole_since_us: None,
        ..LIVE
    };

    fn fetched(as_of: u64, at_us: u64) -> Option<Checked> {
        Some(Checked { as_of, at_us })
    }

    #[test]
    fn the_newer_of_event_and_fetch_is_told_while_the_stream_is_whole() {
        let event = InWindow::Found {
            seq: 10,
            time_us: 5_000,
        };
        assert_eq!(decide(event, None, None, &LIVE), Tell::Event);
        assert_eq!(decide(event, None, fetched(9, 5_000), &LIVE), Tell::Event);
        assert_eq!(
            decide(event, None, fetched(10, 5_000), &LIVE),
            Tell::Fetched
        );
        let gone = InWindow::Deleted {
            seq: 10,
            time_us: 5_000,
        };
        assert_eq!(decide(gone, None, fetched(9, 5_000), &LIVE), Tell::Deleted);
        assert_eq!(decide(gone, None, fetched(10, 5_000), &LIVE), Tell::Fetched);
        let before_a_gap = InWindow::Deleted {
            seq: 10,
            time_us: 999,
        };
        assert_eq!(
            decide(before_a_gap, None, None, &LIVE),
            Tell::Ask {
                stale: Stale::Deleted
            }
        );
    }

    #[test]
    fn what_lies_before_the_window_is_asked_for_again() {
        let unknown = InWindow::Unknown { window_from: 100 };
        assert_eq!(
            decide(unknown, None, fetched(99, 5_000), &LIVE),
            Tell::Fetched
        );
        assert_eq!(
            decide(unknown, None, fetched(98, 5_000), &LIVE),
            Tell::Ask {
                stale: Stale::Fetched
            }
        );
        assert_eq!(
            decide(unknown, None, None, &LIVE),
            Tell::Ask {
                stale: Stale::Nothing
            }
        );
    }

    #[test]
    fn what_was_known_before_the_stream_had_a_gap_is_asked_for_again() {
        let event = InWindow::Found {
            seq: 10,
            time_us: 999,
        };
        assert_eq!(
            decide(event, None, None, &LIVE),
            Tell::Ask {
                stale: Stale::Event
            }
        );
        let unknown = InWindow::Unknown { window_from: 1 };
        assert_eq!(
            decide(unknown, None, fetched(50, 999), &LIVE),
            Tell::Ask {
                stale: Stale::Fetched
            }
        );
    }

    #[test]
    fn while_the_index_is_behind_only_what_was_just_checked_is_told() {
        let event = InWindow::Found {
            seq: 10,
            time_us: 5_000,
        };
        let ask = |stale| Tell::Ask { stale };
        assert_eq!(decide(event, None, None, &BEHIND), ask(Stale::Event));
        assert_eq!(
            decide(event, None, fetched(20, 999_941), &BEHIND),
            Tell::Fetched
        );
        assert_eq!(
            decide(event, None, fetched(20, 999_940), &BEHIND),
            ask(Stale::Fetched)
        );
        // A value from the future is one from before the clock was set back.
        assert_eq!(
            decide(event, None, fetched(20, 1_000_001), &BEHIND),
            ask(Stale::Fetched)
        );
        let gone = InWindow::Deleted {
            seq: 10,
            time_us: 5_000,
        };
        assert_eq!(decide(gone, None, None, &BEHIND), ask(Stale::Deleted));
    }

    #[test]
    fn a_deletion_of_the_account_undoes_what_was_fetched_before() {
        let unknown = InWindow::Unknown { window_from: 1 };
        assert_eq!(
            decide(unknown, Some(30), fetched(29, 5_000), &LIVE),
            Tell::Ask {
                stale: Stale::Deleted
            }
        );
        assert_eq!(
            decide(unknown, Some(30), fetched(30, 5_000), &LIVE),
            Tell::Fetched
        );
    }
}
