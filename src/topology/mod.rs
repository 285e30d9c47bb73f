//! Clusters, CD servers and load balancers: which server takes a request.
//!
//! In: a request's device and a drawn number. Out: a CD server with its two request modules.
//! The surprising fact: a sticky balancer draws no server for a device; it remembers the first one,
//! as an affinity cookie does.

mod balancer;
mod cluster;
pub mod settings;

pub use balancer::{LoadBalancer, Route};
pub use cluster::{CdServer, Cluster, InProgress};
