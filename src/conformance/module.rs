//! The request module over a server's store, watched by nobody.

use super::probe::Otherwise;
use super::subject::Server;
use crate::clock;
use crate::session::RequestContext;
use crate::session::module::{Constants, Request, SessionStateModule};
use crate::session::observer::{Nobody, RequestNumber, ServerIndex};
use std::rc::Rc;
use std::time::Duration;

/// Constants of a module that polls fast and never steals.
pub const PATIENT: Constants = Constants {
    poll_interval: Duration::from_millis(20),
    poll_gap: Duration::from_millis(10),
    steal_after: Duration::from_secs(110),
    execution_timeout: Duration::from_secs(110),
    queue_limit: 50,
};

/// The request module of a server.
pub fn module(server: &Server, constants: Constants) -> Result<SessionStateModule, Otherwise> {
    let index = ServerIndex(server.number());
    let store = server.store()?;
    let observer = Rc::new(Nobody);
    Ok(SessionStateModule::new(store, observer, index, constants))
}

/// A page request that comes in now.
pub fn request() -> Request {
    Request {
        number: RequestNumber(0),
        started: clock::now(),
        context: RequestContext::default(),
    }
}
