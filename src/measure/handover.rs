//! Releases on their way to the store, whose locks others may get before the answer is here.
//!
//! The surprising fact: on a store behind several connections, the next holder may hear of its lock
//! before the last one hears that it is rid of it. Neither broke a promise. So a request says that it
//! releases before it does, and a grant that comes before the answer is no second holder.

use super::life::Holder;
use crate::clock::Instant;
use crate::session::observer::RequestNumber;
use crate::session::{IdHasher, Item, Minutes, Stamp};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;

/// A release of a lock that its request held by right.
#[derive(Debug, Clone, Copy)]
pub struct Leaving {
    /// Who releases.
    pub holder: Holder,
    /// When it was sent.
    pub sent: Instant,
    /// What it writes, if anything.
    pub written: Option<(Stamp, Minutes)>,
    /// Whether another request got the lock before the answer.
    pub overtaken: bool,
    /// Whether that request found what is written here.
    pub seen: bool,
}

/// The releases under way of one store kind, by request: a request holds one session of a kind.
#[derive(Debug, Default)]
pub struct Releases {
    /// The one that was sent last, which is the only one where stores answer at once.
    latest: Option<(RequestNumber, Leaving)>,
    others: HashMap<RequestNumber, Leaving, BuildHasherDefault<IdHasher>>,
}

impl Releases {
    /// A request that holds a lock by right is about to release it.
    pub fn sent(&mut self, holder: Holder, sent: Instant, written: Option<&Item>) {
        let written = written.and_then(|item| Some((Stamp::read(item)?, item.timeout())));
        let leaving = Leaving {
            holder,
            sent,
            written,
            overtaken: false,
            seen: false,
        };
        if let Some((request, leaving)) = self.latest.replace((holder.request(), leaving)) {
            self.others.insert(request, leaving);
        }
    }

    /// Somebody got the lock of this request, and found this content: its release, if one is under
    /// way.
    pub fn overtake(&mut self, holder: Holder, found: Option<Stamp>) -> Option<Leaving> {
        let leaving = match &mut self.latest {
            Some((request, leaving)) if *request == holder.request() => leaving,
            _ => self.others.get_mut(&holder.request())?,
        };
        leaving.overtaken = true;
        leaving.seen = found.is_some() && found == leaving.written.map(|(stamp, _)| stamp);
        Some(*leaving)
    }

    /// The answer to a request's release is here: what there was to say, if it was overtaken.
    pub fn answered(&mut self, request: RequestNumber) -> Option<Leaving> {
        let leaving = match self.latest.take_if(|(latest, _)| *latest == request) {
            Some((_, leaving)) => leaving,
            None => self.others.remove(&request)?,
        };
        leaving.overtaken.then_some(leaving)
    }
}
