//! The sessions that we stored on a server that is not ours, so that they can be removed from it.
//!
//! In: what we stored, touched and removed. Out: the ids that may still be there. A session that
//! nobody touched expires on the server by itself, so it is forgotten here by the same clock, and
//! the memory for ids stays as small as the number of live sessions.

use crate::cache::{self, Cache, Sliding};
use crate::clock;
use crate::clock::Task;
use crate::session::{IdHasher, Minutes, SessionId};
use std::cell::RefCell;
use std::hash::BuildHasherDefault;
use std::rc::Rc;
use std::time::Duration;

type Ids = Cache<SessionId, Minutes, BuildHasherDefault<IdHasher>>;

/// Ids of our sessions on a server that is not ours.
pub struct Known {
    ids: Rc<RefCell<Ids>>,
    _wheel: Task<()>,
}

impl Sliding for Minutes {
    fn timeout(&self, minute: Duration) -> Duration {
        self.lasting(minute)
    }
}

impl Known {
    /// None yet.
    #[must_use]
    pub fn new(minute: Duration) -> Self {
        let ids = Rc::new(RefCell::new(Ids::new(minute)));
        let turned = Rc::clone(&ids);
        let wheel = cache::turn_wheel(move |_| {
            turned.borrow_mut().flush();
        });
        Self {
            ids,
            _wheel: clock::spawn(wheel),
        }
    }

    /// A session is about to be stored.
    pub fn storing(&self, id: SessionId, timeout: Minutes) {
        self.ids.borrow_mut().insert(id, timeout);
    }

    /// A session was touched.
    pub fn touched(&self, id: SessionId) {
        self.ids.borrow_mut().access(id);
    }

    /// A session is gone.
    pub fn gone(&self, id: SessionId) {
        self.ids.borrow_mut().remove(&id);
    }

    /// Those that may still be there, in their order.
    #[must_use]
    pub fn ids(&self) -> Vec<SessionId> {
        let mut ids: Vec<_> = self.ids.borrow().keys().copied().collect();
        ids.sort_unstable();
        ids
    }
}
