//! sessionbench.

pub mod clock;
pub mod providers;
pub mod quantity;
pub mod report;
pub mod result;
pub mod scenario;
pub mod session;
pub mod topology;
pub mod traffic;
