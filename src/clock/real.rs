//! The real clock: the executor as a task of a tokio runtime, woken by a fine timer.
//!
//! tokio's own timer counts in milliseconds and rounds up (facts/measuring.md §3). On Linux the
//! executor sleeps on a timerfd instead, set a little before the deadline; the last microseconds it
//! polls, letting tokio look for network events in between. Elsewhere tokio's timer has to do.

use super::Instant;
use super::executor::{Executor, Installed};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Tasks to run before the network is looked at again.
const BATCH: usize = 64;

/// How long before a deadline the executor wakes up and polls: about what a sleeping processor
/// takes to wake, so that it is awake in time.
const WAKE_EARLY: Duration = Duration::from_micros(60);

/// Runs a future on the real clock, on this thread, with tokio's network and signals.
///
/// # Errors
/// The operating system refuses a timer or an event queue.
#[allow(
    clippy::disallowed_methods,
    reason = "this is where the executor meets tokio"
)]
pub fn run_real<T: 'static>(future: impl Future<Output = T> + 'static) -> std::io::Result<T> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder
        .enable_io()
        .enable_time()
        .build_local(tokio::runtime::LocalOptions::default())?;
    let executor = Installed::new(Executor::real());
    // A spawned task is woken without a system call, unlike the future given to `block_on`.
    let value = runtime.block_on(async move {
        let main = super::spawn(future);
        let timer = FineTimer::new()?;
        let driver = Driver { timer };
        let mut driver = tokio::task::spawn_local(tokio::task::coop::unconstrained(driver));
        tokio::select! {
            biased;
            value = main => {
                driver.abort();
                Ok(value)
            }
            // The driver never ends but by the panic of a task: pass it on.
            ended = &mut driver => match ended {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ => Err(std::io::Error::other("the executor stopped")),
            }
        }
    });
    drop(executor);
    value
}

/// Runs the executor's tasks whenever tokio polls it.
struct Driver {
    timer: FineTimer,
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let again = super::executor::current(|executor| {
            executor.enter();
            executor.fire_timers(executor.now());
            let busy = executor.run_tasks(BATCH);
            let received = executor.leave(context.waker());
            busy || received || self.timer.arm(executor, context)
        });
        if again {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(target_os = "linux")]
use linux::FineTimer;

#[cfg(target_os = "linux")]
mod linux {
    use super::{Context, Duration, Executor, Instant, Poll, WAKE_EARLY};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use std::os::fd::OwnedFd;
    use tokio::io::unix::AsyncFd;

    /// A timerfd that tokio's event queue watches.
    pub struct FineTimer {
        timer: AsyncFd<OwnedFd>,
        armed: Option<Instant>,
    }

    impl FineTimer {
        #[allow(
            deprecated,
            reason = "its successor is unsafe; an OwnedFd that nobody else has keeps the promise"
        )]
        pub fn new() -> std::io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            Ok(Self {
                timer: AsyncFd::new(timer)?,
                armed: None,
            })
        }

        /// Makes sure that the driver is polled again in time for the next deadline. Returns
        /// whether that is at once.
        pub fn arm(&mut self, executor: &Executor, context: &mut Context<'_>) -> bool {
            let Some(deadline) = executor.next_deadline() else {
                return false;
            };
            let wait = deadline.since(executor.now());
            if wait <= WAKE_EARLY {
                return true;
            }
            // A readiness that is left over from an earlier deadline must not count for this one.
            while let Poll::Ready(Ok(mut ready)) = self.timer.poll_read_ready(context) {
                let mut expirations = [0; 8];
                match rustix::io::read(&self.timer, &mut expirations) {
                    Ok(_) => self.armed = None,
                    Err(_) => ready.clear_ready(),
                }
            }
            // A timer that fires too early costs one look around; setting it anew for every deadline
            // that passes by, such as the limit of every operation, would cost a system call each.
            if self.armed.is_none_or(|armed| deadline < armed) {
                let once = Itimerspec {
                    it_interval: Timespec::default(),
                    it_value: timespec(wait - WAKE_EARLY),
                };
                if timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).is_err() {
                    return true;
                }
                self.armed = Some(deadline);
            }
            false
        }
    }

    fn timespec(duration: Duration) -> Timespec {
        Timespec {
            tv_sec: duration.as_secs() as i64,
            // Zero would disarm the timer.
            tv_nsec: i64::from(duration.subsec_nanos().max(1)),
        }
    }
}

#[cfg(not(target_os = "linux"))]
use portable::FineTimer;

#[cfg(not(target_os = "linux"))]
mod portable {
    use super::{Context, Executor, Future, Pin, Poll};

    /// tokio's own timer: late by up to 2 ms.
    pub struct FineTimer {
        sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    }

    impl FineTimer {
        pub fn new() -> std::io::Result<Self> {
            Ok(Self { sleep: None })
        }

        #[allow(
            clippy::disallowed_methods,
            reason = "this is where real waiting is done"
        )]
        pub fn arm(&mut self, executor: &Executor, context: &mut Context<'_>) -> bool {
            let Some(deadline) = executor.next_deadline() else {
                return false;
            };
            let wait = deadline.since(executor.now());
            let sleep = self.sleep.insert(Box::pin(tokio::time::sleep(wait)));
            sleep.as_mut().poll(context) == Poll::Ready(())
        }
    }
}
