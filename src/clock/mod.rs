//! Time, and everything that waits for it. The ground floor: no other room asks the time, sleeps
//! or spawns.
//!
//! One executor plays the engine on either of two clocks. Under [`run_real`] it is a task of a
//! tokio runtime and sleeps on a timer far finer than tokio's own; under [`run_virtual`] it jumps
//! from one deadline to the next. Tasks, timers and their order are the same code on both, so what
//! is tested in virtual time is what runs on a real store. Free functions over the thread's current
//! clock, as tokio's own are, keep the clock out of every signature; outside a run they panic.
//!
//! The surprising fact: `tokio::sync` works on both clocks, `tokio::time` and `tokio::spawn` on
//! neither; clippy refuses them outside this room (`clippy.toml`).

mod executor;
mod instant;
mod queue;
mod real;
mod task;
mod tasks;
mod timers;

pub use executor::{Deadlock, run_virtual};
pub use instant::{Instant, Utc};
pub use real::run_real;
pub use task::Task;

use crate::fetch::Kept;
use futures_util::FutureExt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

/// The time since the start of the run.
#[must_use]
#[inline]
pub fn now() -> Instant {
    executor::now()
}

/// The date and time of day by one steady clock: read once at the start of the run, then advanced
/// by [`now`], so that it never jumps. Virtual runs start on 1 January 2024.
#[must_use]
pub fn utc() -> Utc {
    executor::current(|executor| executor.utc())
}

/// Starts a task on this thread.
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    executor::current(|executor| executor.spawn(future))
}

/// Starts a task on this thread that nobody waits for and that runs until it or the run ends.
pub fn spawn_detached<T: 'static>(future: impl Future<Output = T> + 'static) {
    executor::current(|executor| executor.start(Box::pin(future.map(drop))));
}

/// Notes what memory the task that calls this will use when it is woken, so that the processor has
/// fetched it by then. For tasks that are very many.
pub fn will_use(what: [Kept; 4]) {
    executor::current(|executor| executor.will_use(what));
}

/// Has the tasks that `wake` wakes run before all others that can run.
pub fn at_once(wake: impl FnOnce()) {
    executor::current(|executor| executor.at_once(wake));
}

/// Waits until an instant; returns at once when it has passed.
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep {
        deadline,
        timer: None,
    }
}

/// Waits for a while.
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(now() + duration)
}

/// Waits for a future, but no longer than a limit.
///
/// # Errors
/// [`Elapsed`] when the limit passed first; the future is dropped.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    timeout_at(now() + limit, future).await
}

/// Waits for a future, but no longer than until a deadline that has not passed yet.
///
/// # Errors
/// [`Elapsed`] when the deadline passed first; the future is dropped.
pub async fn timeout_at<T>(
    deadline: Instant,
    future: impl Future<Output = T>,
) -> Result<T, Elapsed> {
    let mut future = pin!(future);
    let mut limiting = None;
    std::future::poll_fn(|context| {
        // The future first: an answer that is there counts, however late it is looked at.
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(value));
        }
        let Some(sleep) = &mut limiting else {
            // The first time nothing can have passed yet: the timer is set without asking the time
            // once more.
            let mut first = sleep_until(deadline);
            first.register(context);
            limiting = Some(first);
            return Poll::Pending;
        };
        Pin::new(sleep).poll(context).map(|()| Err(Elapsed))
    })
    .await
}

/// A limit passed before a future was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time limit passed")]
pub struct Elapsed;

/// Waits until an instant. See [`sleep_until`].
#[derive(Debug)]
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    deadline: Instant,
    timer: Option<timers::Timer>,
}

impl Sleep {
    /// Has the task woken at the deadline.
    fn register(&mut self, context: &mut Context<'_>) {
        executor::current(|executor| {
            executor.set_timer(&mut self.timer, self.deadline, context.waker());
        });
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if now() >= self.deadline {
            return Poll::Ready(());
        }
        self.register(context);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            executor::clear_timer(timer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn virtual_time_jumps_to_the_deadline() {
        let (elapsed, _) = run_virtual(async {
            sleep(Duration::from_secs(20 * 60)).await;
            now()
        })
        .unwrap();
        assert_eq!(elapsed, Instant::START + Duration::from_secs(1200));
    }

    #[test]
    fn timers_fire_in_the_order_of_their_deadlines() {
        let (order, _) = run_virtual(async {
            let order = Rc::new(RefCell::new(Vec::new()));
            let tasks: Vec<_> = [30, 10, 20]
                .map(|delay| {
                    let order = Rc::clone(&order);
                    spawn(async move {
                        sleep(ms(delay)).await;
                        order.borrow_mut().push(delay);
                    })
                })
                .into();
            for task in tasks {
                task.await;
            }
            order.take()
        })
        .unwrap();
        assert_eq!(order, [10, 20, 30]);
    }

    #[test]
    fn equal_deadlines_fire_in_the_order_in_which_they_were_set() {
        let (order, _) = run_virtual(async {
            let order = Rc::new(RefCell::new(Vec::new()));
            let tasks: Vec<_> = (0..100)
                .map(|number| {
                    let order = Rc::clone(&order);
                    spawn(async move {
                        sleep(ms(5)).await;
                        order.borrow_mut().push(number);
                    })
                })
                .collect();
            for task in tasks {
                task.await;
            }
            order.take()
        })
        .unwrap();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn the_same_program_has_the_same_trace() {
        let play = || {
            run_virtual(async {
                for delay in 0..100 {
                    sleep(ms(delay)).await;
                }
            })
            .unwrap()
            .1
        };
        assert_eq!(play(), play());
    }

    #[test]
    fn a_program_that_waits_longer_has_another_trace() {
        let play = |delay| {
            run_virtual(async move { sleep(ms(delay)).await })
                .unwrap()
                .1
        };
        assert_ne!(play(1), play(2));
    }

    #[test]
    fn a_dropped_sleep_does_not_hold_the_clock_back_or_forward() {
        let (elapsed, _) = run_virtual(async {
            let _ = timeout(ms(10), sleep(ms(1000))).await;
            sleep(ms(5)).await;
            now()
        })
        .unwrap();
        assert_eq!(elapsed, Instant::START + ms(15));
    }

    #[test]
    fn a_timeout_that_passes_is_an_error() {
        let (result, _) = run_virtual(timeout(ms(10), std::future::pending::<()>())).unwrap();
        assert_eq!(result, Err(Elapsed));
    }

    #[test]
    fn who_is_woken_at_once_runs_before_those_who_were_woken_before() {
        let (order, _) = run_virtual(async {
            let order = Rc::new(RefCell::new(Vec::new()));
            let signals = [1, 2].map(|number| {
                let (sender, receiver) = tokio::sync::oneshot::channel();
                let order = Rc::clone(&order);
                let task = spawn(async move {
                    receiver.await.unwrap();
                    order.borrow_mut().push(number);
                });
                (sender, task)
            });
            // Both wait.
            sleep(ms(1)).await;
            let [(first, one), (second, other)] = signals;
            first.send(()).unwrap();
            at_once(|| second.send(()).unwrap());
            one.await;
            other.await;
            order.take()
        })
        .unwrap();
        assert_eq!(order, [2, 1]);
    }

    #[test]
    fn waiting_for_nothing_is_told_and_does_not_hang() {
        assert_eq!(
            run_virtual(std::future::pending::<()>()).err(),
            Some(Deadlock)
        );
    }

    #[test]
    fn tokio_channels_work_on_the_virtual_clock() {
        let (value, _) = run_virtual(async {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            spawn_detached(async move {
                sleep(ms(3)).await;
                let _ = sender.send(7);
            });
            receiver.await
        })
        .unwrap();
        assert_eq!(value, Ok(7));
    }

    #[test]
    fn the_virtual_day_starts_on_a_multiple_of_twenty_seconds() {
        let (utc, _) = run_virtual(async { utc() }).unwrap();
        assert_eq!(utc.since_epoch().as_secs() % 20, 0);
    }

    #[test]
    fn a_task_can_be_woken_from_another_thread() {
        let value = run_real(async {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            std::thread::spawn(move || sender.send(7));
            receiver.await
        })
        .unwrap();
        assert_eq!(value, Ok(7));
    }

    #[test]
    fn real_sleeps_never_end_early() {
        run_real(async {
            for micros in [0, 50, 200, 1000, 3000] {
                let deadline = now() + Duration::from_micros(micros);
                sleep_until(deadline).await;
                assert!(now() >= deadline);
            }
        })
        .unwrap();
    }

    #[test]
    fn tokio_io_works_on_the_real_clock() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let echoed = run_real(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).await.unwrap();
                stream.write_all(&byte).await.unwrap();
            });
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(b"x").await.unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            server.await;
            byte
        })
        .unwrap();
        assert_eq!(&echoed, b"x");
    }
}
