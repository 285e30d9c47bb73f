//! The contract as named behaviours.
//!
//! A behaviour is data: a name that the table of capabilities and readers of JSON can rely on, a
//! sentence that states it, what a probe of it needs, and the probe. They state what ASP.NET's own
//! stores promise (facts §2, §3.1) and what Sitecore needs beyond it (facts §9.5); a genuine provider
//! that does otherwise has that in its [`Deviation`](crate::providers::Deviation)s.

mod data;
mod lifetime;
mod locks;
mod session_end;
mod uninitialized;

use super::probe::{Bench, Probed};
use futures_util::future::LocalBoxFuture;
use std::rc::Rc;

/// One behaviour of the contract.
#[derive(Debug)]
pub struct Behaviour {
    /// Its name.
    pub name: &'static str,
    /// What the contract says.
    pub states: &'static str,
    /// What a probe of it needs.
    pub needs: Needs,
    /// Looks whether a provider does so.
    pub probe: fn(Rc<Bench>) -> LocalBoxFuture<'static, Probed>,
}

/// What a probe needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Two servers that listen to session ends; shared with other probes.
    Servers,
    /// The same, and sessions that live for seconds.
    ShortLives,
    /// Sessions that live for seconds, and a site where nobody else listens to session ends.
    SiteOfItsOwn,
}

/// Behaviours about one subject.
#[derive(Debug)]
pub struct Group {
    /// The subject.
    pub title: &'static str,
    /// Its behaviours.
    pub behaviours: &'static [Behaviour],
}

/// The whole contract.
pub const CONTRACT: [Group; 5] = [
    Group {
        title: "data",
        behaviours: data::BEHAVIOURS,
    },
    Group {
        title: "locks",
        behaviours: locks::BEHAVIOURS,
    },
    Group {
        title: "uninitialised sessions",
        behaviours: uninitialized::BEHAVIOURS,
    },
    Group {
        title: "lifetime",
        behaviours: lifetime::BEHAVIOURS,
    },
    Group {
        title: "session end",
        behaviours: session_end::BEHAVIOURS,
    },
];

/// Every behaviour, with the title of its group.
pub fn all() -> impl Iterator<Item = (&'static str, &'static Behaviour)> {
    CONTRACT
        .iter()
        .flat_map(|group| (group.behaviours.iter()).map(|behaviour| (group.title, behaviour)))
}
