//! The contract, stated once and held against every provider on its real store.
//!
//! In: a provider's settings. Out: a [`Report`] that says of each [`Behaviour`] whether the provider
//! keeps the contract, departs from it as its table of capabilities says, or otherwise; and what each
//! kind of request costs in round trips. `sessionbench conformance` prints it, `tests/conformance.rs`
//! asserts it.
//!
//! The surprising fact: departing from the contract is no failure, since genuine providers do. A
//! failure is a departure that nobody wrote down, or one that was written down and is not there.

mod behaviours;
mod ends;
mod module;
mod probe;
mod round_trips;
mod subject;

pub use behaviours::{Behaviour, CONTRACT, Group, Needs, all};
pub use round_trips::Path;
pub use subject::Subject;

use self::probe::{Bench, Otherwise, Probed};
use self::subject::Site;
use crate::clock;
use crate::providers::{ConnectError, Deviation, ServerInfo};
use crate::session::StoreError;
use futures_util::future::join_all;
use serde::Serialize;
use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

/// Version of the report's JSON; raised when readers must know.
pub const SCHEMA_VERSION: u32 = 1;
/// A probe that takes longer hangs.
const PROBE_LIMIT: Duration = Duration::from_secs(120);
/// How often a probe is played that the machine was too busy for.
const ATTEMPTS: u32 = 5;
/// A server that takes longer to stop is left.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// What the suite found out about a provider.
#[derive(Debug, Serialize)]
pub struct Report {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The provider's name in scenarios.
    pub provider: &'static str,
    /// Its settings, without the server.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// The server behind it; `None` in process.
    pub server: Option<ServerInfo>,
    /// Every behaviour, in the order of the contract.
    pub behaviours: Vec<Finding>,
    /// Every path of a request.
    pub round_trips: Vec<Path>,
    /// What could not be cleaned up.
    pub warnings: Vec<String>,
}

/// What was found out about one behaviour.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// Title of its group.
    pub group: &'static str,
    /// Its name.
    pub behaviour: &'static str,
    /// What the contract says.
    pub states: &'static str,
    /// How the provider stands to it.
    pub verdict: Verdict,
    /// What was seen instead, or why nothing was.
    pub seen: Option<String>,
    /// What the table of capabilities says about it.
    pub documented: Option<&'static str>,
}

/// How a provider stands to a behaviour of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does what the contract says.
    AsContracted,
    /// It does otherwise, and its table of capabilities says so.
    DeviatesAsDocumented,
    /// It does otherwise, and nobody wrote it down.
    DeviatesUnexpectedly,
    /// Its table of capabilities says that it does otherwise, and it does not.
    DeviationNotSeen,
    /// It could not be seen.
    NotProbed,
}

impl Report {
    /// Whether everything is as the table of capabilities says.
    #[must_use]
    pub fn as_documented(&self) -> bool {
        let wrong = [Verdict::DeviatesUnexpectedly, Verdict::DeviationNotSeen];
        let found = self.behaviours.iter().map(|finding| finding.verdict);
        found.into_iter().all(|verdict| !wrong.contains(&verdict))
            && self.round_trips.iter().all(Path::as_designed)
    }
}

/// Why a provider could not be examined.
#[derive(Debug, thiserror::Error)]
pub enum ConformanceError {
    /// It could not be brought in.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Its store went away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Holds the contract against a provider, until it is done or `interrupted` is. Everything that was
/// brought in is closed on every way out.
///
/// # Errors
/// See [`ConformanceError`].
pub async fn examine(
    subject: &Subject,
    interrupted: impl Future<Output = ()>,
) -> Result<Report, ConformanceError> {
    let examination = Examination {
        subject,
        benches: RefCell::default(),
    };
    let examined = tokio::select! {
        biased;
        () = interrupted => Err(ConformanceError::Interrupted),
        examined = examination.run() => examined,
    };
    let warnings = examination.close().await;
    examined.map(|report| Report { warnings, ..report })
}

/// An examination under way.
struct Examination<'a> {
    subject: &'a Subject,
    /// Everything that must be closed.
    benches: RefCell<Vec<Rc<Bench>>>,
}

impl Examination<'_> {
    async fn run(&self) -> Result<Report, ConformanceError> {
        let subject = self.subject;
        let shared = self.open("shared").await?;
        shared.listen();
        let probing = all().map(|(_, behaviour)| self.probe(behaviour, &shared));
        let counting = async {
            let bench = self.open("counted").await?;
            let designed = subject.capabilities.round_trips;
            Ok(round_trips::measure(&bench, designed).await?)
        };
        let (probed, counted): (_, Result<_, ConformanceError>) =
            futures_util::future::join(join_all(probing), counting).await;
        let mut behaviours = Vec::new();
        for ((group, behaviour), probed) in all().zip(probed) {
            behaviours.push(self.judge(group, behaviour, probed?)?);
        }
        Ok(Report {
            schema_version: SCHEMA_VERSION,
            provider: subject.capabilities.name,
            settings: subject.settings.clone(),
            server: shared.site.provider.server().cloned(),
            behaviours,
            round_trips: counted?,
            warnings: Vec::new(),
        })
    }

    /// Opens two servers on a site of this name.
    async fn open(&self, name: &str) -> Result<Rc<Bench>, ConformanceError> {
        let capabilities = self.subject.capabilities;
        let first = self.benches.borrow().first().cloned();
        let first = first.as_ref().map(|bench| &*bench.site.provider);
        let site = Site::bring_in(self.subject, first, name).await?;
        let bench = Bench::open(site, capabilities).await?;
        let bench = Rc::new(bench);
        self.benches.borrow_mut().push(Rc::clone(&bench));
        Ok(bench)
    }

    /// Plays the probe of a behaviour, again where the machine was too busy.
    async fn probe(
        &self,
        behaviour: &Behaviour,
        shared: &Rc<Bench>,
    ) -> Result<Probed, ConformanceError> {
        let short = behaviour.needs != Needs::Servers;
        if let Some(why) = self.subject.no_short_lives.as_ref().filter(|_| short) {
            return Ok(Err(Otherwise::NotProbed(why.clone())));
        }
        let bench = match behaviour.needs {
            Needs::Servers | Needs::ShortLives => Rc::clone(shared),
            Needs::SiteOfItsOwn => self.open(behaviour.name).await?,
        };
        // A deviation that is written down needs no second look, and some take long by design.
        let documented = self.subject.deviations.iter();
        let documented = { documented }.any(|it| it.behaviour == behaviour.name);
        let mut last = Err(Otherwise::TooSlow);
        for _ in 0..ATTEMPTS {
            let started = clock::now();
            let probe = (behaviour.probe)(Rc::clone(&bench));
            let Ok(probed) = clock::timeout(PROBE_LIMIT, probe).await else {
                let limit = PROBE_LIMIT.as_secs();
                return Ok(probe::deviates(format!("no answer within {limit} s")));
            };
            // Those that need short lives look to their punctuality themselves.
            let outlived = !short && !documented && clock::now() >= started + bench.site.life();
            match probed {
                Err(Otherwise::TooSlow) => {}
                Err(Otherwise::Deviates(_)) if outlived => last = probed,
                probed => return Ok(probed),
            }
        }
        Ok(last)
    }

    /// What a probe found, held against the table of capabilities.
    fn judge(
        &self,
        group: &'static str,
        behaviour: &Behaviour,
        probed: Probed,
    ) -> Result<Finding, ConformanceError> {
        let here = |deviation: &&Deviation| deviation.behaviour == behaviour.name;
        let documented = self.subject.deviations.iter().find(here);
        let departed = match documented {
            Some(_) => Verdict::DeviatesAsDocumented,
            None => Verdict::DeviatesUnexpectedly,
        };
        let (verdict, seen) = match probed {
            Ok(()) if documented.is_some() => (Verdict::DeviationNotSeen, None),
            Ok(()) => (Verdict::AsContracted, None),
            // A store that is gone says nothing about the provider; one that refuses does.
            Err(Otherwise::Store(error @ StoreError::Connection(_))) => return Err(error.into()),
            Err(seen @ (Otherwise::Deviates(_) | Otherwise::Store(_))) => {
                (departed, Some(seen.to_string()))
            }
            Err(why) => (Verdict::NotProbed, Some(why.to_string())),
        };
        Ok(Finding {
            group,
            behaviour: behaviour.name,
            states: behaviour.states,
            verdict,
            seen,
            documented: documented.map(|deviation| deviation.why),
        })
    }

    /// Stops every server and removes everything of ours; returns what could not be done.
    async fn close(self) -> Vec<String> {
        let mut warnings = Vec::new();
        for bench in self.benches.into_inner() {
            let stopping = async {
                bench.a.dispose().await;
                bench.b.dispose().await;
            };
            if clock::timeout(STOP_LIMIT, stopping).await.is_err() {
                warnings.push("a server did not stop in good order".to_owned());
            }
            if let Err(error) = bench.site.provider.close().await {
                warnings.push(format!("the store could not be cleaned up: {error}"));
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests;
