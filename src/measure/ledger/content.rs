//! What requests find in their sessions and write into them, compared with what was acknowledged.
//!
//! In: grants and releases. Out: lost and doubled updates, second holders, uses after the end, and the
//! life of a session from its first write on. The surprising fact: an acknowledged write may not be
//! in the store, and one that timed out may be; so a life knows every content that is possible.

use super::{Books, Ledger};
use crate::clock::Instant;
use crate::measure::handover::Leaving;
use crate::measure::integrity::{Integrity, Promise};
use crate::measure::life::{Holder, Life};
use crate::session::observer::{Grant, Release, RequestNumber, Written};
use crate::session::{Item, Minutes, SessionId, Stamp, StoreKind};
use std::time::Duration;

/// What an acknowledged write says about the content of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    /// The store holds it: it came from the holder of the lock.
    Lawful,
    /// Somebody found it there before the acknowledgement.
    Seen,
    /// Nothing: the lock had been lost.
    Stale,
}

impl Ledger {
    /// A request is about to release its session, and to write this item into it.
    pub fn releasing(
        &mut self,
        request: RequestNumber,
        id: SessionId,
        sent: Instant,
        written: Option<&Item>,
    ) {
        if let Some(life) = self.lives.get(&id)
            && let Some(holder) = life.holder.filter(|holder| holder.request() == request)
            && !life.robbed
        {
            self.releases.sent(holder, sent, written);
        }
    }

    /// A request got its session.
    pub fn granted(&mut self, grant: &Grant<'_>, integrity: &mut Integrity) {
        let stamp = grant.item.and_then(Stamp::read);
        let life = match stamp.is_some() || grant.exclusive {
            true => self.lives.get_or_default(grant.id),
            false => match self.lives.get_mut(&grant.id) {
                Some(life) => life,
                None => return,
            },
        };
        if let Some(holder) = life.holder.filter(|it| it.request() != grant.request)
            && let Some(leaving) = self.releases.overtake(holder, stamp)
        {
            self.books.overtake(life, &leaving, grant);
        }
        if let Some(stamp) = stamp {
            self.books.check_content(life, grant, stamp, integrity);
        }
        if grant.exclusive {
            integrity.checked(Promise::OneHolder);
            if let Some(holder) = life.holder
                && !life.robbed
            {
                let holder = holder.request();
                let found = || {
                    format!(
                        "request {} got it while {} held it",
                        grant.request.0, holder.0
                    )
                };
                integrity.broken(Promise::OneHolder, grant.granted, Some(grant.id), found);
            }
            life.holder = Holder::new(grant.request, grant.granted);
            life.robbed = false;
        }
    }

    /// A request is done with its session. Returns how long it held the lock.
    pub fn released(
        &mut self,
        release: &Release<'_>,
        integrity: &mut Integrity,
    ) -> Option<Duration> {
        let overtaken = self.releases.answered(release.request);
        let seen = overtaken.is_some_and(|leaving| leaving.seen);
        let life = self.lives.get_or_default(release.id);
        let books = &mut self.books;
        let mut lawful = overtaken.is_some();
        let mut held = overtaken.map(|leaving| release.sent.since(leaving.holder.since));
        if let Some(holder) = life.holder
            && holder.request() == release.request
        {
            lawful = !life.robbed;
            held = Some(release.sent.since(holder.since));
            life.holder = None;
            life.robbed = false;
        }
        match release.written {
            Written::Nothing => {}
            Written::Item(item) => {
                if let Some(stamp) = Stamp::read(item) {
                    let begins = !life.born || life.expected.life != stamp.life;
                    if begins {
                        let (sent, done) = (release.sent, release.done);
                        books.start(life, release.id, stamp, sent, done, item.timeout());
                    }
                    let write = match begins || lawful {
                        // It was expected from the instant at which somebody found it.
                        true if seen => Write::Seen,
                        true => Write::Lawful,
                        false => Write::Stale,
                    };
                    books.wrote(life, stamp, write, integrity);
                }
            }
            Written::Unknown(item) => {
                if let Some(stamp) = Stamp::read(item) {
                    life.may_hold(stamp, false);
                }
            }
            Written::Removed => {
                if life.born && life.ends == 0 && !life.abandoned {
                    let due = life.due(books.minute);
                    life.due_at_once(release.sent, release.done);
                    life.abandoned = true;
                    books.due.moved(due, life.due(books.minute));
                }
            }
        }
        // A lock that was taken without a session ever being written leaves nothing behind.
        if !life.born && life.holder.is_none() && life.possible.is_none() {
            self.lives.remove(&release.id);
        }
        held
    }
}

impl Books {
    /// Takes a release that is still unanswered for done, since somebody else has the session.
    #[cold]
    fn overtake(&mut self, life: &mut Life, leaving: &Leaving, grant: &Grant<'_>) {
        life.holder = None;
        let Some((stamp, timeout)) = leaving.written.filter(|_| leaving.seen) else {
            return;
        };
        if !life.born || life.expected.life != stamp.life {
            self.start(life, grant.id, stamp, leaving.sent, grant.granted, timeout);
        } else {
            life.expected = stamp;
        }
    }

    /// Compares what the store holds with what was acknowledged.
    fn check_content(
        &mut self,
        life: &mut Life,
        grant: &Grant<'_>,
        stamp: Stamp,
        integrity: &mut Integrity,
    ) {
        let at = grant.granted;
        let id = Some(grant.id);
        if !life.born {
            // Its first write timed out, and yet the store has it.
            self.start(life, grant.id, stamp, grant.asked, at, Minutes(0));
            return;
        }
        if life.gone && life.ends == 0 && stamp.life == life.expected.life {
            // Gone from one server's memory, and still in another's.
            life.gone = false;
            let due = life.due(self.minute);
            let timeout = grant.item.map_or(Minutes(0), Item::timeout);
            life.touch(grant.asked, at, timeout);
            self.due.moved(due, life.due(self.minute));
        }
        integrity.checked(Promise::NoMixUp);
        let (owner, expected) = (stamp.owner(), life.expected.owner());
        if owner != expected {
            let found = || format!("holds owner {owner}, not {expected}");
            integrity.broken(Promise::NoMixUp, at, id, found);
        }
        if life.ends > 0 || life.abandoned {
            integrity.checked(Promise::NoUseAfterEnd);
            if !life.misuse_counted {
                life.misuse_counted = true;
                self.counts.used_after_end += 1;
                let ago = at.since(life.ended);
                let found = || format!("served {ago:.1?} after its end was raised");
                integrity.broken(Promise::NoUseAfterEnd, at, id, found);
                integrity.offended("used_after_end", at, grant.id, found);
            }
        }
        integrity.checked(Promise::NoLostUpdate);
        let possible = life.possible.take();
        if stamp == life.expected {
            return;
        }
        match possible.and_then(|list| list.into_iter().find(|one| one.stamp == stamp)) {
            Some(one) if one.stale => {
                let found = || "a write with a lost lock was stored".to_owned();
                integrity.broken(Promise::Fenced, at, id, found);
            }
            Some(_) => {}
            None => {
                let (held, due) = (stamp.pages, life.expected.pages);
                // Shared sessions hold no page views, and a lost one may be made up for by another.
                let found = || match held == due {
                    true => "holds other updates than those acknowledged".to_owned(),
                    false => format!("holds {held} page views of {due} acknowledged"),
                };
                integrity.broken(Promise::NoLostUpdate, at, id, found);
            }
        }
        life.expected = stamp;
    }

    /// A new life begins. Two requests that create the same session at once share one life.
    #[cold]
    fn start(
        &mut self,
        life: &mut Life,
        id: SessionId,
        stamp: Stamp,
        sent: Instant,
        done: Instant,
        timeout: Minutes,
    ) {
        let lives_on = life.born
            && life.ends == 0
            && !life.abandoned
            && !life.gone
            && sent < life.due(self.minute);
        if lives_on {
            life.expected = stamp;
            return;
        }
        let mut new = Life::new(stamp);
        (new.holder, new.robbed) = (life.holder, life.robbed);
        new.touch(sent, done, timeout);
        self.due.add(new.due(self.minute));
        self.counts.started += 1;
        let old = std::mem::replace(life, new);
        if old.born {
            self.superseded.entry(id).or_default().push(old);
            self.superseded_lives += 1;
        }
    }

    /// A request's update was acknowledged.
    fn wrote(&mut self, life: &mut Life, stamp: Stamp, write: Write, integrity: &mut Integrity) {
        integrity.checked(Promise::Fenced);
        if self.kind == StoreKind::Private {
            // To the visitor the page view succeeded, whatever the store did with it.
            life.performed += 1;
            self.page_views.performed += 1;
        }
        match write {
            Write::Lawful => life.expected = stamp,
            Write::Seen => {}
            // The store's answer says nothing: the next look at the content tells.
            Write::Stale => life.may_hold(stamp, true),
        }
    }
}
