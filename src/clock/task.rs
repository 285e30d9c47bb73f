//! A running task, as whoever started it holds it.

use super::executor;
use super::tasks::{Job, TaskId};
use futures_util::FutureExt;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A running task. Dropping it cancels the task.
#[derive(Debug)]
#[must_use = "a task is cancelled when its handle is dropped"]
pub struct Task<T> {
    id: TaskId,
    joined: Rc<Joined<T>>,
}

/// What a task and its handle share.
#[derive(Debug)]
pub struct Joined<T>(RefCell<State<T>>);

#[derive(Debug)]
enum State<T> {
    /// It runs; this one is woken when it ends.
    Running(Option<Waker>),
    /// It ended, with this.
    Ended(T),
    /// It was dropped before its end, or what it ended with was taken.
    Gone,
}

impl<T> Joined<T> {
    fn end(&self, state: State<T>) {
        if let State::Running(Some(waker)) = self.0.replace(state) {
            waker.wake();
        }
    }
}

/// Ends what it shares with a handle, at the latest when it is dropped.
struct Ending<T>(Rc<Joined<T>>);

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        if matches!(*self.0.0.borrow(), State::Running(_)) {
            self.0.end(State::Gone);
        }
    }
}

/// A future as a task runs it, and what its handle will hold.
pub fn join<T: 'static>(future: impl Future<Output = T> + 'static) -> (Job, Rc<Joined<T>>) {
    let joined = Rc::new(Joined(RefCell::new(State::Running(None))));
    let ending = Ending(Rc::clone(&joined));
    let job = future.map(move |value| ending.0.end(State::Ended(value)));
    (Box::pin(job), joined)
}

impl<T> Task<T> {
    /// The handle of a task.
    pub const fn new(id: TaskId, joined: Rc<Joined<T>>) -> Self {
        Self { id, joined }
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        !matches!(*self.joined.0.borrow(), State::Running(_))
    }

    /// Cancels it, and waits until it is dropped. Returns what it ended with if it had.
    pub async fn cancel(self) -> Option<T> {
        executor::cancel(self.id);
        std::future::poll_fn(|context| self.poll_end(context)).await
    }

    fn poll_end(&self, context: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.joined.0.borrow_mut();
        match &mut *state {
            State::Running(waiting) => {
                *waiting = Some(context.waker().clone());
                Poll::Pending
            }
            _ => match std::mem::replace(&mut *state, State::Gone) {
                State::Ended(value) => Poll::Ready(Some(value)),
                _ => Poll::Ready(None),
            },
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    /// # Panics
    /// The task was dropped before its end, since its run ended or it panicked.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.poll_end(context).map(|ended| match ended {
            Some(value) => value,
            None => panic!("the task was dropped before its end"),
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if !self.is_finished() {
            executor::cancel(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{run_virtual, sleep, spawn, spawn_detached};
    use super::*;
    use std::cell::Cell;
    use std::future::{pending, poll_fn};
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    /// Notes that it was dropped.
    struct Dropped(Rc<Cell<bool>>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    /// A task that waits for ever, and whether it was dropped.
    fn waiting() -> (Task<u32>, Rc<Cell<bool>>) {
        let dropped = Rc::<Cell<bool>>::default();
        let guard = Dropped(Rc::clone(&dropped));
        let task = spawn(async move {
            let _guard = guard;
            pending().await
        });
        (task, dropped)
    }

    #[test]
    fn a_task_whose_handle_is_dropped_is_dropped_when_its_turn_comes() {
        let (dropped, _) = run_virtual(async {
            let (task, dropped) = waiting();
            sleep(MS).await;
            drop(task);
            let at_once = dropped.get();
            sleep(MS).await;
            [at_once, dropped.get()]
        })
        .unwrap();
        assert_eq!(dropped, [false, true]);
    }

    #[test]
    fn to_cancel_a_task_waits_until_it_is_dropped() {
        let (result, _) = run_virtual(async {
            let (task, dropped) = waiting();
            sleep(MS).await;
            (task.cancel().await, dropped.get())
        })
        .unwrap();
        assert_eq!(result, (None, true));
    }

    #[test]
    fn to_cancel_a_task_that_has_ended_gives_what_it_ended_with() {
        let (ended, _) = run_virtual(async {
            let task = spawn(async { 7 });
            sleep(MS).await;
            task.cancel().await
        })
        .unwrap();
        assert_eq!(ended, Some(7));
    }

    #[test]
    fn a_task_that_is_cancelled_while_it_runs_is_not_polled_again() {
        let (polls, _) = run_virtual(async {
            let polls = Rc::<Cell<u32>>::default();
            let own = Rc::<RefCell<Option<Task<()>>>>::default();
            let task = spawn(poll_fn({
                let (polls, own) = (Rc::clone(&polls), Rc::clone(&own));
                move |context| {
                    polls.set(polls.get() + 1);
                    own.take();
                    context.waker().wake_by_ref();
                    Poll::<()>::Pending
                }
            }));
            *own.borrow_mut() = Some(task);
            sleep(MS).await;
            polls.get()
        })
        .unwrap();
        assert_eq!(polls, 1);
    }

    #[test]
    fn a_task_that_is_woken_while_it_runs_runs_again() {
        let (polls, _) = run_virtual(async {
            let mut polls = 0;
            let task = spawn(poll_fn(move |context| {
                polls += 1;
                context.waker().wake_by_ref();
                match polls {
                    3 => Poll::Ready(polls),
                    _ => Poll::Pending,
                }
            }));
            task.await
        })
        .unwrap();
        assert_eq!(polls, 3);
    }

    #[test]
    fn to_wake_a_task_that_has_ended_wakes_no_other() {
        let (polls, _) = run_virtual(async {
            let ended = Rc::<RefCell<Option<Waker>>>::default();
            let waker = Rc::clone(&ended);
            spawn_detached(poll_fn(move |context| {
                *waker.borrow_mut() = Some(context.waker().clone());
                Poll::Ready(())
            }));
            sleep(MS).await;
            // In the place of the one that has ended.
            let polls = Rc::<Cell<u32>>::default();
            let counted = Rc::clone(&polls);
            spawn_detached(poll_fn(move |_| {
                counted.set(counted.get() + 1);
                Poll::<()>::Pending
            }));
            sleep(MS).await;
            ended.take().unwrap().wake();
            sleep(MS).await;
            polls.get()
        })
        .unwrap();
        assert_eq!(polls, 1);
    }

    #[test]
    #[should_panic(expected = "in the task")]
    fn a_panic_of_a_task_reaches_whoever_runs_it() {
        let _ = run_virtual(async {
            spawn_detached(async { panic!("in the task") });
            sleep(MS).await;
        });
    }

    #[test]
    fn tasks_that_are_left_at_the_end_of_a_run_are_dropped() {
        let (dropped, _) = run_virtual(async {
            let dropped = Rc::<Cell<bool>>::default();
            let guard = Dropped(Rc::clone(&dropped));
            spawn_detached(async move {
                let _guard = guard;
                pending::<()>().await;
            });
            sleep(MS).await;
            dropped
        })
        .unwrap();
        assert!(dropped.get());
    }
}
