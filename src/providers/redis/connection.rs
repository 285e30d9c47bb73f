//! Commands to Redis as StackExchange.Redis sends them: few connections to each master, many requests
//! on each, one limit for an operation, and the retry rule of Microsoft's provider (facts §1.6).
//!
//! In: a command or a script for a request. Out: the reply, with every command that was sent
//! counted on the request. The surprising fact: a retry is not idempotent. When the reply to "take
//! the lock" was lost, the retry finds the lock taken, by itself, and waits for nobody.

use super::address::Address;
use super::command::Command;
use super::failure::Failure;
use super::link::{Link, count};
use super::script::Script;
use super::topology::Topology;
use crate::clock::{self, Instant};
use crate::session::{RequestContext, StoreError};
use redis::{Cmd, Value};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// First wait before a failed operation is tried again; the later ones are [`LATER_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LATER_WAIT: Duration = Duration::from_secs(1);
/// Servers that one attempt goes to before it is given up. A redirection leads to a second; more
/// happen only while slots move.
const MOST_HOPS: u32 = 5;

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Making a connection.
    pub connect: Duration,
    /// One command, with making the connection if there is none.
    pub operation: Duration,
    /// During how long a failed operation is tried again.
    pub retry: Duration,
}

/// The connections of one provider instance: some to each master, used in turn.
pub struct Connections {
    topology: Rc<Topology>,
    nodes: RefCell<BTreeMap<Address, Rc<Node>>>,
    count: u32,
    limits: Limits,
    shut: Shut,
}

/// The connections to one server.
struct Node {
    at: Address,
    links: Vec<Link>,
    next: Cell<usize>,
}

impl Node {
    /// Sends a command over the connection whose turn it is.
    fn send<'a>(
        &'a self,
        request: &'a RequestContext,
        command: &'a Command,
        asking: bool,
        started: Instant,
        limits: &'a Limits,
    ) -> impl Future<Output = Result<Value, Failure>> + use<'a> {
        let next = (self.next.get() + 1) % self.links.len();
        self.links[self.next.replace(next)].send(request, command, asking, started, limits)
    }
}

/// Shuts connections for good: whatever is sent from then on fails at once. Requests that are still
/// under way when a run is over would otherwise write behind the back of whoever cleans up.
#[derive(Debug, Clone, Default)]
pub struct Shut(Rc<Cell<bool>>);

impl Shut {
    /// Shuts them.
    pub fn close(&self) {
        self.0.set(true);
    }
}

impl Connections {
    /// Connections that are made when they are first needed.
    #[must_use]
    pub fn new(topology: Topology, limits: Limits, count: u32, shut: Shut) -> Self {
        Self {
            topology: Rc::new(topology),
            nodes: RefCell::default(),
            count: count.max(1),
            limits,
            shut,
        }
    }

    /// Which masters there are.
    #[must_use]
    pub fn topology(&self) -> &Rc<Topology> {
        &self.topology
    }

    /// Makes all connections.
    ///
    /// # Errors
    /// A server cannot be reached or refuses.
    pub async fn open(&self) -> Result<(), StoreError> {
        let opening = async {
            for master in self.topology.masters().await? {
                for link in &self.node(&master).links {
                    link.open().await?;
                }
            }
            Ok(())
        };
        let opened: Result<(), Failure> = opening.await;
        opened.map_err(|failure| failure.into_store_error(self.limits.connect))
    }

    /// Sends a command, and again by the retry rule.
    ///
    /// # Errors
    /// The last failure when the retry timeout has passed.
    pub async fn command(
        &self,
        request: &RequestContext,
        command: &Cmd,
    ) -> Result<Value, StoreError> {
        let command = Command::from(command);
        self.trying(request, async |started| {
            self.attempt(request, &command, started).await
        })
        .await
    }

    /// Sends a command to one server, whatever its keys, and again by the retry rule.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub async fn command_at(
        &self,
        at: &Address,
        request: &RequestContext,
        command: &Cmd,
    ) -> Result<Value, StoreError> {
        let command = Command::from(command);
        self.trying(request, async |started| {
            let (node, limits) = (self.node(at), &self.limits);
            let answer = node.send(request, &command, false, started, limits).await;
            match answer {
                Err(Failure::Broken(_)) => {
                    count(&request.retries);
                    node.send(request, &command, false, clock::now(), limits)
                        .await
                }
                other => other,
            }
        })
        .await
    }

    /// Runs a script by its hash, or by its text when the server does not know it.
    ///
    /// # Errors
    /// As [`Self::command`].
    pub fn eval<'a>(
        &'a self,
        request: &'a RequestContext,
        script: &'a Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> impl Future<Output = Result<Value, StoreError>> + use<'a> {
        // Put together at once, so that nobody keeps keys and arguments while the server works.
        let by_hash = script.evalsha(keys, arguments);
        async move {
            let attempt = async |started| match self.attempt(request, &by_hash, started).await {
                Err(Failure::UnknownScript) => {
                    let by_text = script.eval(&by_hash);
                    Box::pin(self.attempt(request, &by_text, clock::now())).await
                }
                other => other,
            };
            self.trying(request, attempt).await
        }
    }

    async fn trying(
        &self,
        request: &RequestContext,
        attempt: impl AsyncFn(Instant) -> Result<Value, Failure>,
    ) -> Result<Value, StoreError> {
        let started = clock::now();
        self.open_still()?;
        match attempt(started).await {
            Ok(value) => Ok(value),
            // Boxed, as all that is rare here: every operation would carry its bytes.
            Err(failure) => Box::pin(self.retrying(request, started, failure, attempt)).await,
        }
    }

    /// The retry rule: after 20 ms and then every second, until the retry timeout has passed; not at
    /// all where no later try helps.
    async fn retrying(
        &self,
        request: &RequestContext,
        started: Instant,
        mut failure: Failure,
        attempt: impl AsyncFn(Instant) -> Result<Value, Failure>,
    ) -> Result<Value, StoreError> {
        let mut wait = FIRST_WAIT;
        loop {
            let elapsed = clock::now().since(started);
            let left = self.limits.retry.saturating_sub(elapsed);
            if left.is_zero() || matches!(failure, Failure::Unusable(_)) {
                return Err(failure.into_store_error(self.limits.operation));
            }
            clock::sleep(wait.min(left)).await;
            wait = LATER_WAIT;
            count(&request.retries);
            self.open_still()?;
            match attempt(clock::now()).await {
                Ok(value) => return Ok(value),
                Err(again) => failure = again,
            }
        }
    }

    fn open_still(&self) -> Result<(), StoreError> {
        match self.shut.0.get() {
            true => Err(StoreError::Connection("the provider is closed".to_owned())),
            false => Ok(()),
        }
    }

    /// One attempt at the master of the command's key.
    async fn attempt(
        &self,
        request: &RequestContext,
        command: &Command,
        started: Instant,
    ) -> Result<Value, Failure> {
        let node = match self.topology.master_for(command) {
            Some(at) => self.node(&at),
            None => Box::pin(self.find_node(command)).await?,
        };
        let limits = &self.limits;
        match node.send(request, command, false, started, limits).await {
            Ok(value) => Ok(value),
            Err(Failure::UnknownScript) => Err(Failure::UnknownScript),
            Err(failure) => Box::pin(self.elsewhere(request, command, node, failure)).await,
        }
    }

    /// The rest of an attempt that failed: redirections are followed; a broken connection is made
    /// anew, to whoever is the master then, and the command sent once more.
    async fn elsewhere(
        &self,
        request: &RequestContext,
        command: &Command,
        mut node: Rc<Node>,
        mut failure: Failure,
    ) -> Result<Value, Failure> {
        let mut broke = false;
        for _ in 0..MOST_HOPS {
            let mut asking = false;
            match &failure {
                Failure::Moved { slot, to } => {
                    let to = Address::redirection(to, &node.at).ok_or(failure.clone())?;
                    self.topology.learn(*slot, &to);
                    node = self.node(&to);
                }
                Failure::Ask { to } => {
                    let to = Address::redirection(to, &node.at).ok_or(failure.clone())?;
                    node = self.node(&to);
                    asking = true;
                }
                Failure::Broken(_) if !broke => {
                    broke = true;
                    let refreshing = self.topology.refresh();
                    // What was known stays when nobody answers in time.
                    let _ = clock::timeout(self.limits.operation, refreshing).await;
                    node = self.find_node(command).await?;
                }
                Failure::TimedOut => {
                    // A master that hangs may have a successor already.
                    self.topology.refresh_beside();
                    return Err(failure);
                }
                _ => return Err(failure),
            }
            count(&request.retries);
            let (now, limits) = (clock::now(), &self.limits);
            match node.send(request, command, asking, now, limits).await {
                Ok(value) => return Ok(value),
                Err(again) => failure = again,
            }
        }
        Err(failure)
    }

    async fn find_node(&self, command: &Command) -> Result<Rc<Node>, Failure> {
        let finding = self.topology.find_first();
        let found = clock::timeout(self.limits.operation, finding).await;
        found.unwrap_or(Err(Failure::TimedOut))?;
        let master = self.topology.master_for(command);
        Ok(self.node(&master.ok_or(Failure::TimedOut)?))
    }

    /// The connections to a server.
    fn node(&self, at: &Address) -> Rc<Node> {
        if let Some(node) = self.nodes.borrow().get(at) {
            return Rc::clone(node);
        }
        let dialer = self.topology.dialer();
        let node = Rc::new(Node {
            at: at.clone(),
            links: (0..self.count).map(|_| Link::new(dialer, at)).collect(),
            next: Cell::new(0),
        });
        let known = Rc::clone(&node);
        self.nodes.borrow_mut().insert(at.clone(), known);
        node
    }
}
