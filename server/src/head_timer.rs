//! The timer behind the limit on the time that a request's head takes. Every head of a connection has that limit, and nearly every one is there
//! long before it: so a connection has one timer for all of them, which stands where the first of them put it, and is only moved
//! when it fires and the limit that holds by then is later.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use parking_lot::Mutex;

/// The timer of one connection. At most one limit is waited for at a time.
#[derive(Clone, Default)]
pub(crate) struct HeadTimer(Arc<Mutex<Standing>>);

/// Where the timer stands, once anything was waited for.
#[derive(Default)]
struct Standing {
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Who is woken when it fires.
    waker: Option<Waker>,
}

impl Standing {
    fn poll(&mut self, deadline: tokio::time::Instant, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        let is_waited_for = |waker: &Waker| waker.will_wake(context.waker());
        if sleep.deadline() <= deadline && self.waker.as_ref().is_some_and(is_waited_for) {
            if !sleep.is_elapsed() {
                return Poll::Pending;
            }
            if sleep.deadline() == deadline {
                return Poll::Ready(());
            }
        }
        if sleep.deadline() > deadline || sleep.is_elapsed() {
            sleep.as_mut().reset(deadline);
        }
        self.waker = Some(context.waker().clone());
        // A sleep that is polled by a task without budget says that it is pending and notes no waker.
        let mut poll = |sleep: &mut Pin<Box<tokio::time::Sleep>>| {
            pin!(tokio::task::unconstrained(sleep.as_mut())).poll(context)
        };
        while poll(sleep).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// A limit that is waited for.
struct Until {
    deadline: tokio::time::Instant,
    timer: HeadTimer,
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.timer.0.lock().poll(self.deadline, context)
    }
}

impl Sleep for Until {}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until {
            deadline: deadline.into(),
            timer: self.clone(),
        })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use tokio::time::{sleep, timeout};

    const LIMIT: Duration = Duration::from_millis(100);
    const SOON: Duration = Duration::from_millis(2);

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn each_limit_ends_at_its_own_time_by_one_timer() {
        let timer = HeadTimer::default();
        // Heads that come soon, for longer than one limit, and one that never does.
        let start = Instant::now();
        while start.elapsed() < LIMIT * 3 / 2 {
            let began = Instant::now();
            let ended = timeout(SOON, timer.sleep(LIMIT)).await.is_ok();
            assert!(!ended || began.elapsed() >= LIMIT);
        }
        for limit in [LIMIT, LIMIT / 4, SOON] {
            let began = Instant::now();
            // A shorter one while the timer stands at a longer one.
            let _ = timeout(SOON, timer.sleep(LIMIT)).await;
            let ended = timeout(LIMIT * 100, timer.sleep(limit)).await;
            assert!(ended.is_ok() && began.elapsed() >= limit, "{limit:?}");
        }
        // What is over already is over at once.
        assert!(timeout(LIMIT * 100, timer.sleep_until(start)).await.is_ok());
    }

    #[tokio::test]
    async fn a_task_whose_budget_is_used_up_is_woken_at_its_limit_too() {
        for has_fired in [false, true] {
            let timer = HeadTimer::default();
            if has_fired {
                timer.sleep(SOON).await;
            }
            let mut limit = timer.sleep(LIMIT);
            let mut is_first = true;
            let waited = std::future::poll_fn(|context| {
                if std::mem::take(&mut is_first) {
                    while pin!(tokio::task::consume_budget()).poll(context).is_ready() {}
                }
                limit.as_mut().poll(context)
            });
            assert!(timeout(LIMIT * 100, waited).await.is_ok(), "{has_fired}");
        }
    }

    #[tokio::test]
    async fn whoever_waits_last_is_woken_and_the_timer_fires_once_in_a_limit() {
        let timer = HeadTimer::default();
        let [first, second] = [(); 2].map(|()| Arc::<Woken>::default());
        let poll = |limit: &mut Pin<Box<dyn Sleep>>, woken: &Arc<Woken>| {
            let waker = Arc::clone(woken).into();
            let mut context = Context::from_waker(&waker);
            limit.as_mut().poll(&mut context).is_ready()
        };
        let start = Instant::now();
        while start.elapsed() < LIMIT * 3 {
            let mut limit = timer.sleep(LIMIT);
            assert!(!poll(&mut limit, &first) || start.elapsed() >= LIMIT);
            sleep(SOON).await;
        }
        let times = first.0.swap(0, Ordering::Relaxed);
        assert!((1..=3).contains(&times), "woken {times} times");
        let mut limit = timer.sleep(LIMIT);
        let _ = poll(&mut limit, &first);
        let began = Instant::now();
        while !poll(&mut limit, &second) {
            let before = second.0.load(Ordering::Relaxed);
            while second.0.load(Ordering::Relaxed) == before {
                assert!(began.elapsed() < LIMIT * 100, "nobody is woken");
                sleep(SOON).await;
            }
        }
        assert_eq!(first.0.load(Ordering::Relaxed), 0);
    }
}
