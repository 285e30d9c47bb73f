//! Who visits, when, with which devices: a seeded, lazy stream of visits and page requests.
//!
//! In: what a scenario says of its visitors, and a seed. Out: instants of arrival ([`Arrivals`]) and
//! plans drawn when they are needed: of a contact, a visit, a page, a request. Nothing here waits or
//! sends; the engine plays the plans.
//!
//! The surprising fact: no generator is kept anywhere. Every plan is drawn from a generator of its
//! own, seeded by (seed, what is drawn, contact, device, visit, page, request), so that a change in
//! one place does not shift the draws of another, and a sleeping visitor holds no state.

mod arrivals;
mod draw;
mod plan;
pub mod settings;

pub use arrivals::Arrivals;
pub use plan::{ContactPlan, DeviceKey, PagePlan, RequestPlan, Traffic, VisitPlan, Way, shared_id};
