//! Clusters, CD servers and load balancers.

pub mod settings;
