//! Who visits, when, with which devices.

pub mod settings;
