//! A simulation and benchmarking harness for the session-state stores of ASP.NET and Sitecore sites.

pub mod cache;
pub mod cli;
pub mod clock;
pub mod conformance;
pub mod doctor;
pub mod engine;
pub mod fetch;
pub mod import;
pub mod measure;
pub mod providers;
pub mod quantity;
pub mod report;
pub mod result;
pub mod scenario;
pub mod servers;
pub mod session;
pub mod table;
pub mod topology;
pub mod traffic;
pub mod usage;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
