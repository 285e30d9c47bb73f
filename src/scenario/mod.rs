//! Scenarios: read, check, explain errors.
//!
//! In: a YAML file. Out: a [`Scenario`] that is fully checked, or every problem of the file at
//! once, each with its line, a caret and a remedy. Four steps, each only after the one before found
//! no error: the YAML itself ([`source`]), its shape along the JSON Schema ([`structure`]), decoding
//! into the [`model`], and what the shape cannot say ([`rules`]).

mod estimate;
mod expand;
mod load;
pub mod model;
pub mod objective;
mod path;
pub mod plan;
pub mod problem;
mod rules;
pub mod schema;
mod secrets;
mod shape;
pub mod source;
mod structure;
mod suggest;

pub use estimate::Estimate;
pub use expand::{ClusterPlan, RunPlan};
pub use load::{Loaded, load, parse};
pub use model::Scenario;
pub use objective::Objective;
pub use plan::Plan;
pub use problem::{Problem, Problems, Severity};
