//! From a provider's callback to the commit: the session-end handler.

use crate::clock;
use crate::measure::Recorder;
use crate::quantity::mix;
use crate::session::contract::EndHandlerFailed;
use crate::session::settings::EndHandler;
use crate::session::{EndNotice, ExpireCallback, StoreKind};
use async_trait::async_trait;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use std::rc::Rc;

/// Commits a visit to xConnect, with the latency and the failures that the scenario gives it.
pub struct Commit {
    handler: EndHandler,
    recorder: Rc<Recorder>,
    seed: u64,
}

impl Commit {
    /// The handler of one CD server.
    #[must_use]
    pub const fn new(handler: EndHandler, recorder: Rc<Recorder>, seed: u64) -> Self {
        Self {
            handler,
            recorder,
            seed,
        }
    }
}

#[async_trait(?Send)]
impl ExpireCallback for Commit {
    async fn session_end(&self, notice: EndNotice) -> Result<(), EndHandlerFailed> {
        let raised = self.recorder.end_raised(&notice);
        // Ending a contact's session commits nothing: only a visit goes to xConnect.
        let commits = notice.id.kind() == StoreKind::Private && notice.item.is_some();
        let mut failed = false;
        if commits {
            // Each session's end has a generator of its own, so that ends do not depend on order.
            let seed = mix(self.seed ^ notice.id.low_bits());
            let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
            let latency = self.handler.latency.sample(&mut random);
            clock::sleep(latency.duration()).await;
            failed = random.random::<f64>() < self.handler.failures.fraction();
        }
        self.recorder.end_handled(&raised, !failed);
        if failed {
            Err(EndHandlerFailed)
        } else {
            Ok(())
        }
    }
}
