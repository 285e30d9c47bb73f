//! `redis_deadline`: lateness of many session ends, and the hand-over of a lock between two CD
//! servers, on a private server; each with its limit.

use async_trait::async_trait;
use hdrhistogram::Histogram;
use sessionbench::clock::{self, Instant};
use sessionbench::providers::redis::settings::RedisDeadline;
use sessionbench::providers::{self, Provider, ProviderSettings, Seat};
use sessionbench::session::contract::EndHandlerFailed;
use sessionbench::session::{
    EndNotice, ExpireCallback, GetItem, Item, Minutes, RequestContext, SessionId,
    SessionStateStore, StoreKind, Value,
};
use sessionbench::usage::ProcessUse;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// Sessions, and the time over which they end.
const SESSIONS: u64 = 100_000;
const OVER: Duration = Duration::from_secs(60);
/// The first one ends so long after it was stored: when all are.
const FIRST: Duration = Duration::from_secs(40);
/// Requests in progress while they are stored: few, so that it is well known when each was.
const AT_ONCE: u64 = 4;
/// Timeouts are whole minutes; one this short spreads the deadlines.
const MINUTE: Duration = Duration::from_millis(1);
/// CD servers, each with its sleepers.
const SERVERS: u32 = 2;
/// Hand-overs that are measured.
const HAND_OVERS: u64 = 5_000;
/// When that is given up: one server may have the lock for ever.
const AT_MOST: Duration = Duration::from_secs(120);
/// How long the lock is held before each.
const HOLD: Duration = Duration::from_millis(3);

/// Measures and prints.
pub fn measure() {
    println!("redis_deadline, {SERVERS} CD servers, a private redis-server");
    for part in [clock::run_real(lateness()), clock::run_real(hand_over())] {
        match part {
            Ok(Ok(())) => {}
            Ok(Err(error)) => println!("  {error}"),
            Err(error) => println!("  the clock cannot run here: {error}"),
        }
    }
}

/// The earliest instant at which each session may be due, and how late it ended.
struct Ends {
    due: RefCell<HashMap<SessionId, Instant>>,
    late: RefCell<Histogram<u64>>,
    early: Cell<u64>,
    again: Cell<u64>,
}

#[async_trait(?Send)]
impl ExpireCallback for Ends {
    async fn session_end(&self, notice: EndNotice) -> Result<(), EndHandlerFailed> {
        let now = clock::now();
        match self.due.borrow_mut().remove(&notice.id) {
            Some(due) => {
                self.early.set(self.early.get() + u64::from(now < due));
                record(&self.late, now.since(due));
            }
            None => self.again.set(self.again.get() + 1),
        }
        Ok(())
    }
}

async fn bring_in() -> Result<Rc<dyn Provider>, String> {
    let settings = ProviderSettings::RedisDeadline(RedisDeadline::default());
    let provider = providers::connect(&settings, "bench").await;
    provider.map_err(|error| error.to_string())
}

async fn open(
    provider: &Rc<dyn Provider>,
    minute: Duration,
) -> Result<Vec<Rc<dyn SessionStateStore>>, String> {
    let mut stores = Vec::new();
    for server in 0..SERVERS {
        let seat = Seat {
            server,
            kind: StoreKind::Private,
            timeout: Minutes(20),
            minute,
            execution_timeout: Duration::from_secs(110),
        };
        let store = provider.open(&seat).await;
        stores.push(store.map_err(|error| error.to_string())?);
    }
    Ok(stores)
}

async fn lateness() -> Result<(), String> {
    let provider = bring_in().await?;
    let stores = open(&provider, MINUTE).await?;
    let ends = Rc::new(Ends {
        due: RefCell::default(),
        late: histogram()?,
        early: Cell::default(),
        again: Cell::default(),
    });
    let unsure = Rc::new(histogram()?);
    for store in &stores {
        store.set_item_expire_callback(Rc::clone(&ends) as Rc<dyn ExpireCallback>);
    }
    let storing = (0..AT_ONCE).map(|part| {
        let store = Rc::clone(&stores[part as usize % stores.len()]);
        let (ends, unsure) = (Rc::clone(&ends), Rc::clone(&unsure));
        clock::spawn(async move {
            for number in (part..SESSIONS).step_by(AT_ONCE as usize) {
                let id = SessionId::private(u128::from(number) + 1);
                let timeout = FIRST + OVER.mul_f64(number as f64 / SESSIONS as f64);
                let minutes = Minutes(timeout.as_millis() as u32);
                let timeout = minutes.lasting(MINUTE);
                let mut item = Item::new(minutes);
                item.set("page", Value::Int32(1));
                let (request, sent) = (RequestContext::default(), clock::now());
                let stored = store.set_and_release_item_exclusive(&request, id, &item, None, true);
                stored.await.map_err(|error| error.to_string())?;
                record(&unsure, clock::now().since(sent));
                ends.due.borrow_mut().insert(id, sent + timeout);
            }
            Ok::<(), String>(())
        })
    });
    let started = clock::now();
    for task in storing.collect::<Vec<_>>() {
        task.await?;
    }
    let stored_in = clock::now().since(started);
    if stored_in > FIRST {
        return Err(format!("storing took {stored_in:.1?}: too slow to measure"));
    }
    let (cpu, before) = (ProcessUse::now().cpu, provider.background_work());
    let limit = started + stored_in + FIRST + OVER + Duration::from_secs(30);
    while !ends.due.borrow().is_empty() && clock::now() < limit {
        clock::sleep(Duration::from_millis(200)).await;
    }
    let cpu = ProcessUse::now().cpu - cpu;
    for store in &stores {
        store.dispose().await;
    }
    let work = provider.background_work();
    let claims = work.ticks - before.ticks;
    let late = ends.late.replace(empty()?);
    let unsure = unsure.replace(empty()?);
    println!(
        "  {} of {SESSIONS} ends over {OVER:?}; {} of them again, {} early; {claims} claims, {} of \
         them after another server's; {:.0} % of a processor here",
        late.len(),
        ends.again.get(),
        ends.early.get(),
        work.claimed_by_others - before.claimed_by_others,
        cpu.as_secs_f64() / OVER.as_secs_f64() * 100.0,
    );
    println!(
        "  lateness p50 {}  limit 0.5 ms; p99 {}  limit 5 ms; max {}; of that, up to p50 {}, p99 {} \
         is the writes' own time",
        ms(late.value_at_quantile(0.5)),
        ms(late.value_at_quantile(0.99)),
        ms(late.max()),
        ms(unsure.value_at_quantile(0.5)),
        ms(unsure.value_at_quantile(0.99)),
    );
    provider.close().await.map_err(|error| error.to_string())
}

/// Two CD servers that take one session's lock in turn.
async fn hand_over() -> Result<(), String> {
    let provider = bring_in().await?;
    let stores = open(&provider, Duration::from_secs(60)).await?;
    let id = SessionId::private(1);
    let mut item = Item::new(Minutes(20));
    item.set("page", Value::Int32(1));
    let request = RequestContext::default();
    let stored = stores[0].set_and_release_item_exclusive(&request, id, &item, None, true);
    stored.await.map_err(|error| error.to_string())?;
    let times = Rc::new(histogram()?);
    let released = Rc::new(Cell::new(None::<Instant>));
    let give_up = clock::now() + AT_MOST;
    let servers = stores.iter().map(|store| {
        let (store, times) = (Rc::clone(store), Rc::clone(&times));
        let released = Rc::clone(&released);
        clock::spawn(async move {
            while times.borrow().len() < HAND_OVERS && clock::now() < give_up {
                let request = RequestContext::default();
                // As the module tells it: only who waits has a place in the queue.
                request.waits.set(true);
                let mut waited = false;
                let found = loop {
                    let answer = store.get_item_exclusive(&request, id).await;
                    match answer.map_err(|error| error.to_string())? {
                        GetItem::Found(found) => break found,
                        GetItem::Missing => return Err("the session is gone".to_owned()),
                        GetItem::Locked { .. } => waited = true,
                    }
                    let poll = Duration::from_millis(500);
                    let _ = clock::timeout(poll, store.lock_may_be_free(&request)).await;
                };
                if let Some(released) = released.take().filter(|_| waited) {
                    record(&times, clock::now().since(released));
                }
                clock::sleep(HOLD).await;
                released.set(Some(clock::now()));
                let lock = found.lock.as_ref();
                let item = &found.item;
                let done = store.set_and_release_item_exclusive(&request, id, item, lock, false);
                done.await.map_err(|error| error.to_string())?;
                let ended = store.end_request(&request).await;
                ended.map_err(|error| error.to_string())?;
            }
            Ok(())
        })
    });
    for server in servers.collect::<Vec<_>>() {
        server.await?;
    }
    let times = times.replace(empty()?);
    println!(
        "  hand-over, from the release's start to the next grant: p50 {}  limit 0.5 ms; p99 {}; \
         max {}; {} of {} slower than half a poll",
        ms(times.value_at_quantile(0.5)),
        ms(times.value_at_quantile(0.99)),
        ms(times.max()),
        times.count_between(250_000_000, u64::MAX),
        times.len(),
    );
    println!(
        "  round trips of a dirty page {}  limit 2",
        dirty_page(&stores[0], id).await?
    );
    provider.close().await.map_err(|error| error.to_string())
}

/// A page that need not wait for its session; tells its round trips.
async fn dirty_page(store: &Rc<dyn SessionStateStore>, id: SessionId) -> Result<u32, String> {
    let request = RequestContext::default();
    let answer = store.get_item_exclusive(&request, id).await;
    let GetItem::Found(found) = answer.map_err(|error| error.to_string())? else {
        return Err("the session is not free".to_owned());
    };
    let lock = found.lock.as_ref();
    let done = store.set_and_release_item_exclusive(&request, id, &found.item, lock, false);
    done.await.map_err(|error| error.to_string())?;
    let ended = store.end_request(&request).await;
    ended.map_err(|error| error.to_string())?;
    Ok(request.round_trips.get())
}

/// Up to two minutes in nanoseconds.
fn empty() -> Result<Histogram<u64>, String> {
    Histogram::new_with_max(120_000_000_000, 3).map_err(|error| error.to_string())
}

fn histogram() -> Result<RefCell<Histogram<u64>>, String> {
    empty().map(RefCell::new)
}

fn record(histogram: &RefCell<Histogram<u64>>, duration: Duration) {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    histogram.borrow_mut().saturating_record(nanos);
}

fn ms(nanos: u64) -> String {
    format!("{:.3} ms", nanos as f64 / 1e6)
}
