//! The state server's client: on our server, on one that it does not own, and on servers that
//! misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod state_server_support;

use sessionbench::clock::{Instant, now, run_real, sleep};
use sessionbench::providers::state_server::settings::{Dialect, Server, StateServerSettings};
use sessionbench::providers::{ConnectError, Provider, ProviderSettings, Seat, connect};
use sessionbench::quantity::Span;
use sessionbench::session::module::{Access, Constants, Ending, Request, SessionStateModule};
use sessionbench::session::observer::{
    AcquireError, Grant, Observer, Operation, Release, RequestNumber, ServerIndex,
};
use sessionbench::session::settings::ModuleSettings;
use sessionbench::session::value::Text;
use sessionbench::session::{
    Actions, Found, GetItem, Item, LockId, Minutes, RequestContext, SessionId, SessionStateStore,
    StoreError, StoreKind, Value,
};
use state_server_support::{MINUTE, NOT_FOUND, Raw, Reply, fake, server, statistics, use_program};
use std::rc::Rc;
use std::time::Duration;

const TIMEOUT: Minutes = Minutes(20);

fn at(address: &str) -> StateServerSettings {
    StateServerSettings {
        server: Server::ConnectionString(format!("tcpip={address}")),
        ..StateServerSettings::default()
    }
}

async fn provider(settings: StateServerSettings) -> Rc<dyn Provider> {
    use_program();
    let settings = ProviderSettings::StateServer(settings);
    connect(&settings, "").await.unwrap()
}

fn seat() -> Seat {
    Seat {
        server: 0,
        kind: StoreKind::Private,
        timeout: TIMEOUT,
        minute: MINUTE,
        execution_timeout: Duration::from_secs(110),
    }
}

fn id(number: u128) -> SessionId {
    SessionId::private(number)
}

fn item(text: &str) -> Item {
    let mut item = Item::new(TIMEOUT);
    item.set("data", Value::Text(text.into()));
    item
}

fn text_of(item: &Item) -> String {
    match item.get("data") {
        Some(Value::Text(Text::Owned(text))) => text.to_string(),
        other => panic!("no text: {other:?}"),
    }
}

/// A store and what a request on it cost.
struct Client {
    store: Rc<dyn SessionStateStore>,
    context: RequestContext,
}

impl Client {
    async fn of(provider: &Rc<dyn Provider>) -> Self {
        Self {
            store: provider.open(&seat()).await.unwrap(),
            context: RequestContext::default(),
        }
    }

    async fn try_get(&self) -> Result<GetItem, StoreError> {
        self.store.get_item(&self.context, id(1)).await
    }

    async fn get(&self) -> GetItem {
        self.try_get().await.unwrap()
    }

    async fn take(&self) -> (Found, LockId) {
        let got = self.store.get_item_exclusive(&self.context, id(1)).await;
        match got.unwrap() {
            GetItem::Found(found) => {
                let lock = found.lock.clone().unwrap();
                (found, lock)
            }
            other => panic!("{other:?}"),
        }
    }

    async fn set(&self, text: &str, lock: Option<&LockId>) {
        let new_item = lock.is_none();
        let item = item(text);
        let set =
            self.store
                .set_and_release_item_exclusive(&self.context, id(1), &item, lock, new_item);
        set.await.unwrap();
    }

    async fn release(&self, lock: &LockId) {
        let release = self
            .store
            .release_item_exclusive(&self.context, id(1), lock);
        release.await.unwrap();
    }

    async fn remove(&self, lock: &LockId) {
        let item = Item::new(TIMEOUT);
        let remove = self
            .store
            .remove_item(&self.context, id(1), Some(lock), &item);
        remove.await.unwrap();
    }

    /// The text in the stored session.
    async fn text(&self) -> String {
        match self.get().await {
            GetItem::Found(found) => text_of(&found.item),
            other => panic!("{other:?}"),
        }
    }
}

/// Plays a test on a managed server, in every way in which settings change the wire.
fn play(test: impl AsyncFn(Client) + 'static) {
    run_real(async move {
        for settings in [
            StateServerSettings::default(),
            StateServerSettings {
                dialect: Dialect::Specification,
                compressionEnabled: true,
                ..StateServerSettings::default()
            },
        ] {
            let provider = provider(settings).await;
            test(Client::of(&provider).await).await;
            provider.close().await.unwrap();
        }
    })
    .unwrap();
}

#[test]
fn a_session_comes_back_as_it_was_stored() {
    play(async |client| {
        assert_eq!(client.get().await, GetItem::Missing);
        client.set("one", None).await;
        let GetItem::Found(found) = client.get().await else {
            panic!("not found");
        };
        assert_eq!(found.item, item("one").stored());
        assert_eq!((found.lock, found.actions), (None, Actions::None));
    });
}

#[test]
fn a_lock_is_held_until_its_holder_writes_or_releases() {
    play(async |client| {
        client.set("one", None).await;
        let (_, lock) = client.take().await;
        for got in [
            client.get().await,
            client
                .store
                .get_item_exclusive(&client.context, id(1))
                .await
                .unwrap(),
        ] {
            let GetItem::Locked { lock: holder, age } = got else {
                panic!("{got:?}");
            };
            assert_eq!(holder, lock);
            assert!(age < Duration::from_secs(60), "{age:?}");
        }
        client.set("two", Some(&lock)).await;
        assert_eq!(client.text().await, "two");
        let (_, lock) = client.take().await;
        client.release(&lock).await;
        assert_eq!(client.text().await, "two");
    });
}

#[test]
fn a_stolen_lock_loses_the_update_without_a_word() {
    play(async |client| {
        client.set("one", None).await;
        let (_, robbed) = client.take().await;
        client.release(&robbed).await;
        let (_, lock) = client.take().await;
        client.set("lost", Some(&robbed)).await;
        client.release(&robbed).await;
        client.remove(&robbed).await;
        client.set("two", Some(&lock)).await;
        assert_eq!(client.text().await, "two");
    });
}

#[test]
fn an_uninitialised_session_asks_its_first_reader_to_initialise_it() {
    play(async |client| {
        let create = client
            .store
            .create_uninitialized_item(&client.context, id(1), TIMEOUT);
        create.await.unwrap();
        let (found, lock) = client.take().await;
        assert_eq!(found.actions, Actions::InitializeItem);
        assert_eq!(found.item, Item::new(TIMEOUT));
        client.set("one", Some(&lock)).await;
        let (found, _) = client.take().await;
        assert_eq!(found.actions, Actions::None);
    });
}

#[test]
fn an_abandoned_session_is_gone_and_nobody_is_told() {
    play(async |client| {
        client.set("one", None).await;
        let (_, lock) = client.take().await;
        client.remove(&lock).await;
        assert_eq!(client.get().await, GetItem::Missing);
        let reset = client.store.reset_item_timeout(&client.context, id(1));
        reset.await.unwrap();
        assert_eq!(client.get().await, GetItem::Missing);
    });
}

#[test]
fn what_is_stored_is_the_frame_of_asp_net_under_the_applications_name() {
    run_real(async {
        let server = server(MINUTE).await;
        let provider = provider(at(server.address())).await;
        let client = Client::of(&provider).await;
        let create = client
            .store
            .create_uninitialized_item(&client.context, id(1), TIMEOUT);
        create.await.unwrap();
        // SHA-256 of the application's id, by openssl.
        let target = format!(
            "/LM/W3SVC/1/ROOT(cAHkmVhipCLv%2fQnONQmPsKL%2bq%2fAjnK%2fnYS9aV3Zlad8%3d)/{}",
            id(1)
        );
        let answer = Raw::to(&server).ask(&format!("GET {target} HTTP/1.1\n\n"));
        let (_, content) = answer.split_once("\n\n").unwrap();
        // The frame of an empty session of 20 minutes; 0xFF is not UTF-8.
        assert_eq!(content, "\x14\0\0\0\0\0\u{FFFD}");
        provider.close().await.unwrap();
    })
    .unwrap();
}

#[test]
fn an_undecodable_session_is_an_error_and_counted() {
    run_real(async {
        let server = server(MINUTE).await;
        let provider = provider(at(server.address())).await;
        let client = Client::of(&provider).await;
        let target = format!(
            "/LM/W3SVC/1/ROOT(cAHkmVhipCLv%2fQnONQmPsKL%2bq%2fAjnK%2fnYS9aV3Zlad8%3d)/{}",
            id(1)
        );
        Raw::to(&server).put(&target, "garbage");
        let failed = client.try_get().await;
        assert!(
            matches!(failed, Err(StoreError::Undecodable(_))),
            "{failed:?}"
        );
        assert_eq!(client.context.undecodable.get(), 1);
    })
    .unwrap();
}

/// Nobody watches.
struct Nobody;

impl Observer for Nobody {
    fn operation(&self, _: &Operation) {}
    fn waiting(&self, _: ServerIndex, _: RequestNumber, _: SessionId, _: Instant) {}
    fn stolen(&self, _: ServerIndex, _: RequestNumber, _: SessionId, _: Instant) {}
    fn granted(&self, _: &Grant<'_>) {}
    fn refused(&self, _: ServerIndex, _: RequestNumber, _: SessionId, _: &AcquireError) {}
    fn releasing(&self, _: RequestNumber, _: SessionId, _: Instant, _: Option<&Item>) {}
    fn released(&self, _: &Release<'_>) {}
}

#[test]
fn a_request_takes_two_round_trips_dirty_or_clean() {
    run_real(async {
        let server = server(MINUTE).await;
        let provider = provider(at(server.address())).await;
        let store = provider.open(&seat()).await.unwrap();
        let constants = Constants::of(&ModuleSettings::default(), StoreKind::Private);
        let module = SessionStateModule::new(store, Rc::new(Nobody), ServerIndex(0), constants);
        let counted = || statistics(server.address()).counts.requests;
        // The first request finds no session and creates it; the others are what is asked about.
        for (dirty, round_trips) in [(true, None), (true, Some(2)), (false, Some(2))] {
            let before = counted();
            let request = Request {
                number: RequestNumber(1),
                started: now(),
                context: RequestContext::default(),
            };
            let acquired = module.acquire(&request, id(1), Access::Exclusive, TIMEOUT);
            let mut session = acquired.await.unwrap();
            if dirty {
                session.item.set("page", Value::Int32(1));
            }
            let release = module.release(&request, &session, Ending::Success);
            release.await.unwrap();
            module.end_request(&request, id(1)).await.unwrap();
            let Some(expected) = round_trips else {
                continue;
            };
            assert_eq!(request.context.round_trips.get(), expected);
            // Asking for the count is a request too.
            assert_eq!(counted() - before - 1, u64::from(expected));
        }
    })
    .unwrap();
}

#[test]
fn requests_at_once_have_connections_of_their_own_which_are_used_again() {
    run_real(async {
        let server = server(MINUTE).await;
        let provider = provider(at(server.address())).await;
        let client = Client::of(&provider).await;
        let clients = || statistics(server.address()).clients;
        let others = clients();
        for _ in 0..3 {
            let gets = (0..8).map(|_| client.get());
            futures_util::future::join_all(gets).await;
        }
        assert_eq!(clients() - others, 8);
    })
    .unwrap();
}

#[test]
fn a_connection_that_is_idle_for_5_s_is_dropped() {
    run_real(async {
        let server = server(MINUTE).await;
        let provider = provider(at(server.address())).await;
        let client = Client::of(&provider).await;
        let used = now();
        client.get().await;
        // The provider's own connection stays; one is that of the test.
        assert_eq!(statistics(server.address()).clients, 3);
        while statistics(server.address()).clients > 2 {
            assert!(now().since(used) < Duration::from_secs(60), "it is kept");
            sleep(Duration::from_millis(50)).await;
        }
        assert!(now().since(used) >= Duration::from_secs(5));
    })
    .unwrap();
}

#[test]
fn a_kept_connection_that_the_server_closed_is_replaced_and_no_request_fails() {
    run_real(async {
        let fake = fake(|| Reply::SendAndClose(NOT_FOUND));
        let provider = provider(at(&fake.address)).await;
        let client = Client::of(&provider).await;
        for number in 1..=20 {
            assert_eq!(client.get().await, GetItem::Missing);
            while fake.closed() < number {
                sleep(Duration::from_millis(1)).await;
            }
            // The clock looks at the network before it wakes anybody.
            sleep(Duration::from_millis(1)).await;
        }
    })
    .unwrap();
}

/// A get on a server that answers its first request and then does this.
async fn get_from(reply: fn() -> Reply, limit: Duration) -> (Result<GetItem, StoreError>, Client) {
    let settings = StateServerSettings {
        stateNetworkTimeout: Span::from(limit),
        ..at(&fake(reply).address)
    };
    let client = Client::of(&provider(settings).await).await;
    (client.try_get().await, client)
}

const PATIENT: Duration = Duration::from_secs(60);

#[test]
fn a_server_that_never_answers_is_a_timeout_at_its_limit() {
    run_real(async {
        let limit = Duration::from_millis(300);
        let (got, client) = get_from(|| Reply::Nothing, limit).await;
        assert_eq!(got, Err(StoreError::Timeout { limit }));
        assert_eq!(client.context.timeouts.get(), 1);
        assert_eq!(client.context.round_trips.get(), 1);
        assert!(client.context.bytes_sent.get() > 0);
    })
    .unwrap();
}

#[test]
fn the_genuine_limit_is_10_s() {
    let settings = StateServerSettings::default();
    assert_eq!(settings.stateNetworkTimeout, Span::from_secs(10));
}

#[test]
fn an_answer_that_stops_in_the_middle_is_a_timeout() {
    run_real(async {
        let limit = Duration::from_millis(300);
        let reply = || Reply::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort");
        let (got, _) = get_from(reply, limit).await;
        assert_eq!(got, Err(StoreError::Timeout { limit }));
    })
    .unwrap();
}

#[test]
fn a_refusal_is_an_error_with_the_servers_reason() {
    run_real(async {
        let reply = || Reply::Send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nwhy");
        let (got, _) = get_from(reply, PATIENT).await;
        let expected = StoreError::Refused("400 Bad Request: why".to_owned());
        assert_eq!(got, Err(expected));
    })
    .unwrap();
}

#[test]
fn an_answer_that_is_none_of_a_state_server_is_an_error() {
    run_real(async {
        for reply in [
            (|| Reply::Send(b"-ERR unknown command\r\n\r\n")) as fn() -> Reply,
            || Reply::Send(b"HTTP/1.1 500 Internal Server Error\r\n\r\n"),
            || Reply::Send(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"),
            || Reply::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nlonger"),
            || Reply::Send(b"\x16\x03\x01\x02\x00\r\n\r\n"),
        ] {
            let (got, _) = get_from(reply, PATIENT).await;
            let Err(StoreError::Refused(why)) = &got else {
                panic!("{got:?}");
            };
            assert!(
                why.starts_with("its answer is none of a state server"),
                "{why}"
            );
        }
    })
    .unwrap();
}

#[test]
fn a_connection_that_breaks_within_an_answer_is_an_error() {
    run_real(async {
        for reply in [(|| Reply::SendAndClose(b"")) as fn() -> Reply, || {
            Reply::SendAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort")
        }] {
            let (got, _) = get_from(reply, PATIENT).await;
            assert!(matches!(got, Err(StoreError::Connection(_))), "{got:?}");
        }
    })
    .unwrap();
}

#[test]
fn a_server_that_dies_fails_requests_and_one_in_its_place_serves_them() {
    run_real(async {
        let first = server(MINUTE).await;
        let address = first.address().to_owned();
        let provider = provider(at(&address)).await;
        let client = Client::of(&provider).await;
        client.set("one", None).await;
        drop(first);
        let failed = client.try_get().await;
        assert!(
            matches!(failed, Err(StoreError::Connection(_))),
            "{failed:?}"
        );
        let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
        let limits = sessionbench::servers::state_server::Limits::default();
        let serving = sessionbench::servers::state_server::serve(listener, MINUTE, limits);
        let _serving = sessionbench::clock::spawn(serving);
        assert_eq!(client.get().await, GetItem::Missing);
    })
    .unwrap();
}

#[test]
fn a_server_that_is_not_there_is_told_before_the_run() {
    run_real(async {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let settings = ProviderSettings::StateServer(at(&address));
        let error = connect(&settings, "").await.err().unwrap();
        let expected = matches!(&error, ConnectError::Store(StoreError::Connection(_)));
        assert!(expected, "{error}");
    })
    .unwrap();
}

#[test]
fn a_genuine_server_is_known_by_its_version_and_tells_nothing_of_itself() {
    run_real(async {
        let provider = provider(at(&fake(|| Reply::Send(NOT_FOUND)).address)).await;
        let info = provider.server().unwrap();
        assert_eq!(info.product, "ASP.NET state server");
        assert_eq!(info.version, "4.0.30319");
        assert!(!info.managed);
        let sample = provider.sample().await.unwrap();
        assert_eq!(sample, sessionbench::providers::StoreSample::default());
    })
    .unwrap();
}

#[test]
fn a_managed_server_tells_what_it_uses_and_stops_with_the_provider() {
    run_real(async {
        let provider = provider(StateServerSettings::default()).await;
        let client = Client::of(&provider).await;
        client.set("one", None).await;
        let info = provider.server().unwrap().clone();
        assert_eq!(info.product, "sessionbench state-server");
        assert!(info.managed);
        assert_ne!(info.settings["process_id"], std::process::id().to_string());
        let sample = provider.sample().await.unwrap();
        assert_eq!(sample.keys, Some(1));
        assert!(sample.commands > Some(1));
        assert!(sample.memory_bytes > Some(0));
        assert!(sample.cpu_seconds.is_some());
        provider.close().await.unwrap();
        assert!(std::net::TcpStream::connect(&info.address).is_err());
        let failed = client.try_get().await;
        assert!(
            matches!(failed, Err(StoreError::Connection(_))),
            "{failed:?}"
        );
    })
    .unwrap();
}

#[test]
fn sessions_on_a_managed_server_expire_by_the_minutes_of_the_run() {
    run_real(async {
        let provider = provider(StateServerSettings::default()).await;
        let minute = Duration::from_millis(10);
        let seat = Seat { minute, ..seat() };
        let store = provider.open(&seat).await.unwrap();
        let context = RequestContext::default();
        let (stored, new) = (now(), item("one"));
        let set = store.set_and_release_item_exclusive(&context, id(1), &new, None, true);
        set.await.unwrap();
        // A touch that gains less than a second prolongs nothing.
        while store.get_item(&context, id(1)).await.unwrap() != GetItem::Missing {
            assert!(now().since(stored) < Duration::from_secs(60), "it lives on");
        }
        assert!(now().since(stored) >= minute * 20);
    })
    .unwrap();
}

#[test]
fn a_managed_server_takes_minutes_of_any_length() {
    run_real(async {
        // What a scale of 7 makes of a minute.
        let minute = MINUTE.div_f64(7.0);
        let provider = provider(StateServerSettings::default()).await;
        assert!(provider.open(&Seat { minute, ..seat() }).await.is_ok());
    })
    .unwrap();
}

#[test]
fn a_server_with_other_minutes_than_the_runs_is_refused() {
    run_real(async {
        let server = server(MINUTE).await;
        let provider = provider(at(server.address())).await;
        let minute = Duration::from_secs(1);
        let refused = provider.open(&Seat { minute, ..seat() }).await.err();
        let expected = "a minute lasts 60 s on the server and 1 s in the run".to_owned();
        assert_eq!(refused, Some(StoreError::Refused(expected)));
    })
    .unwrap();
}

#[test]
fn on_a_server_that_is_not_ours_only_our_sessions_are_removed_locked_ones_too() {
    run_real(async {
        let server = server(MINUTE).await;
        let mut raw = Raw::to(&server);
        raw.put("/other(aGFzaA==)/aaaaaaaaaaaaaaaaaaaaaaaa", "theirs");
        let provider = provider(at(server.address())).await;
        let client = Client::of(&provider).await;
        for number in 2..50 {
            let create =
                client
                    .store
                    .create_uninitialized_item(&client.context, id(number), TIMEOUT);
            create.await.unwrap();
        }
        client.set("one", None).await;
        client.take().await;
        assert_eq!(statistics(server.address()).sessions, 50);
        client.store.dispose().await;
        provider.close().await.unwrap();
        assert_eq!(statistics(server.address()).sessions, 1);
        let theirs = "GET /other(aGFzaA==)/aaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\n\n";
        assert!(raw.ask(theirs).ends_with("theirs"));
    })
    .unwrap();
}

#[test]
fn clusters_do_not_see_each_others_sessions() {
    run_real(async {
        let server = server(MINUTE).await;
        let settings = ProviderSettings::StateServer(at(server.address()));
        let one = Client::of(&connect(&settings, "one").await.unwrap()).await;
        let other = Client::of(&connect(&settings, "other").await.unwrap()).await;
        one.set("one", None).await;
        assert_eq!(other.get().await, GetItem::Missing);
    })
    .unwrap();
}
