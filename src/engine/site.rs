//! The site that visitors visit in one run: clusters, traffic, and where everything is recorded.

use crate::clock::Instant;
use crate::measure::Recorder;
use crate::session::observer::RequestNumber;
use crate::session::value::TextPool;
use crate::topology::Cluster;
use crate::traffic::{ContactPlan, Traffic};
use std::cell::Cell;
use std::rc::Rc;

/// Everything that a visitor needs.
pub struct Site {
    /// Clusters that serve visitors.
    pub clusters: Vec<Cluster>,
    /// What visitors do.
    pub traffic: Traffic,
    /// Where it is recorded.
    pub recorder: Rc<Recorder>,
    /// Text for session data.
    pub text: Rc<TextPool>,
    /// When visitors stop.
    pub until: Cell<Instant>,
    /// Number of the last request.
    pub last_request: Cell<u64>,
}

impl Site {
    /// Numbers a new request.
    pub fn next_request(&self) -> RequestNumber {
        let number = self.last_request.get() + 1;
        self.last_request.set(number);
        RequestNumber(number)
    }

    /// Whose shared session a device uses in a cluster. Each cluster has a session database of its
    /// own, so a contact with devices in two of them has a shared session in each, and these must
    /// not be taken for one. A stamp has room for 44 bits of it: 2³⁰ contacts in 256 clusters.
    pub fn owner(&self, contact: &ContactPlan, device: u32, cluster: usize) -> u64 {
        self.traffic.owner(contact, device) | (cluster as u64) << 36
    }

    /// The cluster that a drawn number from 0 to 1 chooses, by weight.
    pub fn choose_cluster(&self, drawn: f64) -> usize {
        let total: f64 = self.clusters.iter().map(|cluster| cluster.weight).sum();
        let mut rest = drawn * total;
        let chosen = self.clusters.iter().position(|cluster| {
            rest -= cluster.weight;
            rest < 0.0
        });
        chosen.unwrap_or(self.clusters.len() - 1)
    }
}
