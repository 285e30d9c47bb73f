//! Clusters and their servers.

use super::balancer::{LoadBalancer, Route};
use super::settings::{Role, SharedAccess};
use crate::session::module::SessionStateModule;
use crate::session::observer::ServerIndex;
use std::cell::Cell;

/// A cluster at work: servers behind a balancer.
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// What its servers do.
    pub role: Role,
    /// How requests use the shared session.
    pub shared_access: SharedAccess,
    /// Relative share of contacts that choose it.
    pub weight: f64,
    /// The balancer.
    pub balancer: LoadBalancer,
    /// The servers.
    pub servers: Vec<CdServer>,
}

/// A server at work, with a request module for each store kind.
pub struct CdServer {
    /// Index over all clusters.
    pub index: ServerIndex,
    /// Private session state.
    pub private: SessionStateModule,
    /// Shared session state; CM servers have none.
    pub shared: Option<SessionStateModule>,
    in_progress: Cell<u32>,
}

impl CdServer {
    /// A server with no request in progress.
    #[must_use]
    pub const fn new(
        index: ServerIndex,
        private: SessionStateModule,
        shared: Option<SessionStateModule>,
    ) -> Self {
        Self {
            index,
            private,
            shared,
            in_progress: Cell::new(0),
        }
    }

    /// Counts a request as in progress until the guard is dropped.
    pub fn begin(&self) -> InProgress<'_> {
        self.in_progress.set(self.in_progress.get() + 1);
        InProgress { server: self }
    }
}

/// A request in progress on a server.
pub struct InProgress<'a> {
    server: &'a CdServer,
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        let count = &self.server.in_progress;
        count.set(count.get() - 1);
    }
}

impl Cluster {
    /// The server that takes a request, by its index in the cluster.
    pub fn route(&self, route: Route) -> u32 {
        let in_progress = |server: u32| self.servers[server as usize].in_progress.get();
        self.balancer.pick(route, in_progress)
    }
}
