//! The ledger: what every session really did, and what became of it.
//!
//! In: operations, grants, releases and session ends, as they happen. Out: how many sessions ended
//! once, twice, early, late or never; which updates were lost; what was committed of the page views.
//! It knows nothing of providers: a session is due when the contract says so, and its content is
//! what was acknowledged.
//!
//! The surprising fact: a due instant has an uncertainty. The store saw the last touch somewhere
//! between the operation's start and its end, so an end counts as early only if it came before the
//! earliest possible due instant, and late only after the latest.

use super::due::DueCounts;
use super::handover::Releases;
use super::integrity::{Integrity, LATE, Promise};
use super::life::{Holder, Life};
use super::values::Values;
use crate::clock::Instant;
use crate::providers::Detection;
use crate::result::{PageViews, SessionEnds};
use crate::session::observer::{Grant, Operation, Outcome, Release, RequestNumber, Verb, Written};
use crate::session::{EndNotice, IdMap, Item, Minutes, Noticed, SessionId, Stamp, StoreKind};
use std::collections::BTreeMap;
use std::mem::take;
use std::time::Duration;

/// How long an ended session is remembered, so that a second end or a use after it is recognised.
const REMEMBERED: Duration = Duration::from_secs(120);

/// Store servers count a TTL in whole milliseconds of a clock that they read once per turn of their
/// event loop; an end that is early by no more is on time.
const CLOCK_GRAIN: Duration = Duration::from_millis(1);

/// How the sessions of one kind end, by the provider's design.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndDesign {
    /// How expired sessions are noticed; `None`: session end is never raised.
    pub detection: Option<Detection>,
}

/// The ledger of one store kind.
pub struct Ledger {
    kind: StoreKind,
    minute: Duration,
    design: EndDesign,
    lives: IdMap<Life>,
    /// Earlier lives of sessions that live again, and whose end has not come yet.
    superseded: IdMap<Vec<Life>>,
    releases: Releases,
    due: DueCounts,
    counts: Counts,
    page_views: PageViews,
    /// Sessions due before this instant belong to the warm-up: counted, but not in distributions.
    measured_from: Instant,
}

#[derive(Default)]
struct Counts {
    started: u64,
    ended_once: u64,
    ended_more: u64,
    missed: u64,
    alive: u64,
    duplicates: u64,
    premature: u64,
    used_after_end: u64,
    resurrected: u64,
    vanished: u64,
    abandoned: u64,
    without_data: u64,
    handler_failed: u64,
    unknown: u64,
    empty: u64,
    contact_gone: u64,
    ends_in_step: u64,
    lateness_max_in_step: Duration,
    lateness: Values,
    earliness: Values,
    by_cause: BTreeMap<&'static str, Values>,
    due_uncertainty: Values,
    handler: Values,
    overdue: Values,
}

/// Whether an operation kept its session alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touch {
    /// By contract it did.
    Sure,
    /// It did unless the session had expired a moment before, or the store never got it.
    Possible,
}

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

impl Touch {
    fn of(operation: &Operation) -> Option<Self> {
        match (operation.outcome, operation.verb) {
            // A log-out makes the session due at once; see `released`.
            (_, Verb::RemoveItem | Verb::CreateUninitializedItem | Verb::EndRequest) => None,
            (Outcome::TimedOut | Outcome::Failed, _) => Some(Self::Possible),
            // The one operation that does not tell whether there was a session.
            (Outcome::Done, Verb::ResetItemTimeout) => Some(Self::Possible),
            (Outcome::Found | Outcome::Done, _) => Some(Self::Sure),
            (Outcome::Missing | Outcome::Locked, _) => None,
        }
    }
}

/// A session end that was raised and whose handler is still to run.
#[derive(Debug, Clone, Copy)]
pub struct RaisedEnd {
    /// The session.
    pub id: SessionId,
    /// Which life of it; `None` when the run does not know it.
    pub life: Option<u64>,
    /// Whose session it is.
    pub owner: Option<u64>,
    /// Page views in what is to be committed; `None` when the data was gone.
    pub pages: Option<u32>,
    /// When it was raised.
    pub raised: Instant,
}

impl Ledger {
    /// An empty ledger.
    #[must_use]
    pub fn new(
        kind: StoreKind,
        minute: Duration,
        design: EndDesign,
        measured_from: Instant,
    ) -> Self {
        Self {
            kind,
            minute,
            design,
            lives: IdMap::default(),
            superseded: IdMap::default(),
            releases: Releases::default(),
            due: DueCounts::default(),
            counts: Counts::default(),
            page_views: PageViews::default(),
            measured_from,
        }
    }

    /// Fetches what is known of a session into the processor's caches.
    pub fn prefetch(&self, id: SessionId) {
        std::hint::black_box(self.lives.get(&id).map(|life| life.ends));
    }

    /// Who holds a session's lock, as far as the harness granted it.
    #[must_use]
    pub fn holder(&self, id: SessionId) -> Option<Holder> {
        self.lives.get(&id)?.holder
    }

    /// An operation ended.
    pub fn operation(&mut self, operation: &Operation, integrity: &mut Integrity) {
        let Some(life) = self.lives.get_mut(&operation.id) else {
            return;
        };
        // Whatever is found once a life is over is the empty session of one that has not begun.
        if !life.born || life.ends > 0 || life.abandoned || life.gone {
            return;
        }
        if operation.outcome == Outcome::Missing && life.untouched_since(operation.started) {
            life.gone = true;
            let early_by = life.due_earliest(self.minute).since(operation.done);
            if !early_by.is_zero() {
                self.counts.vanished += 1;
                let found = || format!("gone {early_by:.1?} before it was due");
                integrity.offended("vanished", operation.done, operation.id, found);
            }
        }
        let Some(touch) = Touch::of(operation) else {
            return;
        };
        if operation.outcome == Outcome::Found {
            integrity.checked(Promise::NoUseAfterEnd);
            let due = life.due(self.minute);
            if operation.started > due && self.design.detection.is_some() {
                self.counts.resurrected += 1;
                let overdue = operation.started.since(due);
                let found = || format!("served {overdue:.1?} after it was due, not ended");
                let (at, id) = (operation.done, operation.id);
                integrity.broken(Promise::NoUseAfterEnd, at, Some(id), found);
                integrity.offended("resurrected", at, id, found);
            }
        }
        if operation.outcome != Outcome::Found && operation.started > life.due(self.minute) {
            // Too late to keep it alive, and nothing says that it still was.
            return;
        }
        self.due.remove(life.due(self.minute));
        match touch {
            Touch::Sure => life.touch(operation.started, operation.done, operation.timeout),
            Touch::Possible => life.maybe_touch(operation.done),
        }
        self.due.add(life.due(self.minute));
    }

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

    /// Takes a release that is still unanswered for done when somebody else has the session.
    fn overtake(&mut self, grant: &Grant<'_>, found: Option<Stamp>) {
        let Some(life) = self.lives.get_mut(&grant.id) else {
            return;
        };
        let Some(holder) = life.holder.filter(|it| it.request() != grant.request) else {
            return;
        };
        let Some(leaving) = self.releases.overtake(holder, found) else {
            return;
        };
        life.holder = None;
        let Some((stamp, timeout)) = leaving.written.filter(|_| leaving.seen) else {
            return;
        };
        if !life.born || life.expected.life != stamp.life {
            self.start(grant.id, stamp, leaving.sent, grant.granted, timeout);
        } else {
            life.expected = stamp;
        }
    }

    /// A request got its session.
    pub fn granted(&mut self, grant: &Grant<'_>, integrity: &mut Integrity) {
        let stamp = grant.item.and_then(Stamp::read);
        self.overtake(grant, stamp);
        if let Some(stamp) = stamp {
            self.check_content(grant, stamp, integrity);
        }
        if grant.exclusive {
            let life = self.lives.entry(grant.id).or_default();
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

    /// Compares what the store holds with what was acknowledged.
    fn check_content(&mut self, grant: &Grant<'_>, stamp: Stamp, integrity: &mut Integrity) {
        let at = grant.granted;
        let id = Some(grant.id);
        let Some(life) = self.lives.get_mut(&grant.id).filter(|life| life.born) else {
            // Its first write timed out, and yet the store has it.
            self.start(grant.id, stamp, grant.asked, at, Minutes(0));
            return;
        };
        if life.gone && life.ends == 0 && stamp.life == life.expected.life {
            // Gone from one server's memory, and still in another's.
            life.gone = false;
            self.due.remove(life.due(self.minute));
            let timeout = grant.item.map_or(Minutes(0), Item::timeout);
            life.touch(grant.asked, at, timeout);
            self.due.add(life.due(self.minute));
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
                let found = || format!("holds {held} page views of {due} acknowledged");
                integrity.broken(Promise::NoLostUpdate, at, id, found);
            }
        }
        life.expected = stamp;
    }

    /// A request is done with its session. Returns how long it held the lock.
    pub fn released(
        &mut self,
        release: &Release<'_>,
        integrity: &mut Integrity,
    ) -> Option<Duration> {
        let overtaken = self.releases.answered(release.request);
        let seen = overtaken.is_some_and(|leaving| leaving.seen);
        let life = self.lives.entry(release.id).or_default();
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
                        self.start(release.id, stamp, sent, done, item.timeout());
                    }
                    let write = match begins || lawful {
                        // It was expected from the instant at which somebody found it.
                        true if seen => Write::Seen,
                        true => Write::Lawful,
                        false => Write::Stale,
                    };
                    self.wrote(release, stamp, write, integrity);
                }
            }
            Written::Unknown(item) => {
                if let Some(stamp) = Stamp::read(item) {
                    life.may_hold(stamp, false);
                }
            }
            Written::Removed => {
                if life.born && life.ends == 0 && !life.abandoned {
                    self.due.remove(life.due(self.minute));
                    life.due_at_once(release.sent, release.done);
                    life.abandoned = true;
                    self.due.add(life.due(self.minute));
                }
            }
        }
        // A lock that was taken without a session ever being written leaves nothing behind.
        let empty = |life: &Life| !life.born && life.holder.is_none() && life.possible.is_none();
        if self.lives.get(&release.id).is_some_and(empty) {
            self.lives.remove(&release.id);
        }
        held
    }

    /// A lock was released by force.
    pub fn stolen(&mut self, id: SessionId) {
        if let Some(life) = self.lives.get_mut(&id) {
            life.robbed = true;
        }
    }

    /// A new life begins. Two requests that create the same session at once share one life.
    fn start(
        &mut self,
        id: SessionId,
        stamp: Stamp,
        sent: Instant,
        done: Instant,
        timeout: Minutes,
    ) {
        let life = self.lives.entry(id).or_default();
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
        }
    }

    /// A request's update was acknowledged.
    fn wrote(
        &mut self,
        release: &Release<'_>,
        stamp: Stamp,
        write: Write,
        integrity: &mut Integrity,
    ) {
        let Some(life) = self.lives.get_mut(&release.id).filter(|life| life.born) else {
            return;
        };
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

    /// A provider raised session end.
    pub fn end_raised(
        &mut self,
        notice: &EndNotice,
        now: Instant,
        integrity: &mut Integrity,
    ) -> RaisedEnd {
        let stamp = notice.item.as_ref().and_then(Stamp::read);
        let pages = match (&notice.item, stamp) {
            (None, _) => None,
            (Some(_), stamp) => Some(stamp.map_or(0, |stamp| stamp.pages)),
        };
        let mut raised = RaisedEnd {
            id: notice.id,
            life: None,
            owner: stamp.map(|stamp| stamp.owner()),
            pages,
            raised: now,
        };
        self.counts.ends_in_step += 1;
        let minute = self.minute;
        if notice.item.is_some() && stamp.is_none() {
            self.counts.empty += 1;
            return raised;
        }
        let Some(life) = find(&mut self.lives, &mut self.superseded, notice.id, stamp) else {
            self.counts.unknown += 1;
            let found = || "ended, and never started in this run".to_owned();
            integrity.offended("unknown", now, notice.id, found);
            return raised;
        };
        raised.life = Some(life.expected.life);
        raised.owner = Some(life.expected.owner());
        life.ends = life.ends.saturating_add(1);
        if pages.is_none() {
            self.counts.without_data += 1;
            let found = || "ended, and its data was gone".to_owned();
            integrity.offended("without_data", now, notice.id, found);
        }
        integrity.checked(Promise::EndsOnce);
        if life.ends > 1 {
            self.counts.duplicates += 1;
            let ends = life.ends;
            let first = now.since(life.ended);
            let found = || format!("ended for the {ends}. time, {first:.1?} after the first");
            integrity.broken(Promise::EndsOnce, now, Some(notice.id), found);
            integrity.offended("duplicates", now, notice.id, found);
            return raised;
        }
        let due = life.due(minute);
        let early_by = life.due_earliest(minute).since(now + CLOCK_GRAIN);
        self.due.remove(due);
        life.ended = now;
        // A provider may raise the end of a log-out before the log-out returns.
        life.abandoned |= notice.noticed == Noticed::Abandoned;
        if life.abandoned {
            self.counts.abandoned += 1;
            return raised;
        }
        integrity.checked(Promise::NotEarly);
        integrity.checked(Promise::NotLate);
        let measured = due >= self.measured_from;
        if measured {
            self.counts
                .due_uncertainty
                .record_duration(life.uncertainty());
        }
        if !early_by.is_zero() {
            self.counts.premature += 1;
            let found = || format!("ended {early_by:.1?} before it was due");
            integrity.broken(Promise::NotEarly, now, Some(notice.id), found);
            integrity.offended("premature", now, notice.id, found);
        }
        let lateness = now.since(due);
        if lateness > LATE {
            let found = || format!("ended {lateness:.1?} after it was due");
            integrity.broken(Promise::NotLate, now, Some(notice.id), found);
        }
        self.counts.lateness_max_in_step = self.counts.lateness_max_in_step.max(lateness);
        if measured {
            if early_by.is_zero() {
                self.counts.lateness.record_duration(lateness);
            } else {
                self.counts.earliness.record_duration(early_by);
            }
            self.split(notice.noticed, due, now);
        }
        raised
    }

    /// Splits lateness by what the time was spent on.
    fn split(&mut self, noticed: Noticed, due: Instant, now: Instant) {
        let cause = self.design.detection.map_or("unknown", Detection::cause);
        let (cause, detected) = match noticed {
            Noticed::Tick { origin, period } => {
                // The first tick of the grid at or after the due instant; what comes after it is
                // backlog.
                let period = period.as_nanos().max(1) as i64;
                let past_tick = due.signed_nanos_since(origin).rem_euclid(period);
                let to_tick = if past_tick == 0 {
                    0
                } else {
                    period - past_tick
                };
                (cause, due + Duration::from_nanos(to_tick as u64))
            }
            Noticed::Event { arrived, .. } => (cause, arrived),
            Noticed::Claimed { woke, again: false } => (cause, woke),
            Noticed::Claimed { woke, again: true } => ("claim lease", woke),
            Noticed::Access => ("access", now),
            Noticed::Abandoned => return,
        };
        // What a provider detects early by design, it is late for against its own deadline.
        let own_due = match noticed {
            Noticed::Event { lead, .. } => due - lead,
            _ => due,
        };
        let detected = detected.min(now);
        let mut record = |cause, spent: Duration| {
            self.counts
                .by_cause
                .entry(cause)
                .or_default()
                .record_duration(spent);
        };
        record(cause, detected.since(own_due));
        record("backlog", now.since(detected.max(own_due)));
    }

    /// The handler of a session end is done.
    pub fn end_handled(
        &mut self,
        end: &RaisedEnd,
        now: Instant,
        committed: bool,
        integrity: &mut Integrity,
    ) {
        self.counts.handler.record_duration(now.since(end.raised));
        if !committed {
            self.counts.handler_failed += 1;
            let found = || "its session-end handler threw".to_owned();
            integrity.offended("handler_failed", now, end.id, found);
        }
        let (Some(number), Some(pages), true) = (end.life, end.pages, committed) else {
            return;
        };
        let stamp = Some(Stamp {
            life: number,
            ..Stamp::default()
        });
        if let Some(life) = find(&mut self.lives, &mut self.superseded, end.id, stamp) {
            if let Some(before) = life.committed() {
                self.page_views.committed_again += u64::from(before.min(pages));
            }
            life.commit(pages);
        }
    }

    /// Whether a contact's session has ended already, so that a visit finds it gone.
    #[must_use]
    pub fn is_over(&self, id: SessionId) -> bool {
        self.lives
            .get(&id)
            .is_none_or(|life| life.born && life.ends > 0)
    }

    /// Counts a private end that found the contact's session gone.
    pub fn contact_gone(&mut self, end: &RaisedEnd, integrity: &mut Integrity) {
        self.counts.contact_gone += 1;
        let found = || "ended after the contact's shared session".to_owned();
        integrity.offended("contact_gone", end.raised, end.id, found);
    }

    /// What changed since the last step, for the timeline.
    pub fn step(&mut self, now: Instant) -> Step {
        self.due.advance(now);
        Step {
            alive: self.due.alive(),
            overdue: self.due.overdue(),
            ends: take(&mut self.counts.ends_in_step),
            lateness_max: take(&mut self.counts.lateness_max_in_step),
        }
    }

    /// Sessions whose end is still awaited.
    #[must_use]
    pub fn awaited(&self) -> u64 {
        self.due.alive() + self.due.overdue()
    }

    /// Forgets sessions that ended long ago, so that memory does not grow with the run.
    pub fn forget_old(&mut self, now: Instant, integrity: &mut Integrity) {
        let (minute, raises) = (self.minute, self.design.detection.is_some());
        let over = |life: &Life| match life.ends {
            0 => life.born && !raises && life.due(minute) + REMEMBERED < now,
            _ => life.holder.is_none() && life.ended + REMEMBERED < now,
        };
        let mut old: Vec<(SessionId, Life)> = Vec::new();
        self.lives.retain(|id, life| {
            let over = over(life);
            if over {
                old.push((*id, take(life)));
            }
            !over
        });
        self.superseded.retain(|id, lives| {
            let over = lives.extract_if(.., |life| over(life));
            old.extend(over.map(|life| (*id, life)));
            !lives.is_empty()
        });
        for (id, life) in old {
            self.close(id, &life, now, integrity);
        }
    }

    /// Adds a life to the final counts.
    fn close(&mut self, id: SessionId, life: &Life, now: Instant, integrity: &mut Integrity) {
        if !life.born {
            return;
        }
        let due = life.due(self.minute);
        let alive = life.ends == 0 && due >= now;
        match life.ends {
            0 if alive => self.counts.alive += 1,
            0 => {
                self.counts.missed += 1;
                let overdue = now.since(due);
                integrity.checked(Promise::EndsOnce);
                let found = || format!("not ended {overdue:.1?} after it was due");
                integrity.broken(Promise::EndsOnce, now, Some(id), found);
                let found = || format!("due, and not ended {overdue:.1?} later");
                integrity.offended("missed", due, id, found);
                if due >= self.measured_from {
                    self.counts.overdue.record_duration(overdue);
                }
            }
            1 => self.counts.ended_once += 1,
            _ => self.counts.ended_more += 1,
        }
        let performed = u64::from(life.performed);
        let views = &mut self.page_views;
        let (kept, at) = match life.committed() {
            Some(committed) => {
                let kept = performed.min(committed.into());
                views.committed += kept;
                (kept, life.ended)
            }
            None if alive => {
                let kept = performed.min(life.expected.pages.into());
                views.alive += kept;
                (kept, now)
            }
            None => {
                views.lost_with_visit += performed;
                return;
            }
        };
        let lost = performed - kept;
        views.lost_in_visit += lost;
        if lost > 0 {
            let found = || format!("{lost} of {performed} page views are missing in it");
            integrity.offended("lost_in_visit", at, id, found);
        }
    }

    /// Closes the ledger: what has not ended by now never does.
    #[must_use]
    pub fn finish(&mut self, now: Instant, integrity: &mut Integrity) -> SessionEnds {
        let (lives, superseded) = (take(&mut self.lives), take(&mut self.superseded));
        let mut all: Vec<(SessionId, &Life)> = lives.iter().map(|(id, life)| (*id, life)).collect();
        all.extend(
            (superseded.iter()).flat_map(|(id, lives)| lives.iter().map(|life| (*id, life))),
        );
        // The first offenders come first, and are the same in every run.
        all.sort_by_key(|(id, life)| (life.due(self.minute), *id));
        for (id, life) in all {
            self.close(id, life, now, integrity);
        }
        let views = &self.page_views;
        integrity.checked_times(Promise::PageViewsConserved, views.performed);
        let lost = views.lost_in_visit + views.lost_with_visit;
        integrity.broken_times(Promise::PageViewsConserved, lost);
        let counts = &self.counts;
        SessionEnds {
            kind: self.kind.name().to_owned(),
            supported: self.design.detection.is_some(),
            started: counts.started,
            ended_once: counts.ended_once,
            ended_more: counts.ended_more,
            missed: counts.missed,
            alive: counts.alive,
            duplicates: counts.duplicates,
            premature: counts.premature,
            used_after_end: counts.used_after_end,
            resurrected: counts.resurrected,
            vanished: counts.vanished,
            abandoned: counts.abandoned,
            without_data: counts.without_data,
            handler_failed: counts.handler_failed,
            unknown: counts.unknown,
            empty: counts.empty,
            contact_gone: counts.contact_gone,
            lateness: counts.lateness.distribution(),
            earliness: counts.earliness.distribution(),
            lateness_by_cause: counts
                .by_cause
                .iter()
                .map(|(cause, values)| ((*cause).to_owned(), values.distribution()))
                .collect(),
            due_uncertainty: counts.due_uncertainty.distribution(),
            handler: counts.handler.distribution(),
            overdue: counts.overdue.distribution(),
        }
    }

    /// What became of page views, once the ledger is closed.
    #[must_use]
    pub const fn page_views(&self) -> PageViews {
        self.page_views
    }
}

/// What a ledger tells of one step of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Sessions alive at its end.
    pub alive: u64,
    /// Sessions due and not ended at its end.
    pub overdue: u64,
    /// Ends raised in it.
    pub ends: u64,
    /// Longest lateness of them.
    pub lateness_max: Duration,
}

/// Finds the life that an end belongs to: the one in its data, or else the one that waits longest.
fn find<'a>(
    lives: &'a mut IdMap<Life>,
    superseded: &'a mut IdMap<Vec<Life>>,
    id: SessionId,
    stamp: Option<Stamp>,
) -> Option<&'a mut Life> {
    let is_it = |life: &Life| match stamp {
        Some(stamp) => life.born && life.expected.life == stamp.life,
        None => life.born && life.ends == 0,
    };
    let earlier = superseded
        .get_mut(&id)
        .and_then(|lives| lives.iter_mut().find(|life| is_it(life)));
    match earlier {
        Some(life) => Some(life),
        None => lives
            .get_mut(&id)
            .filter(|life| is_it(life) || stamp.is_none() && life.born),
    }
}

#[cfg(test)]
mod tests;
