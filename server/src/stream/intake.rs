//! What subscribers send, bounded over all of them. A message may have 10 MiB, and a great many subscribers may each send
//! most of one: beyond its first bytes a message goes on only while all that is unfinished fits into a common budget,
//! and not for ever.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// What a message may have without the budget, and how much of it goes as one unit.
const UNIT: usize = 64 << 10;
/// Units of all unfinished messages: 256 MiB.
pub(crate) const UNITS: usize = 4096;

/// What a control frame of a client has before its payload.
const CONTROL_HEAD: usize = 6;

/// Why no more of a message is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// It took too long.
    Unfinished,
    /// The others left no room for it for too long.
    Busy,
    /// It has too many bytes.
    TooLong,
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unfinished => "a message took too long",
            Self::Busy => "there was no room for a message for too long",
            Self::TooLong => "a message has too many bytes",
        })
    }
}

impl std::error::Error for Stopped {}

impl Stopped {
    /// What stopped a read that failed.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

type Acquire = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// How much of a message is there.
#[derive(Default)]
pub(crate) struct Meter(Mutex<Metered>);

#[derive(Default)]
struct Metered {
    bytes: usize,
    units: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Meter {
    /// The message is whole and gone.
    pub(crate) fn reset(&self) {
        *self.0.lock() = Metered::default();
    }

    /// A control frame with so much payload was not of the message: such may come amid the frames of one.
    pub(crate) fn leave_out(&self, payload: usize) {
        let mut metered = self.0.lock();
        metered.bytes = metered.bytes.saturating_sub(payload + CONTROL_HEAD);
    }
}

/// A stream whose reads are metered.
pub(crate) struct Intake<S> {
    stream: S,
    meter: Arc<Meter>,
    budget: Arc<Semaphore>,
    waiting: Option<Acquire>,
    /// Since when it waits for budget: that is not the sender's time.
    waits_since: Option<Instant>,
    /// Ends the wait, however long others wait.
    patience: Option<Pin<Box<Sleep>>>,
    units_max: usize,
    limit: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Intake<S> {
    /// A message that goes beyond its first bytes must be whole within `limit`, of which waiting for the budget takes nothing,
    /// and has at most `bytes_max` with all that frames it.
    pub(crate) fn new(
        stream: S,
        meter: Arc<Meter>,
        budget: Arc<Semaphore>,
        bytes_max: usize,
        limit: Duration,
    ) -> Self {
        Self {
            stream,
            meter,
            budget,
            waiting: None,
            waits_since: None,
            patience: None,
            units_max: bytes_max / UNIT + 2,
            limit,
            deadline: None,
        }
    }

    /// Waits until there is budget for what comes next.
    fn poll_budget(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limit = self.limit;
        loop {
            {
                let metered = self.meter.0.lock();
                if metered.bytes < UNIT {
                    self.waiting = None;
                    self.waits_since = None;
                    self.deadline = None;
                    return Poll::Ready(Ok(()));
                }
                if metered.bytes < (metered.units + 1) * UNIT && self.waiting.is_none() {
                    break;
                }
                // Frames without a payload count too, of which a message may have any number.
                if metered.units >= self.units_max {
                    return Poll::Ready(Err(io::Error::other(Stopped::TooLong)));
                }
            }
            let budget = &self.budget;
            let waiting = self
                .waiting
                .get_or_insert_with(|| Box::pin(Arc::clone(budget).acquire_owned()));
            let Poll::Ready(permit) = waiting.as_mut().poll(context) else {
                // Those who have the budget end in time, unless all wait for more.
                let waits_since = *self.waits_since.get_or_insert_with(Instant::now);
                let mut patience = Box::pin(sleep_until(waits_since + limit));
                let is_over = patience.as_mut().poll(context).is_ready();
                self.patience = Some(patience);
                if is_over {
                    return Poll::Ready(Err(io::Error::other(Stopped::Busy)));
                }
                return Poll::Pending;
            };
            self.waiting = None;
            self.patience = None;
            if let (Some(since), Some(deadline)) = (self.waits_since.take(), &mut self.deadline) {
                let waited = since.elapsed();
                let later = deadline.deadline() + waited;
                deadline.as_mut().reset(later);
            }
            let permit = permit.map_err(io::Error::other)?;
            let mut metered = self.meter.0.lock();
            metered.units += 1;
            match &mut metered.permit {
                Some(held) => held.merge(permit),
                None => metered.permit = Some(permit),
            }
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
        if deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::Error::other(Stopped::Unfinished)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Intake<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_budget(context))?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        this.meter.0.lock().bytes += buffer.filled().len() - before;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Intake<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    const LONG: Duration = Duration::from_secs(60);

    fn intake(
        budget: &Arc<Semaphore>,
        limit: Duration,
    ) -> (Intake<DuplexStream>, DuplexStream, Arc<Meter>) {
        let (near, far) = tokio::io::duplex(8 << 20);
        let meter = Arc::<Meter>::default();
        let of = (Arc::clone(&meter), Arc::clone(budget));
        let intake = Intake::new(near, of.0, of.1, 4 * UNIT, limit);
        (intake, far, meter)
    }

    /// Reads pieces of 4 KiB, as a websocket does, and tells how many came.
    async fn read_pieces(intake: &mut Intake<DuplexStream>, pieces: usize) -> usize {
        let mut piece = [0; 4 << 10];
        for read in 0..pieces {
            let next = intake.read_exact(&mut piece);
            match tokio::time::timeout(Duration::from_millis(50), next).await {
                Ok(result) => _ = result.unwrap(),
                Err(_) => return read,
            }
        }
        pieces
    }

    async fn read_to_error(intake: &mut Intake<DuplexStream>) -> io::Error {
        let mut piece = [0; 4 << 10];
        loop {
            if let Err(error) = intake.read_exact(&mut piece).await {
                return error;
            }
        }
    }

    #[tokio::test]
    async fn long_messages_share_a_budget_and_give_it_back() {
        let budget = Arc::new(Semaphore::new(4));
        let (mut first, mut first_far, first_meter) = intake(&budget, LONG);
        let (mut second, mut second_far, _) = intake(&budget, LONG);
        for far in [&mut first_far, &mut second_far] {
            far.write_all(&vec![1; 4 * UNIT]).await.unwrap();
        }
        assert_eq!(read_pieces(&mut first, 64).await, 64);
        // The second one gets what needs no budget and what is left of it.
        let read = read_pieces(&mut second, 64).await;
        assert!((16..48).contains(&read), "{read}");
        assert_eq!(budget.available_permits(), 0);
        first_meter.reset();
        assert_eq!(read_pieces(&mut second, 64 - read).await, 64 - read);
    }

    #[tokio::test]
    async fn a_long_message_that_does_not_end_fails() {
        let budget = Arc::new(Semaphore::new(4));
        let (mut intake, mut far, meter) = intake(&budget, Duration::from_millis(200));
        far.write_all(&vec![1; 2 * UNIT]).await.unwrap();
        let mut bytes = vec![0; 2 * UNIT];
        intake.read_exact(&mut bytes).await.unwrap();
        let error = intake.read_u8().await.unwrap_err();
        assert_eq!(Stopped::of(&error), Some(Stopped::Unfinished));
        // A short one may wait as long as it likes.
        meter.reset();
        let waits = tokio::time::timeout(Duration::from_millis(400), intake.read_u8());
        assert!(waits.await.is_err());
        meter.reset();
        drop(intake);
        assert_eq!(budget.available_permits(), 4);
    }

    #[tokio::test]
    async fn waiting_for_the_budget_is_not_the_senders_time_but_ends_too() {
        let budget = Arc::new(Semaphore::new(4));
        let others = Arc::clone(&budget).try_acquire_many_owned(3).unwrap();
        let (mut intake, mut far, _) = self::intake(&budget, Duration::from_secs(5));
        far.write_all(&vec![1; 3 * UNIT]).await.unwrap();
        let mut bytes = vec![0; 3 * UNIT];
        {
            let all = async {
                for piece in bytes.chunks_mut(4 << 10) {
                    intake.read_exact(piece).await.unwrap();
                }
            };
            let mut all = std::pin::pin!(all);
            let waits = tokio::time::timeout(Duration::from_secs(3), all.as_mut());
            assert!(waits.await.is_err());
            drop(others);
            all.await;
        }
        // The sender has all of its own time still.
        let mut byte = [0];
        let waits = tokio::time::timeout(Duration::from_secs(3), intake.read(&mut byte));
        assert!(waits.await.is_err());
        drop(intake);
        let _others = Arc::clone(&budget).try_acquire_many_owned(4).unwrap();
        let (mut intake, mut far, _) = self::intake(&budget, Duration::from_millis(200));
        far.write_all(&vec![1; 2 * UNIT]).await.unwrap();
        let error = read_to_error(&mut intake).await;
        assert_eq!(Stopped::of(&error), Some(Stopped::Busy));
    }

    #[tokio::test]
    async fn a_message_of_frames_without_an_end_takes_no_more_than_a_message() {
        let budget = Arc::new(Semaphore::new(100));
        let (mut intake, mut far, _) = intake(&budget, LONG);
        far.write_all(&vec![1; 20 * UNIT]).await.unwrap();
        let error = read_to_error(&mut intake).await;
        assert_eq!(Stopped::of(&error), Some(Stopped::TooLong));
        // What a message may have, and two units for its frames.
        assert_eq!(budget.available_permits(), 100 - 6);
    }
}
