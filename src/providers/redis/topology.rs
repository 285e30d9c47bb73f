//! Which servers are masters right now: one, one that sentinels know, or those of a cluster.
//!
//! In: the servers of a connection string. Out: the master for a command, all masters, and a signal
//! when they change. The surprising fact: but for sentinels, nobody tells a client that a master lost
//! its office. It learns so from a redirection, an error or a broken connection; one that only listens
//! learns nothing at all, which is why the masters are also asked for now and then
//! (`configCheckSeconds`, 60 s).

use super::address::Address;
use super::command::Command;
use super::dial::Dialer;
use super::failure::Failure;
use super::pipe::Pipe;
use super::slots::{self, Slots};
use crate::clock::{self, Instant};
use futures_util::StreamExt as _;
use redis::{Cmd, Value, cmd};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// The masters are asked for no more often than this, however many commands fail.
const REFRESH_GAP: Duration = Duration::from_millis(250);
/// Where a sentinel tells of a new master.
const SWITCHES: &str = "+switch-master";
/// Wait before the sentinels are tried again when none tells of new masters.
const NO_SENTINEL_WAIT: Duration = Duration::from_secs(1);

/// What a connection string says about where the servers are.
#[derive(Debug, Clone)]
pub struct Named {
    /// The servers, or the sentinels.
    pub servers: Vec<Address>,
    /// The master's name among the sentinels.
    pub service: Option<String>,
    /// How often the masters are asked for without need.
    pub config_check: Duration,
}

/// The masters, as far as known.
pub struct Topology {
    named: Named,
    dialer: Rc<Dialer>,
    masters: RefCell<Option<Masters>>,
    /// Held while the masters are asked for, so that many commands ask once.
    finding: Mutex<()>,
    found: Cell<Option<Instant>>,
    changed: watch::Sender<()>,
}

/// The masters.
enum Masters {
    One(Address),
    Cluster(Slots),
}

impl Masters {
    /// Every master, in a fixed order.
    fn list(&self) -> Vec<Address> {
        match self {
            Self::One(master) => vec![master.clone()],
            Self::Cluster(slots) => {
                let mut masters = slots.masters().to_vec();
                masters.sort();
                masters
            }
        }
    }
}

impl Topology {
    /// Masters that are looked for when they are first needed.
    #[must_use]
    pub fn new(named: Named, dialer: Rc<Dialer>) -> Self {
        Self {
            named,
            dialer,
            masters: RefCell::default(),
            finding: Mutex::default(),
            found: Cell::default(),
            changed: watch::Sender::default(),
        }
    }

    /// Makes connections to them.
    #[must_use]
    pub const fn dialer(&self) -> &Rc<Dialer> {
        &self.dialer
    }

    /// How often they are worth asking for without need; `None` where they cannot change.
    #[must_use]
    pub fn config_check(&self) -> Option<Duration> {
        (!self.is_fixed()).then_some(self.named.config_check)
    }

    /// Whether they are those of a Redis Cluster; `false` while they are not known.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        matches!(&*self.masters.borrow(), Some(Masters::Cluster(_)))
    }

    /// Told whenever the masters become others.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Every master.
    ///
    /// # Errors
    /// None is known and none can be found.
    pub async fn masters(&self) -> Result<Vec<Address>, Failure> {
        self.find_first().await?;
        let known = self.masters.borrow();
        Ok(known.as_ref().map(Masters::list).unwrap_or_default())
    }

    /// The master that a command goes to, if it is known.
    #[must_use]
    pub fn master_for(&self, command: &Command) -> Option<Address> {
        match &*self.masters.borrow() {
            Some(Masters::One(master)) => Some(master.clone()),
            Some(Masters::Cluster(slots)) => {
                Some(slots.master(command.key().map_or(0, slots::slot)).clone())
            }
            None => None,
        }
    }

    /// Takes note of one slot's new master, as a redirection told, and asks for the rest beside.
    pub fn learn(self: &Rc<Self>, slot: u16, master: &Address) {
        if let Some(Masters::Cluster(slots)) = &mut *self.masters.borrow_mut() {
            slots.learn(slot, master);
        }
        self.refresh_beside();
    }

    /// Asks for the masters anew while others do something else.
    pub fn refresh_beside(self: &Rc<Self>) {
        if !self.is_fixed() {
            let topology = Rc::clone(self);
            clock::spawn_detached(async move { topology.refresh().await });
        }
    }

    /// Asks for the masters anew, unless that was done a moment ago. What is known stays when nobody
    /// answers.
    pub async fn refresh(&self) {
        let asked = clock::now();
        let _one_at_a_time = self.finding.lock().await;
        let lately = |at: Instant| at >= asked || asked.since(at) < REFRESH_GAP;
        if self.is_fixed() || self.found.get().is_some_and(lately) {
            return;
        }
        // An error shows again when the next command is sent.
        let _ = self.find().await;
    }

    /// Follows what the sentinels tell of new masters, for ever. An old master keeps its subscribers
    /// until sentinels have made it a replica, some ten seconds after they named the new one.
    pub async fn hear_switches(&self) {
        if self.named.service.is_none() {
            std::future::pending::<()>().await;
        }
        loop {
            // One that is away has others beside it.
            for sentinel in &self.named.servers {
                if let Ok(told) = self.dialer.sentinel_subscription(sentinel, SWITCHES).await {
                    let (_sink, mut told) = told.split();
                    // For what was told before.
                    self.refresh().await;
                    while told.next().await.is_some() {
                        let _one_at_a_time = self.finding.lock().await;
                        let _ = self.find().await;
                    }
                }
            }
            clock::sleep(NO_SENTINEL_WAIT).await;
        }
    }

    /// Whether there is only one server that could be the master.
    fn is_fixed(&self) -> bool {
        let one = self.named.servers.len() == 1 && self.named.service.is_none();
        one && matches!(&*self.masters.borrow(), Some(Masters::One(_)))
    }

    /// Looks for the masters, unless they are known.
    ///
    /// # Errors
    /// None can be found.
    pub async fn find_first(&self) -> Result<(), Failure> {
        if self.masters.borrow().is_some() {
            return Ok(());
        }
        let _one_at_a_time = self.finding.lock().await;
        // Another one may have found them meanwhile.
        let known = self.masters.borrow().is_some();
        if known { Ok(()) } else { self.find().await }
    }

    /// Asks one server after the other, those that are masters first.
    async fn find(&self) -> Result<(), Failure> {
        let mut servers = match (&self.named.service, &*self.masters.borrow()) {
            (None, Some(known)) => known.list(),
            _ => Vec::new(),
        };
        servers.extend(self.named.servers.iter().cloned());
        let mut reason = None;
        for server in servers {
            let asked = match &self.named.service {
                Some(service) => self.ask_sentinel(&server, service).await,
                None => self.ask(&server).await,
            };
            match asked {
                Ok(masters) => {
                    self.keep(masters);
                    return Ok(());
                }
                // What a person can change says more than that another server is away.
                Err(failure) => match (&reason, &failure) {
                    (Some(Failure::Unusable(_)), _) => {}
                    _ => reason = Some(failure),
                },
            }
        }
        self.found.set(Some(clock::now()));
        Err(reason.unwrap_or(Failure::TimedOut))
    }

    fn keep(&self, masters: Masters) {
        self.found.set(Some(clock::now()));
        let before = self.masters.borrow().as_ref().map(Masters::list);
        let others = before.is_some_and(|before| before != masters.list());
        *self.masters.borrow_mut() = Some(masters);
        if others {
            self.changed.send_replace(());
        }
    }

    /// Asks a server for the masters of its cluster, or whether it is a master itself.
    async fn ask(&self, at: &Address) -> Result<Masters, Failure> {
        let server = self.dialer.commands(at).await?;
        let answer = self.answer(&server, cmd("CLUSTER").arg("SLOTS")).await;
        match answer {
            Ok(answer) => Slots::read(&answer, at)
                .map(Masters::Cluster)
                .ok_or_else(|| Failure::Refused(format!("the cluster of {at} serves no slots"))),
            // No cluster, or a user who may not ask.
            Err(Failure::Refused(_) | Failure::Unusable(_)) => {
                let role = self.answer(&server, &cmd("ROLE")).await;
                match role.ok().as_ref().and_then(first_text).as_deref() {
                    Some(b"slave") => Err(Failure::Unusable(format!(
                        "{at} is a replica, which cannot be written to: name its master"
                    ))),
                    Some(b"sentinel") => Err(Failure::Unusable(format!(
                        "{at} is a sentinel: add `serviceName=…` with its master's name"
                    ))),
                    _ => Ok(Masters::One(at.clone())),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    /// Asks a sentinel where the master of a name is.
    async fn ask_sentinel(&self, at: &Address, service: &str) -> Result<Masters, Failure> {
        let sentinel = self.dialer.sentinel(at).await?;
        let question = cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(service)
            .take();
        let answer = self.answer(&sentinel, &question).await?;
        let place: Option<(String, u16)> = redis::from_redis_value(answer)
            .map_err(|_| Failure::Unusable(format!("{at} is no sentinel")))?;
        match place {
            Some((host, port)) => Ok(Masters::One(at.sibling(&host, port))),
            None => Err(Failure::Unusable(format!(
                "the sentinel {at} knows no master `{service}`"
            ))),
        }
    }

    async fn answer(&self, server: &Pipe, command: &Cmd) -> Result<Value, Failure> {
        let asking = async { server.send(&command.into())?.reply().await };
        let answer = clock::timeout(self.dialer.limit(), asking).await;
        let (value, _) = answer.map_err(|_| Failure::TimedOut)??;
        value.extract_error().map_err(Failure::from)
    }
}

fn first_text(answer: &Value) -> Option<Vec<u8>> {
    match answer {
        Value::Array(elements) => match elements.first()? {
            Value::BulkString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}
