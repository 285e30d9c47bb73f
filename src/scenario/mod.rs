//! Scenarios: read, check, explain errors.
//!
//! In: a YAML file. Out: a [`Scenario`] that is fully checked, or every problem of the file at
//! once, each with its line, a caret and a remedy. Four steps: the YAML itself ([`source`]) and its
//! shape along the JSON Schema (`structure`), then, if these found no error, decoding into the
//! [`model`] and what a shape cannot say (`rules`).
//!
//! The surprising fact: there is one tree of the file, and everything is read from it, so that what
//! was checked is what is played.

mod estimate;
mod expand;
mod load;
pub mod metric;
pub mod model;
pub mod objective;
pub mod path;
pub mod plan;
pub mod problem;
mod rules;
pub mod schema;
mod secrets;
mod shape;
pub mod source;
mod structure;
mod suggest;
pub mod tree;
mod variables;

pub use estimate::Estimate;
pub use expand::{ClusterPlan, RunPlan};
pub use load::{Loaded, load, parse, parse_with};
pub use metric::{Metric, Statistic, Unit};
pub use model::Scenario;
pub use objective::{Objective, ObjectiveError};
pub use plan::Plan;
pub use problem::{Problem, Problems, Severity};
