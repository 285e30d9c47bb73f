//! System.Web's in-process store.

use super::{Provider, Seat, ServerInfo, StoreSample};
use crate::session::{SessionStateStore, StoreError};
use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Settings of the in-process store; it has none of its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inproc {}

/// The in-process provider of one cluster.
#[derive(Debug, Default)]
pub struct InprocProvider {}

#[async_trait(?Send)]
impl Provider for InprocProvider {
    async fn open(&self, _seat: &Seat) -> Result<Rc<dyn SessionStateStore>, StoreError> {
        Err(StoreError::Refused("not written yet".to_owned()))
    }

    fn server(&self) -> Option<&ServerInfo> {
        None
    }

    async fn sample(&self) -> Result<StoreSample, StoreError> {
        Ok(StoreSample::default())
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
