//! What Microsoft's two SQL providers share: the ids of their rows, and how they delete expired ones.
//!
//! In: an application's id and the ends of requests. Out: row ids, and now and then a purge. The
//! surprising fact: nobody but the visitors deletes expired sessions. A site that nobody visits keeps
//! them for good, and every web server of a busy one deletes them every 30 s (facts §7.3, §8).

use super::call::Value;
use super::connection_string::Dialect;
use super::error::SqlError;
use super::pool::{Connection, Pool};
use crate::clock::{self, Instant, Task};
use crate::providers::BackgroundWork;
use crate::session::{RequestContext, SessionId};
use futures_util::future::LocalBoxFuture;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

/// A web server deletes expired sessions at the end of a request when it last did so longer ago.
const PURGE_PERIOD: Duration = Duration::from_secs(30);

/// The rows of one application.
pub struct Rows {
    /// Eight capital hexadecimal digits.
    suffix: String,
    guests: Rc<Guests>,
}

impl Rows {
    /// Those of an application with this id in IIS.
    pub fn new(application_id: &str, guests: Rc<Guests>) -> Self {
        Self {
            suffix: format!("{:08X}", deterministic_hash(application_id)),
            guests,
        }
    }

    /// The id of a session's row.
    pub fn id(&self, id: SessionId) -> Value {
        Value::Text(self.name(id).into())
    }

    /// Remembers a row that was inserted.
    pub fn came(&self, id: SessionId) {
        self.guests.0.borrow_mut().insert(self.name(id));
    }

    fn name(&self, id: SessionId) -> String {
        format!("{id}{}", self.suffix)
    }
}

/// .NET's hash of a text without its randomisation, which Microsoft's asynchronous provider carries
/// with it so that every server of a farm finds the same (public source, facts §7.3). Universal
/// Providers use the runtime's own hash, which is this one in .NET Framework's 64-bit processes
/// unless they ask for the randomised one.
fn deterministic_hash(text: &str) -> u32 {
    const START: u32 = (5381 << 16) + 5381;
    const FACTOR: u32 = 1_566_083_941;
    let step = |hash: u32, unit: u16| hash.wrapping_mul(33) ^ u32::from(unit);
    let (mut even, mut odd) = (START, START);
    for (at, unit) in text.encode_utf16().enumerate() {
        if at % 2 == 0 {
            even = step(even, unit);
        } else {
            odd = step(odd, unit);
        }
    }
    even.wrapping_add(odd.wrapping_mul(FACTOR))
}

/// Rows that a run left in a database which is not ours.
#[derive(Default)]
pub struct Guests(RefCell<HashSet<String>>);

impl Guests {
    /// Deletes them.
    ///
    /// # Errors
    /// The database cannot be asked.
    pub async fn remove_all(&self, pool: &Pool, table: &str) -> Result<(), SqlError> {
        let request = RequestContext::default();
        let rows: Vec<String> = self.0.borrow_mut().drain().collect();
        for row in rows {
            let text = format!("DELETE FROM \"{table}\" WHERE \"SessionId\" = $1");
            let id = Value::Text(row.into());
            pool.run(&request, async |connection| {
                query(connection, &text, &[id]).await
            })
            .await?;
        }
        Ok(())
    }
}

/// Runs a query that is written for PostgreSQL in words that SQL Server knows too, but for the names of
/// parameters.
///
/// # Errors
/// See [`SqlError`].
pub async fn query(
    connection: &mut Connection,
    text: &str,
    parameters: &[Value],
) -> Result<Vec<Vec<Value>>, SqlError> {
    match connection.dialect() {
        Dialect::Postgres => connection.query(text, parameters).await,
        Dialect::SqlServer => {
            let text = text.replace('$', "@P");
            connection.query(&text, parameters).await
        }
    }
}

/// Deletes expired sessions behind the ends of requests.
pub struct Purge {
    last: Cell<Option<Instant>>,
    under_way: Cell<bool>,
    task: RefCell<Option<Task<()>>>,
    work: Rc<RefCell<BackgroundWork>>,
}

impl Purge {
    /// One that has never run: the first request starts it.
    pub fn new(work: Rc<RefCell<BackgroundWork>>) -> Rc<Self> {
        Rc::new(Self {
            last: Cell::new(None),
            under_way: Cell::new(false),
            task: RefCell::default(),
            work,
        })
    }

    /// Starts deleting in the background when it is time. An error is kept, as by the genuine ones,
    /// and the next request tries again.
    pub fn at_the_end_of_a_request(
        self: &Rc<Self>,
        delete: impl FnOnce() -> LocalBoxFuture<'static, Result<(), SqlError>>,
    ) {
        let due = self
            .last
            .get()
            .is_none_or(|last| clock::now().since(last) > PURGE_PERIOD);
        if !due || self.under_way.replace(true) {
            return;
        }
        let (purge, deleting) = (Rc::clone(self), delete());
        let task = clock::spawn(async move {
            let deleted = deleting.await;
            let mut work = purge.work.borrow_mut();
            work.ticks += 1;
            match deleted {
                Ok(()) => purge.last.set(Some(clock::now())),
                Err(_) => work.failed_ticks += 1,
            }
            purge.under_way.set(false);
        });
        *self.task.borrow_mut() = Some(task);
    }

    /// Gives up what is under way.
    pub fn stop(&self) {
        self.task.borrow_mut().take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_runtimes_own_of_the_empty_text() {
        // What `"".GetHashCode()` is in .NET Framework's 64-bit processes: 757602046.
        assert_eq!(deterministic_hash(""), 757_602_046);
    }

    #[test]
    fn a_row_id_ends_in_eight_capital_digits() {
        let rows = Rows::new("/LM/W3SVC/1/ROOT", Rc::default());
        let expected = Value::Text("aaaaaaaaaaaaaaaaaaaaaaahB3003E84".into());
        assert_eq!(rows.id(SessionId::private(7)), expected);
    }
}
