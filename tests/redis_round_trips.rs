//! What a request costs on Redis, played by the request module and counted by the server
//! (facts §1.5).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod redis_support;

use redis_support::*;
use sessionbench::clock::{now, run_real, sleep, spawn};
use sessionbench::providers::ProviderSettings;
use sessionbench::providers::redis::settings::{
    MicrosoftVersion, RedisDeadline, RedisKeyspace, RedisMicrosoft, RedisSettings, RedisSitecore,
};
use sessionbench::session::module::{Access, Constants, Ending, Request, SessionStateModule};
use sessionbench::session::observer::{RequestNumber, ServerIndex};
use sessionbench::session::settings::ModuleSettings;
use sessionbench::session::{Minutes, SessionId, StoreKind, Value};
use std::rc::Rc;
use std::time::Duration;

const TIMEOUT: Minutes = Minutes(20);

/// What a request cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    /// Round trips that the provider told.
    told: u64,
    /// Scripts that the server ran meanwhile.
    counted: u64,
}

/// So many scripts, and nothing else.
fn scripts(number: u64) -> Cost {
    Cost {
        told: number,
        counted: number,
    }
}

struct Site {
    bench: Bench,
    module: SessionStateModule,
}

impl Site {
    /// A site on which every script is known to the server already.
    async fn new(settings: ProviderSettings) -> Self {
        let bench = Bench::new(settings).await;
        let store = bench.open(&seat(0)).await;
        let constants = Constants::of(&ModuleSettings::default(), StoreKind::Private);
        let module = SessionStateModule::new(store, Rc::new(Nobody), ServerIndex(0), constants);
        let site = Self { bench, module };
        site.new_visit(id(1)).await;
        site.page(id(2), Access::Exclusive, true, Ending::Success)
            .await;
        site.page(id(2), Access::Exclusive, false, Ending::Success)
            .await;
        site.page(id(2), Access::ReadOnly, false, Ending::Success)
            .await;
        site.page(id(2), Access::Exclusive, false, Ending::Abandon)
            .await;
        site.without_session(id(1)).await;
        site
    }

    fn start(&self) -> Request {
        self.bench.reset_counts();
        Request {
            number: RequestNumber(1),
            started: now(),
            context: request(),
        }
    }

    /// Ends a request; tells what it cost.
    async fn end(&self, request: Request, id: SessionId) -> Cost {
        self.module.end_request(&request, id).await.unwrap();
        let (by_hash, by_text) = self.bench.scripts_run();
        Cost {
            told: request.context.round_trips.get().into(),
            counted: by_hash + by_text,
        }
    }

    async fn page(&self, id: SessionId, access: Access, dirty: bool, ending: Ending) -> Cost {
        let request = self.start();
        let mut session = self
            .module
            .acquire(&request, id, access, TIMEOUT)
            .await
            .unwrap();
        if dirty {
            session.item.set("page", Value::Int32(1));
        }
        self.module
            .release(&request, session, ending)
            .await
            .unwrap();
        self.end(request, id).await
    }

    async fn new_visit(&self, id: SessionId) -> Cost {
        let request = self.start();
        let mut session = sessionbench::session::module::Session::without_cookie(id, TIMEOUT);
        session.item.set("page", Value::Int32(1));
        self.module
            .release(&request, session, Ending::Success)
            .await
            .unwrap();
        self.end(request, id).await
    }

    async fn without_session(&self, id: SessionId) -> Cost {
        let request = self.start();
        self.module.keep_alive(&request, id, TIMEOUT).await.unwrap();
        self.end(request, id).await
    }
}

fn microsoft(version: MicrosoftVersion) -> ProviderSettings {
    ProviderSettings::RedisMicrosoft(RedisMicrosoft {
        version,
        redis: RedisSettings::default(),
    })
}

fn providers_of_microsofts_kind() -> [ProviderSettings; 5] {
    [
        microsoft(MicrosoftVersion::V5),
        microsoft(MicrosoftVersion::V1From4),
        microsoft(MicrosoftVersion::V1From6_1),
        microsoft(MicrosoftVersion::V2To4),
        ProviderSettings::RedisSitecore(RedisSitecore::default()),
    ]
}

#[test]
fn each_path_costs_the_round_trips_of_the_genuine_provider() {
    run_real(async {
        use Access::{Exclusive, ReadOnly};
        use Ending::{Abandon, Error, Success};
        for settings in providers_of_microsofts_kind() {
            let site = Site::new(settings).await;
            for (name, page, session, access, dirty, ending) in [
                ("dirty", 3, 1, Exclusive, true, Success),
                ("clean", 2, 1, Exclusive, false, Success),
                ("error", 2, 1, Exclusive, true, Error),
                ("read-only", 1, 1, ReadOnly, false, Success),
                ("abandon", 3, 1, Exclusive, false, Abandon),
                ("lost, dirty", 6, 8, Exclusive, true, Success),
                ("lost, clean", 5, 9, Exclusive, false, Success),
            ] {
                let cost = site.page(id(session), access, dirty, ending).await;
                assert_eq!(cost, scripts(page), "{name}");
            }
            assert_eq!(site.new_visit(id(10)).await, scripts(1));
            assert_eq!(site.without_session(id(10)).await, scripts(1));
        }
    })
    .unwrap();
}

fn deadline() -> ProviderSettings {
    ProviderSettings::RedisDeadline(RedisDeadline::default())
}

#[test]
fn with_deadlines_a_dirty_page_costs_two_scripts() {
    run_real(async {
        use Access::{Exclusive, ReadOnly};
        use Ending::{Abandon, Error, Success};
        let site = Site::new(deadline()).await;
        for (name, page, session, access, dirty, ending) in [
            ("dirty", 2, 1, Exclusive, true, Success),
            ("clean", 2, 1, Exclusive, false, Success),
            ("error", 2, 1, Exclusive, true, Error),
            ("read-only", 1, 1, ReadOnly, false, Success),
            ("abandon", 2, 1, Exclusive, false, Abandon),
            ("lost, dirty", 4, 8, Exclusive, true, Success),
            ("lost, clean", 4, 9, Exclusive, false, Success),
        ] {
            let cost = site.page(id(session), access, dirty, ending).await;
            assert_eq!(cost, scripts(page), "{name}");
        }
        assert_eq!(site.new_visit(id(10)).await, scripts(1));
        assert_eq!(site.without_session(id(10)).await, scripts(1));
    })
    .unwrap();
}

#[test]
fn the_table_of_capabilities_tells_the_round_trips_that_are_counted() {
    run_real(async {
        let mut all = providers_of_microsofts_kind().to_vec();
        all.push(ProviderSettings::RedisKeyspace(RedisKeyspace::default()));
        all.push(deadline());
        for settings in all {
            let told = settings.capabilities().round_trips;
            let site = Site::new(settings).await;
            let dirty = site
                .page(id(1), Access::Exclusive, true, Ending::Success)
                .await;
            let clean = site
                .page(id(1), Access::Exclusive, false, Ending::Success)
                .await;
            assert_eq!((dirty.told, clean.told), (told.0.into(), told.1.into()));
        }
    })
    .unwrap();
}

#[test]
fn waiting_for_a_lock_costs_one_more_every_half_second() {
    run_real(async {
        let site = Rc::new(Site::new(microsoft(MicrosoftVersion::V5)).await);
        let holder = Request {
            number: RequestNumber(2),
            started: now(),
            context: request(),
        };
        let held = site
            .module
            .acquire(&holder, id(1), Access::Exclusive, TIMEOUT)
            .await
            .unwrap();
        let waiter = spawn({
            let site = Rc::clone(&site);
            async move {
                site.page(id(1), Access::Exclusive, false, Ending::Success)
                    .await
            }
        });
        // Between the second poll, at 500 ms, and the third.
        sleep(Duration::from_millis(750)).await;
        site.module
            .release(&holder, held, Ending::Success)
            .await
            .unwrap();
        // Two gets in vain, then the two commands of a clean request. The server ran the holder's
        // release as well.
        let expected = Cost {
            told: 4,
            counted: 5,
        };
        assert_eq!(waiter.await, expected);
    })
    .unwrap();
}
