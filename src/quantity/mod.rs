//! Quantities and laws as a planner writes them; the ground floor beside `clock/`.

pub mod law;
mod mix;
mod site_time;
pub mod units;

pub use law::{Count, Distribution, Law, Lognormal, Mean, Uniform, Weighted};
pub use mix::mix;
pub use site_time::SiteTime;
pub use units::{Rate, Share, Size, Span, UnitError};
