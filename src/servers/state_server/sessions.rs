//! What a state server does with sessions (facts §6.2): `StateApplication` on ASP.NET's cache.
//!
//! In: requests. Out: answers, at once. The cache lets go of sessions on its 20 s wheel, and nobody
//! is told: a state server raises no session end.
//!
//! The surprising fact: a lock protects a session only while somebody holds it. Who lost a lock by
//! force may still write or delete once its next holder has released it, and overwrites that one.

use super::protocol::{Action, Request, Response, Status};
use super::statistics::Counts;
use crate::cache::{Access, Cache, Sliding};
use crate::clock::{self, Instant, Utc};
use std::time::Duration;

/// Minutes that a session lives when its client does not say.
const DEFAULT_TIMEOUT: u32 = 20;
/// The longest timeout in minutes: one year.
const MAX_TIMEOUT: u32 = 525_600;
/// `ActionFlags` of a session that its first reader must initialise.
const INITIALIZE_ITEM: i32 = 1;

/// The sessions of a state server.
#[derive(Debug)]
pub struct Sessions {
    cache: Cache<String, Session>,
    /// What it did so far.
    pub counts: Counts,
}

/// One session.
#[derive(Debug)]
struct Session {
    content: Vec<u8>,
    minutes: u32,
    locked: bool,
    locked_since: Instant,
    locked_at: Utc,
    /// Counts the times the lock was taken; identifies the holder.
    lock_cookie: i32,
    uninitialised: bool,
}

impl Sliding for Session {
    fn timeout(&self, minute: Duration) -> Duration {
        minute * self.minutes
    }
}

impl Session {
    /// Whether whoever has this cookie, or none, must leave the session alone.
    fn locked_for(&self, lock_cookie: Option<i32>) -> bool {
        self.locked && lock_cookie != Some(self.lock_cookie)
    }

    fn locked_response(&self) -> Response {
        let age = clock::now().since(self.locked_since);
        Response {
            lock_cookie: Some(self.lock_cookie),
            lock_age: Some(age.as_secs() as i64),
            lock_date: Some(self.locked_at.ticks()),
            ..Response::new(Status::Locked)
        }
    }
}

impl Sessions {
    /// No sessions yet; a minute of a session's timeout lasts `minute`.
    #[must_use]
    pub fn new(minute: Duration) -> Self {
        Self {
            cache: Cache::new(minute),
            counts: Counts::default(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// Removes what has expired: a turn of the wheel.
    pub fn flush(&mut self) {
        self.counts.expired += self.cache.flush().len() as u64;
    }

    /// Does what a request asks.
    pub fn answer(&mut self, request: Request) -> Response {
        let Request { target, action } = request;
        match action {
            Action::Get => self.get(target, false),
            Action::GetExclusive => self.get(target, true),
            Action::Release { lock_cookie } => self.release(target, lock_cookie),
            Action::Set {
                timeout,
                lock_cookie,
                uninitialised,
                content,
            } => {
                let minutes = timeout.unwrap_or(DEFAULT_TIMEOUT);
                // The cache of ASP.NET would keep a session of no minutes for ever.
                if !(1..=MAX_TIMEOUT).contains(&minutes) {
                    return Response::bad(&"invalid header Timeout");
                }
                let new = Session {
                    content,
                    minutes,
                    locked: false,
                    locked_since: Instant::START,
                    locked_at: Utc::from_nanos(0),
                    lock_cookie: 1,
                    uninitialised,
                };
                self.set(target, new, lock_cookie)
            }
            Action::Remove { lock_cookie } => self.remove(target, lock_cookie),
            Action::ResetTimeout => match self.access(&target) {
                Some(_) => Response::new(Status::Ok),
                None => Response::new(Status::NotFound),
            },
        }
    }

    /// Any access, of whatever outcome, lets a session slide.
    fn access(&mut self, target: &str) -> Option<&mut Session> {
        match self.cache.access(target.to_owned()) {
            Access::Live(session) => Some(session),
            Access::Missing => None,
            Access::Expired(_) => {
                self.counts.expired += 1;
                None
            }
        }
    }

    fn get(&mut self, target: String, exclusive: bool) -> Response {
        let Some(session) = self.access(&target) else {
            return Response::new(Status::NotFound);
        };
        let first = std::mem::take(&mut session.uninitialised);
        if session.locked {
            return session.locked_response();
        }
        let mut response = Response {
            timeout: Some(session.minutes),
            action_flags: first.then_some(INITIALIZE_ITEM),
            content: session.content.clone(),
            ..Response::new(Status::Ok)
        };
        if exclusive {
            session.locked = true;
            session.locked_since = clock::now();
            session.locked_at = clock::utc();
            session.lock_cookie = session.lock_cookie.wrapping_add(1);
            response.lock_cookie = Some(session.lock_cookie);
        }
        response
    }

    fn release(&mut self, target: String, lock_cookie: i32) -> Response {
        let Some(session) = self.access(&target) else {
            return Response::new(Status::NotFound);
        };
        if session.locked_for(Some(lock_cookie)) {
            return session.locked_response();
        }
        session.locked = false;
        Response::new(Status::Ok)
    }

    fn set(&mut self, target: String, mut new: Session, lock_cookie: Option<i32>) -> Response {
        if let Some(session) = self.access(&target) {
            if new.uninitialised {
                return Response::new(Status::Ok);
            }
            if session.locked_for(lock_cookie) {
                return session.locked_response();
            }
            if session.minutes == new.minutes {
                session.content = new.content;
                session.locked = false;
                return Response::new(Status::Ok);
            }
            // Another timeout is another entry of the cache, which goes on counting from the
            // client's cookie.
            new.lock_cookie = lock_cookie.unwrap_or(-1);
        } else {
            self.counts.created += 1;
        }
        self.cache.insert(target, new);
        Response::new(Status::Ok)
    }

    fn remove(&mut self, target: String, lock_cookie: Option<i32>) -> Response {
        let Some(session) = self.access(&target) else {
            return Response::new(Status::NotFound);
        };
        if session.locked_for(lock_cookie) {
            return session.locked_response();
        }
        self.cache.remove(&target);
        self.counts.removed += 1;
        Response::new(Status::Ok)
    }
}

#[cfg(test)]
mod tests;
