//! Sitecore's MongoDB provider on a real server, which `SESSIONBENCH_TEST_MONGODB` names by a
//! connection string; MongoDB is in no Debian. Each test has a database of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod conformance_support;
mod redis_support;

use assert_cmd::cargo::CommandCargoExt as _;
use conformance_support::assert_behaves_as_documented;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::{Client, Database};
use redis_support::{Ends, fast_seat, id, item, request, seat, store_new, take, text_of};
use sessionbench::clock::{now, run_real, sleep, utc};
use sessionbench::conformance::{Subject, examine};
use sessionbench::providers::mongo::partition;
use sessionbench::providers::mongo::settings::MongoSitecore;
use sessionbench::providers::{ConnectError, Provider, ProviderSettings, Seat, connect};
use sessionbench::session::{
    Actions, GetItem, Item, LockId, Minutes, Noticed, RequestContext, SessionId, SessionStateStore,
    StoreError, StoreKind,
};
use std::net::TcpListener;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

const VARIABLE: &str = "SESSIONBENCH_TEST_MONGODB";
/// The id of session 7 as it is stored.
const SESSION: &str = "aaaaaaaaaaaaaaaaaaaaaaah";
/// 20 of these are 1 s.
const MINUTE: Duration = Duration::from_millis(50);

/// The server's connection string with this database in place of its own.
fn on_database(name: &str) -> String {
    let given = std::env::var(VARIABLE).unwrap_or_else(|_| panic!("{VARIABLE} is not set"));
    let rest = given.strip_prefix("mongodb://").unwrap();
    let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = path.split_once('/').unwrap_or((path, ""));
    let mut options: Vec<_> = options.split('&').filter(|it| !it.is_empty()).collect();
    // Who logs in at the database of the string by default still must.
    let source = match database {
        "" => "authSource=admin".to_owned(),
        database => format!("authSource={database}"),
    };
    if hosts.contains('@') && !options.iter().any(|it| it.starts_with("authSource=")) {
        options.push(&source);
    }
    match options.join("&") {
        options if options.is_empty() => format!("mongodb://{hosts}/{name}"),
        options => format!("mongodb://{hosts}/{name}?{options}"),
    }
}

/// The provider on a database of its own, and a look behind it.
struct Bench {
    provider: Rc<dyn Provider>,
    client: Client,
    databases: Vec<String>,
}

impl Bench {
    async fn new(name: &str) -> Self {
        Self::with(name, |_| ()).await
    }

    async fn with(name: &str, change: impl Fn(&mut MongoSitecore)) -> Self {
        let name = format!("sessionbench_test_{name}");
        let mut settings = MongoSitecore::on(on_database(&name));
        settings.pollingInterval = 1;
        change(&mut settings);
        let client = Client::with_uri_str(&settings.server).await.unwrap();
        let databases = settings.databases(&name);
        // What a test left that failed.
        for database in &databases {
            client.database(database).drop().await.unwrap();
        }
        Self {
            provider: provider(settings).await.unwrap(),
            client,
            databases,
        }
    }

    async fn open(&self, seat: &Seat) -> Rc<dyn SessionStateStore> {
        self.provider.open(seat).await.unwrap()
    }

    fn database(&self) -> Database {
        self.client.database(&self.databases[0])
    }

    /// A session's document.
    async fn stored(&self) -> Option<Document> {
        let sessions = self.database().collection("sessions");
        sessions.find_one(doc! { "_id.s": SESSION }).await.unwrap()
    }

    async fn change(&self, set: Document) {
        let sessions = self.database().collection::<Document>("sessions");
        let done = sessions
            .update_one(doc! { "_id.s": SESSION }, doc! { "$set": set })
            .await;
        assert_eq!(done.unwrap().matched_count, 1);
    }

    /// How long the session still lives.
    async fn left(&self) -> Duration {
        let expires = *self.stored().await.unwrap().get_datetime("e").unwrap();
        expires.saturating_duration_since(instant(0))
    }

    async fn count(&self) -> u64 {
        let sessions = self.database().collection::<Document>("sessions");
        sessions.count_documents(doc! {}).await.unwrap()
    }

    /// Closes the provider; nothing may remain.
    async fn close(self) {
        self.provider.close().await.unwrap();
        for name in &self.databases {
            let database = self.client.database(name);
            let remaining = database.list_collection_names().await.unwrap();
            assert!(remaining.is_empty(), "{remaining:?}");
            database.drop().await.unwrap();
        }
    }
}

async fn provider(settings: MongoSitecore) -> Result<Rc<dyn Provider>, ConnectError> {
    connect(&ProviderSettings::MongoSitecore(settings), "").await
}

/// So many milliseconds from now by the calendar.
fn instant(milliseconds: i64) -> DateTime {
    let now = utc().since_epoch().as_millis() as i64;
    DateTime::from_millis(now + milliseconds)
}

fn minutes(count: u64) -> std::ops::RangeInclusive<Duration> {
    // A loaded machine is late; nobody is early.
    Duration::from_secs(count * 60 - 50)..=Duration::from_secs(count * 60)
}

async fn poll(bench: &Bench, seat: &Seat) -> (Rc<dyn SessionStateStore>, Rc<Ends>) {
    let store = bench.open(seat).await;
    let ends = Rc::new(Ends::default());
    assert!(store.set_item_expire_callback(Rc::clone(&ends) as Rc<_>));
    (store, ends)
}

/// Waits until something is so.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = now() + Duration::from_secs(30);
    while !condition().await {
        assert!(now() < deadline, "never happened: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn set(store: &Rc<dyn SessionStateStore>, request: &RequestContext, lock: Option<&LockId>) {
    let written = item("written");
    store
        .set_and_release_item_exclusive(request, id(7), &written, lock, false)
        .await
        .unwrap();
}

/// Round trips of an operation.
async fn cost(operation: impl AsyncFnOnce(&RequestContext)) -> u32 {
    let request = request();
    operation(&request).await;
    request.round_trips.get()
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_session_is_a_document_with_these_fields_in_this_order() {
    run_real(async {
        for compression in [false, true] {
            let bench = Bench::with("document", |it| it.compression = compression).await;
            let store = bench.open(&seat(0)).await;
            store_new(&store, id(7), "hello").await;
            let stored = bench.stored().await.unwrap();
            let names: Vec<&str> = stored.keys().map(String::as_str).collect();
            assert_eq!(names, ["_id", "t", "e", "lc", "lt", "f", "d"]);
            let key = doc! { "s": SESSION, "a": "sessionbench_private" };
            assert_eq!(stored.get_document("_id").unwrap(), &key);
            assert_eq!(stored.get_i32("t").unwrap(), 20);
            assert_eq!(stored.get_str("lc").unwrap(), "");
            assert_eq!(stored.get_i32("f").unwrap(), 0);
            let expected = match compression {
                true => item("hello").encode_compressed(),
                false => item("hello").encode(),
            };
            assert_eq!(stored.get_binary_generic("d").unwrap(), &expected);
            let inserted = *stored.get_datetime("lt").unwrap();
            let expires = *stored.get_datetime("e").unwrap();
            assert_eq!(
                expires.saturating_duration_since(inserted).as_secs(),
                20 * 60
            );
            let found = take(&store, &request(), id(7)).await;
            assert_eq!(text_of(&found.item), "hello");
            bench.close().await;
        }
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn the_index_of_deadlines_is_made_when_a_site_starts() {
    run_real(async {
        let bench = Bench::new("index").await;
        let sessions = bench.database().collection::<Document>("sessions");
        let names = sessions.list_index_names().await.unwrap();
        assert!(
            names.contains(&"e_1__id.s_1__id.a_1".to_owned()),
            "{names:?}"
        );
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn every_operation_costs_the_genuine_round_trips() {
    run_real(async {
        let bench = Bench::new("round_trips").await;
        let store = bench.open(&seat(0)).await;
        let get = async |request: &RequestContext| {
            store.get_item_exclusive(request, id(7)).await.unwrap();
        };
        assert_eq!(cost(get).await, 2, "a get that finds nothing");
        let insert = async |request: &RequestContext| {
            store
                .set_and_release_item_exclusive(request, id(7), &item("x"), None, true)
                .await
                .unwrap();
        };
        assert_eq!(cost(insert).await, 1, "an insert");
        assert_eq!(
            cost(async |request| drop(store.get_item(request, id(7)).await.unwrap())).await,
            1,
            "a read"
        );
        let context = request();
        let lock = take(&store, &context, id(7)).await.lock;
        assert_eq!(context.round_trips.get(), 1, "a get that takes the lock");
        assert!(context.bytes_sent.get() > 200 && context.bytes_received.get() > 150);
        assert_eq!(cost(get).await, 2, "a get that finds a lock");
        assert_eq!(
            cost(async |request| set(&store, request, lock.as_ref()).await).await,
            1,
            "an update"
        );
        let lock = take(&store, &request(), id(7)).await.lock.unwrap();
        assert_eq!(
            cost(async |request| store
                .release_item_exclusive(request, id(7), &lock)
                .await
                .unwrap())
            .await,
            1,
            "a release"
        );
        assert_eq!(
            cost(async |request| store.reset_item_timeout(request, id(7)).await.unwrap()).await,
            2,
            "a reset"
        );
        assert_eq!(
            cost(async |request| store.end_request(request).await.unwrap()).await,
            0,
            "the end of a request"
        );
        let lock = take(&store, &request(), id(7)).await.lock;
        assert_eq!(
            cost(async |request| store
                .remove_item(request, id(7), lock.as_ref(), &item("x"))
                .await
                .unwrap())
            .await,
            1,
            "a removal"
        );
        assert_eq!(bench.count().await, 0);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_session_with_a_timeout_of_its_own_gets_a_second_update() {
    run_real(async {
        let bench = Bench::new("second_update").await;
        let store = bench.open(&seat(0)).await;
        let robot = Item::new(Minutes(3));
        store
            .set_and_release_item_exclusive(&request(), id(7), &robot, None, true)
            .await
            .unwrap();
        let context = request();
        let found = take(&store, &context, id(7)).await;
        assert_eq!(context.round_trips.get(), 2);
        until("the expiration is the session's own", async || {
            minutes(3).contains(&bench.left().await)
        })
        .await;
        store
            .release_item_exclusive(&request(), id(7), &found.lock.unwrap())
            .await
            .unwrap();
        let context = request();
        store.get_item(&context, id(7)).await.unwrap();
        assert_eq!(context.round_trips.get(), 2);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn every_get_of_a_shared_session_sends_a_second_update() {
    run_real(async {
        let bench = Bench::new("shared").await;
        let seat = Seat {
            kind: StoreKind::Shared,
            timeout: Minutes(21),
            ..seat(0)
        };
        let store = bench.open(&seat).await;
        let id = SessionId::shared(7);
        let context = request();
        let item = Item::new(Minutes(21));
        store
            .set_and_release_item_exclusive(&context, id, &item, None, true)
            .await
            .unwrap();
        assert_eq!(context.round_trips.get(), 1);
        let context = request();
        take(&store, &context, id).await;
        assert_eq!(context.round_trips.get(), 2);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn gets_and_updates_move_the_expiration_and_a_release_does_not() {
    run_real(async {
        let bench = Bench::new("sliding").await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        assert!(minutes(20).contains(&bench.left().await));
        let soon = || bench.change(doc! { "e": instant(300_000) });
        soon().await;
        store.get_item(&request(), id(7)).await.unwrap();
        assert!(minutes(20).contains(&bench.left().await), "a read");
        soon().await;
        let lock = take(&store, &request(), id(7)).await.lock;
        assert!(minutes(20).contains(&bench.left().await), "a get");
        soon().await;
        store.get_item(&request(), id(7)).await.unwrap();
        assert!(
            minutes(20).contains(&bench.left().await),
            "a read of a locked session"
        );
        soon().await;
        store.get_item_exclusive(&request(), id(7)).await.unwrap();
        assert!(minutes(5).contains(&bench.left().await), "a get that waits");
        set(&store, &request(), lock.as_ref()).await;
        assert!(minutes(20).contains(&bench.left().await), "an update");
        let lock = take(&store, &request(), id(7)).await.lock.unwrap();
        soon().await;
        store
            .release_item_exclusive(&request(), id(7), &lock)
            .await
            .unwrap();
        assert!(minutes(5).contains(&bench.left().await), "a release");
        store.reset_item_timeout(&request(), id(7)).await.unwrap();
        until("a reset moves it too", async || {
            minutes(20).contains(&bench.left().await)
        })
        .await;
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_lock_keeps_others_out_and_tells_holder_and_age() {
    run_real(async {
        let bench = Bench::new("lock").await;
        let (one, other) = (bench.open(&seat(0)).await, bench.open(&seat(1)).await);
        store_new(&one, id(7), "hello").await;
        let holder = take(&one, &request(), id(7)).await.lock.unwrap();
        let text = holder.to_string();
        assert_eq!(text.len(), 32);
        assert!(text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        bench.change(doc! { "lt": instant(-9_000) }).await;
        for get in [
            other.get_item_exclusive(&request(), id(7)).await.unwrap(),
            other.get_item(&request(), id(7)).await.unwrap(),
        ] {
            let GetItem::Locked { age, lock } = get else {
                panic!("{get:?}");
            };
            assert_eq!(lock, holder);
            assert!(age >= Duration::from_secs(9), "{age:?}");
        }
        // By force, as the module does.
        other
            .release_item_exclusive(&request(), id(7), &holder)
            .await
            .unwrap();
        let new = take(&other, &request(), id(7)).await.lock.unwrap();
        assert_ne!(new, holder);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_lost_lock_makes_update_release_and_removal_do_nothing_in_silence() {
    run_real(async {
        let bench = Bench::new("lost_lock").await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        take(&store, &request(), id(7)).await;
        let before = bench.stored().await;
        let lost = LockId::Text("0123456789abcdef0123456789abcdef".into());
        set(&store, &request(), Some(&lost)).await;
        store
            .release_item_exclusive(&request(), id(7), &lost)
            .await
            .unwrap();
        store
            .remove_item(&request(), id(7), Some(&lost), &item("x"))
            .await
            .unwrap();
        assert_eq!(bench.stored().await, before);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn an_insert_overwrites_a_locked_session() {
    run_real(async {
        let bench = Bench::new("overwrite").await;
        let (one, other) = (bench.open(&seat(0)).await, bench.open(&seat(1)).await);
        store_new(&one, id(7), "hello").await;
        take(&one, &request(), id(7)).await;
        store_new(&other, id(7), "mine").await;
        let found = take(&other, &request(), id(7)).await;
        assert_eq!(text_of(&found.item), "mine");
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn an_expired_session_lives_on_when_a_request_comes_first() {
    run_real(async {
        let bench = Bench::new("resurrection").await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(7), "hello").await;
        bench.change(doc! { "e": instant(-3_600_000) }).await;
        let found = take(&store, &request(), id(7)).await;
        assert_eq!(text_of(&found.item), "hello");
        assert!(minutes(20).contains(&bench.left().await));
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn an_uninitialised_session_stays_so_until_it_is_written() {
    run_real(async {
        let bench = Bench::new("uninitialised").await;
        let store = bench.open(&seat(0)).await;
        store
            .create_uninitialized_item(&request(), id(7), Minutes(20))
            .await
            .unwrap();
        for _clean in 0..2 {
            let found = take(&store, &request(), id(7)).await;
            assert_eq!(found.actions, Actions::InitializeItem);
            store
                .release_item_exclusive(&request(), id(7), &found.lock.unwrap())
                .await
                .unwrap();
        }
        let lock = take(&store, &request(), id(7)).await.lock;
        set(&store, &request(), lock.as_ref()).await;
        let found = take(&store, &request(), id(7)).await;
        assert_eq!(found.actions, Actions::None);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn an_expired_session_ends_at_a_tick_and_leaves_the_store() {
    run_real(async {
        let bench = Bench::new("end").await;
        let (store, ends) = poll(&bench, &fast_seat(0, MINUTE)).await;
        let stored = now();
        store_new(&store, id(7), "hello").await;
        until("the session ended", async || !ends.seen.borrow().is_empty()).await;
        until("it is gone", async || bench.count().await == 0).await;
        store.dispose().await;
        let seen = ends.seen.take();
        let [end] = seen.as_slice() else {
            panic!("{} ends", seen.len());
        };
        assert_eq!(end.notice.id, id(7));
        assert_eq!(text_of(end.notice.item.as_ref().unwrap()), "hello");
        // 20 minutes are 1 s here.
        assert!(end.at.since(stored) >= Duration::from_secs(1));
        let Noticed::Tick { period, .. } = end.notice.noticed else {
            panic!("{:?}", end.notice.noticed);
        };
        assert_eq!(period, Duration::from_secs(1));
        assert_eq!(bench.provider.background_work().claimed, 1);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_handler_that_throws_loses_its_visit() {
    run_real(async {
        let bench = Bench::new("throws").await;
        let (store, ends) = poll(&bench, &fast_seat(0, MINUTE)).await;
        ends.throws.set(true);
        store_new(&store, id(7), "hello").await;
        until("it is gone", async || bench.count().await == 0).await;
        store.dispose().await;
        assert_eq!(ends.ids(), [id(7)]);
        assert_eq!(bench.provider.background_work().failed_ends, 1);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn the_poller_takes_a_session_from_a_request_that_holds_its_lock_and_arms_it_for_two_minutes() {
    run_real(async {
        let bench = Bench::new("steal").await;
        let (store, ends) = poll(&bench, &seat(0)).await;
        ends.takes.set(Duration::from_secs(3));
        store_new(&store, id(7), "hello").await;
        let holder = take(&store, &request(), id(7)).await.lock;
        bench.change(doc! { "e": instant(-1_000) }).await;
        until("the session ended", async || !ends.seen.borrow().is_empty()).await;
        let claimed = bench.stored().await.unwrap();
        assert_ne!(
            claimed.get_str("lc").unwrap(),
            holder.clone().unwrap().to_string()
        );
        assert!(minutes(2).contains(&bench.left().await), "{claimed}");
        // The holder's write is lost in silence.
        set(&store, &request(), holder.as_ref()).await;
        assert_eq!(bench.stored().await, Some(claimed));
        until("it is gone", async || bench.count().await == 0).await;
        store.dispose().await;
        assert_eq!(ends.ids(), [id(7)]);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_claim_whose_owner_died_is_due_again_after_two_minutes() {
    run_real(async {
        let bench = Bench::new("died").await;
        let (dying, ends) = poll(&bench, &seat(0)).await;
        ends.takes.set(Duration::from_secs(600));
        store_new(&dying, id(7), "hello").await;
        bench.change(doc! { "e": instant(-1_000) }).await;
        until("it is claimed", async || !ends.seen.borrow().is_empty()).await;
        // The handler never returns: to the store that is a server that died.
        drop(dying);
        let (store, heirs) = poll(&bench, &seat(1)).await;
        // Two minutes pass.
        bench.change(doc! { "e": instant(-1) }).await;
        until("it ended again", async || !heirs.seen.borrow().is_empty()).await;
        until("it is gone", async || bench.count().await == 0).await;
        store.dispose().await;
        assert_eq!(heirs.ids(), [id(7)]);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn two_servers_that_poll_end_each_session_once_between_them() {
    run_real(async {
        let bench = Bench::new("two_servers").await;
        let seats = [0, 1].map(|server| fast_seat(server, MINUTE));
        let (one, ends) = poll(&bench, &seats[0]).await;
        let (other, other_ends) = poll(&bench, &seats[1]).await;
        for number in 0..40 {
            store_new(&one, id(number), "hello").await;
        }
        until("all ended", async || bench.count().await == 0).await;
        one.dispose().await;
        other.dispose().await;
        let mut ids = [ends.ids(), other_ends.ids()].concat();
        ids.sort();
        assert_eq!(ids, (0..40).map(id).collect::<Vec<_>>());
        assert_eq!(bench.provider.background_work().claimed, 40);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_session_that_cannot_be_decoded_fails_a_tick_and_blocks_nobody() {
    run_real(async {
        let bench = Bench::new("undecodable").await;
        let (store, ends) = poll(&bench, &seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let damaged = mongodb::bson::Binary {
            subtype: mongodb::bson::spec::BinarySubtype::Generic,
            bytes: vec![1, 2, 3],
        };
        bench
            .change(doc! { "d": damaged, "e": instant(-1_000) })
            .await;
        let work = || bench.provider.background_work();
        until("a tick failed", async || work().failed_ticks > 0).await;
        store_new(&store, id(8), "hello").await;
        let sessions = bench.database().collection::<Document>("sessions");
        let other = doc! { "_id.s": id(8).to_string() };
        let soon = doc! { "$set": { "e": instant(-1) } };
        sessions.update_one(other, soon).await.unwrap();
        until("another ended", async || ends.ids() == [id(8)]).await;
        store.dispose().await;
        assert_eq!(work().undecodable, 1);
        assert!(minutes(2).contains(&bench.left().await));
        let error = store.get_item(&request(), id(7)).await.unwrap_err();
        assert!(matches!(error, StoreError::Undecodable(_)), "{error}");
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn an_abandoned_session_ends_in_the_request_and_is_removed() {
    run_real(async {
        let bench = Bench::new("abandon").await;
        let (store, ends) = poll(&bench, &seat(0)).await;
        store_new(&store, id(7), "hello").await;
        let found = take(&store, &request(), id(7)).await;
        store
            .remove_item(&request(), id(7), found.lock.as_ref(), &found.item)
            .await
            .unwrap();
        assert_eq!(bench.count().await, 0);
        store.dispose().await;
        let seen = ends.seen.take();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].notice.noticed, Noticed::Abandoned);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn partitions_are_databases_and_sessions_of_all_of_them_end() {
    run_real(async {
        let bench = Bench::with("parts", |it| it.partitions = 3).await;
        let (store, ends) = poll(&bench, &fast_seat(0, MINUTE)).await;
        let mut expected = [0u64; 3];
        for number in 0..30 {
            let id = id(number << 100 | number);
            expected[partition::of(&id.to_string(), 3)] += 1;
            let item = Item::new(Minutes(60));
            store
                .set_and_release_item_exclusive(&request(), id, &item, None, true)
                .await
                .unwrap();
        }
        for (name, expected) in bench.databases.iter().zip(expected) {
            let sessions = bench
                .client
                .database(name)
                .collection::<Document>("sessions");
            let count = sessions.count_documents(doc! {}).await.unwrap();
            assert_eq!(count, expected, "{name}");
            assert!(name.ends_with("_000") || name.ends_with("_001") || name.ends_with("_002"));
        }
        until("all ended", async || ends.seen.borrow().len() == 30).await;
        store.dispose().await;
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn what_others_have_in_the_database_stays() {
    run_real(async {
        let bench = Bench::new("others").await;
        let database = bench.database();
        let theirs =
            doc! { "_id": { "s": SESSION, "a": "sessionbench_privateer" }, "e": instant(-9) };
        let sessions = database.collection::<Document>("sessions");
        sessions.insert_one(&theirs).await.unwrap();
        let (store, ends) = poll(&bench, &seat(0)).await;
        store_new(&store, id(8), "hello").await;
        until("the poller looked", async || {
            bench.provider.background_work().ticks > 1
        })
        .await;
        store.dispose().await;
        assert!(ends.ids().is_empty());
        bench.provider.close().await.unwrap();
        let cursor = sessions.find_one(doc! {}).await.unwrap();
        assert_eq!(cursor, Some(theirs));
        assert_eq!(bench.count().await, 1);
        database.drop().await.unwrap();
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_collection_that_was_there_stays_and_loses_our_index() {
    run_real(async {
        let name = "sessionbench_test_was_there";
        let server = on_database(name);
        let client = Client::with_uri_str(&server).await.unwrap();
        let database = client.database(name);
        database.drop().await.unwrap();
        database.create_collection("sessions").await.unwrap();
        let provider = provider(MongoSitecore::on(server)).await.unwrap();
        let sessions = database.collection::<Document>("sessions");
        assert_eq!(sessions.list_index_names().await.unwrap().len(), 2);
        provider.close().await.unwrap();
        assert_eq!(sessions.list_index_names().await.unwrap(), ["_id_"]);
        database.drop().await.unwrap();
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_closed_provider_writes_nothing_more() {
    run_real(async {
        let bench = Bench::new("closed").await;
        let store = bench.open(&seat(0)).await;
        bench.provider.close().await.unwrap();
        let late = store
            .set_and_release_item_exclusive(&request(), id(7), &item("x"), None, true)
            .await;
        assert!(matches!(late, Err(StoreError::Connection(_))), "{late:?}");
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_sample_tells_what_the_server_tells() {
    run_real(async {
        let bench = Bench::new("sample").await;
        let store = bench.open(&seat(0)).await;
        for number in 0..3 {
            store_new(&store, id(number), "hello").await;
        }
        let server = bench.provider.server().unwrap();
        assert!(!server.version.is_empty() && !server.address.contains('@'));
        let mut sample = bench.provider.sample().await.unwrap();
        // Some servers count by statistics that lag behind.
        until("the sessions are counted", async || {
            sample = bench.provider.sample().await.unwrap();
            sample.keys == Some(3) || sample.keys.is_none()
        })
        .await;
        assert_eq!(sample.volatile_keys, None);
        bench.close().await;
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_wrong_password_is_told_and_not_shown() {
    run_real(async {
        let server = on_database("sessionbench_test_password");
        let (_, rest) = server.split_once("://").unwrap();
        let hosts = rest.split_once('@').map_or(rest, |(_, hosts)| hosts);
        let settings = MongoSitecore::on(format!("mongodb://nobody:made-up-word@{hosts}"));
        let Err(error) = provider(settings).await else {
            panic!("nobody may log in");
        };
        let text = error.to_string();
        assert!(text.contains("authentication failed"), "{text}");
        assert!(!text.contains("made-up-word"), "{text}");
    })
    .unwrap();
}

#[test]
fn a_server_that_is_not_there_is_told_soon_and_without_its_password() {
    run_real(async {
        // Nobody listens on a port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let server =
            format!("mongodb://user:made-up-word@127.0.0.1:{port}/x?serverSelectionTimeoutMS=300");
        let started = now();
        let Err(error) = provider(MongoSitecore::on(server)).await else {
            panic!("nobody listens");
        };
        assert!(
            matches!(error, ConnectError::Store(StoreError::Connection(_))),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
        assert!(!text.contains("made-up-word"), "{text}");
        assert!(now().since(started) < Duration::from_secs(20));
    })
    .unwrap();
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    run_real(async {
        // Accepts by its backlog and says nothing.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let server = format!("mongodb://{address}/x?socketTimeoutMS=200");
        let Err(error) = provider(MongoSitecore::on(server)).await else {
            panic!("nobody answers");
        };
        let limit = Duration::from_millis(200);
        assert_eq!(error, ConnectError::Store(StoreError::Timeout { limit }));
    })
    .unwrap();
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn a_whole_run_ends_every_session_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("run.yaml");
    let server = on_database("sessionbench_test_run");
    let scenario = format!(
        "
name: run
time: {{ scale: 60, duration: 3min, drain: 15s }}
session: {{ timeout: 5min }}
contacts: {{ arrivals: {{ poisson: {{ rate: 40/min }} }} }}
visits: {{ pages: 3, think_time: 20s, ajax: 1, work: 5ms }}
clusters: {{ web: {{ servers: 2, private: store, shared: store }} }}
providers:
  store: {{ mongo_sitecore: {{ server: \"{server}\", pollingInterval: 1 }} }}
objectives: [ request.failed == 0, session_end.missed == 0, page_views.lost == 0 ]
"
    );
    std::fs::write(&file, scenario).unwrap();
    let report = directory.path().join("report");
    let output = Command::cargo_bin("sessionbench")
        .unwrap()
        .args(["run", "--quiet"])
        .arg(&file)
        .arg("--output")
        .arg(&report)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = std::fs::read_to_string(report.join("result.json")).unwrap_or(told);
    // A loaded machine may make the run invalid; what it measured must be right all the same.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{text}");
    let result: serde_json::Value = serde_json::from_str(&text).unwrap();
    let objectives = result.pointer("/runs/0/objectives").unwrap();
    for objective in objectives.as_array().unwrap() {
        assert_eq!(objective["met"], true, "{objective}");
    }
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn the_contract_is_kept_but_where_the_table_says_otherwise() {
    let settings = MongoSitecore::on(on_database("sessionbench_test_conformance"));
    let settings = ProviderSettings::MongoSitecore(settings);
    let examining = async move { examine(&Subject::new(&settings), std::future::pending()).await };
    let report = run_real(examining).unwrap();
    assert_behaves_as_documented(&report.unwrap());
}

#[test]
#[ignore = "needs SESSIONBENCH_TEST_MONGODB"]
fn the_doctor_misses_the_index_and_makes_nothing() {
    run_real(async {
        let server = on_database("doctor");
        let text = format!(
            "name: x\ntime: {{duration: 1h}}\ncontacts: {{arrivals: {{constant: {{rate: 1/s}}}}}}\n\
             clusters: {{web: {{private: a, shared: a}}}}\n\
             providers: {{a: {{mongo_sitecore: {{server: \"{server}\"}}}}}}\n"
        );
        let loaded = sessionbench::scenario::parse("test.yaml", &text);
        let scenario = loaded
            .unwrap_or_else(|problems| panic!("{problems}"))
            .scenario;
        let client = Client::with_uri_str(&server).await.unwrap();
        let database = client.default_database().unwrap();
        database.drop().await.unwrap();
        let index = async || {
            let told = sessionbench::doctor::examine(&scenario).await.unwrap();
            let examination = told.examinations.into_iter().next().unwrap();
            assert!(examination.reached);
            let mut findings = examination.findings.into_iter();
            findings.find(|it| it.subject == "index").unwrap().severity
        };
        assert_eq!(index().await, sessionbench::doctor::Severity::Ok);
        let none: Vec<String> = database.list_collection_names().await.unwrap();
        assert!(none.is_empty(), "{none:?}");
        let sessions = database.collection::<Document>("sessions");
        sessions.insert_one(doc! { "_id": 1 }).await.unwrap();
        assert_eq!(index().await, sessionbench::doctor::Severity::Warning);
        database.drop().await.unwrap();
    })
    .unwrap();
}
