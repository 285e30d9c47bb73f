//! The request module.
