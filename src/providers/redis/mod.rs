//! The Redis providers.

pub mod settings;

use super::{ConnectError, Provider, ProviderSettings};
use std::rc::Rc;

/// Brings a Redis provider in.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(
    _settings: &ProviderSettings,
    _application: &str,
) -> Result<Rc<dyn Provider>, ConnectError> {
    Err(ConnectError::Settings("not written yet".to_owned()))
}
