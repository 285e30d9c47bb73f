//! Scenarios: read, check, explain errors.

pub mod model;

pub use model::Scenario;
