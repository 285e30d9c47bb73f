//! What waiting costs on Redis, as the server counts scripts (facts §1.5). `conformance.rs` asserts
//! what each path of a request costs, for every provider.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod redis_support;

use redis_support::*;
use sessionbench::clock::{now, run_real, sleep, spawn};
use sessionbench::session::module::{Access, Constants, Ending, Request, SessionStateModule};
use sessionbench::session::observer::{Nobody, RequestNumber, ServerIndex};
use sessionbench::session::settings::ModuleSettings;
use sessionbench::session::{Minutes, StoreKind};
use std::rc::Rc;
use std::time::Duration;

const TIMEOUT: Minutes = Minutes(20);

fn page_request(number: u64) -> Request {
    Request {
        number: RequestNumber(number),
        started: now(),
        context: request(),
    }
}

/// A request that reads its session and changes nothing; returns the round trips it told.
async fn clean(module: &SessionStateModule, number: u64) -> u32 {
    let request = page_request(number);
    let acquired = module.acquire(&request, id(1), Access::Exclusive, TIMEOUT);
    let session = acquired.await.unwrap();
    module
        .release(&request, &session, Ending::Success)
        .await
        .unwrap();
    module.end_request(&request, id(1)).await.unwrap();
    request.context.round_trips.get()
}

#[test]
fn waiting_for_a_lock_costs_one_more_every_half_second() {
    run_real(async {
        let bench = Bench::microsoft().await;
        let store = bench.open(&seat(0)).await;
        store_new(&store, id(1), "hello").await;
        let constants = Constants::of(&ModuleSettings::default(), StoreKind::Private);
        let module = SessionStateModule::new(store, Rc::new(Nobody), ServerIndex(0), constants);
        let module = Rc::new(module);
        // The server learns the scripts.
        clean(&module, 1).await;
        let holder = page_request(2);
        let acquired = module.acquire(&holder, id(1), Access::Exclusive, TIMEOUT);
        let held = acquired.await.unwrap();
        bench.reset_counts();
        let waiter = spawn({
            let module = Rc::clone(&module);
            async move { clean(&module, 3).await }
        });
        // Between the second poll, at 500 ms, and the third.
        sleep(Duration::from_millis(750)).await;
        module
            .release(&holder, &held, Ending::Success)
            .await
            .unwrap();
        // Two gets in vain, then the two commands of a clean request. The server ran the holder's
        // release as well.
        assert_eq!(waiter.await, 4);
        assert_eq!(bench.scripts_run(), (5, 0));
    })
    .unwrap();
}
