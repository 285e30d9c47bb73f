//! What is raised when a session ends.
//!
//! The surprising fact: no two designs agree on most of it, so the contract here is what a site
//! needs that commits a visit in the handler: one end, with the data, when the visit is over.

use super::{Behaviour, Needs};
use crate::clock::{self, sleep, sleep_until};
use crate::conformance::ends::Handler;
use crate::conformance::probe::{
    Bench, Otherwise, Probed, before, change, deviates, expect, item, text_of,
};
use crate::conformance::subject::{TIMEOUT, said};
use crate::session::{GetItem, Minutes};
use std::rc::Rc;
use std::time::Duration;

/// After the first end, a second one that is going to come has come.
const SETTLED: Duration = Duration::from_secs(5);
/// Clocks of server and probe may differ by this.
const CLOCKS: Duration = Duration::from_millis(50);

pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "end_raised",
        states: "A session that nobody used for its timeout ends.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(end_raised(bench)),
    },
    Behaviour {
        name: "end_not_early",
        states: "It does not end before its timeout is over.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(end_not_early(bench)),
    },
    Behaviour {
        name: "end_has_data",
        states: "The end brings what was written last.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(end_has_data(bench)),
    },
    Behaviour {
        name: "end_once_two_servers",
        states: "With two servers listening, a session ends once.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(end_once_two_servers(bench)),
    },
    Behaviour {
        name: "end_leaves_nothing",
        states: "Once its end was handled, the session is gone from the store.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(end_leaves_nothing(bench)),
    },
    Behaviour {
        name: "end_holds_visitor_off",
        states: "A visitor who returns while the end is handled does not get the ended session.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(end_holds_visitor_off(bench)),
    },
    Behaviour {
        name: "end_not_repeated",
        states: "A server whose handler threw is not told of the same end again.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(end_not_repeated(bench)),
    },
    Behaviour {
        name: "abandon_end",
        states: "An abandoned session ends at once, and only once.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(abandon_end(bench)),
    },
    Behaviour {
        name: "expired_claim_spares_locked",
        states: "A session does not end while a request holds it.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(expired_claim_spares_locked(bench)),
    },
    Behaviour {
        name: "uninitialized_ends_silently",
        states: "A session that nobody initialised ends without a word.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(uninitialized_ends_silently(bench)),
    },
    Behaviour {
        name: "timeout_change_ends_nothing",
        states: "Changing a session's timeout does not end it.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(timeout_change_ends_nothing(bench)),
    },
    Behaviour {
        name: "crash_between_claim_and_end",
        states: "A session whose server dies while it handles the end is ended by another one.",
        needs: Needs::SiteOfItsOwn,
        probe: |bench| Box::pin(crash_between_claim_and_end(bench)),
    },
];

async fn end_raised(bench: Rc<Bench>) -> Probed {
    if bench.detection.is_none() {
        return deviates("no session end is raised");
    }
    let id = bench.session().await?;
    match bench.first_end(id).await {
        Ok(_) => Ok(()),
        Err(Otherwise::NotProbed(why)) => deviates(why),
        Err(other) => Err(other),
    }
}

async fn end_not_early(bench: Rc<Bench>) -> Probed {
    let stored = clock::now();
    let id = bench.session().await?;
    let end = bench.first_end(id).await?;
    let due = stored + bench.site.life();
    let early = due.since(end.at);
    let told = format!("it ended {:.1} s early", early.as_secs_f64());
    expect(early <= CLOCKS, &told)
}

async fn end_has_data(bench: Rc<Bench>) -> Probed {
    let mut held = bench.held().await?;
    change(&mut held, "last");
    bench.a.write(&held).await?;
    match bench.first_end(held.id).await?.item {
        Some(item) if text_of(&item) == "last" => Ok(()),
        Some(_) => deviates("the end brought other data"),
        None => deviates("the end brought no data"),
    }
}

async fn end_once_two_servers(bench: Rc<Bench>) -> Probed {
    let id = bench.session().await?;
    bench.first_end(id).await?;
    sleep(SETTLED).await;
    match bench.ends()?.of(id).len() {
        1 => Ok(()),
        times => deviates(format!("it ended {times} times")),
    }
}

async fn end_leaves_nothing(bench: Rc<Bench>) -> Probed {
    /// A removal after the handler takes a round trip, on a machine that may be busy.
    const REMOVED: Duration = Duration::from_secs(2);
    let id = bench.session().await?;
    let ended = bench.first_end(id).await?.at;
    loop {
        match bench.b.read(id).await? {
            GetItem::Missing => return Ok(()),
            got if clock::now() > ended + REMOVED => {
                return deviates(format!("the ended session was {}", said(&got)));
            }
            _ => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn end_holds_visitor_off(bench: Rc<Bench>) -> Probed {
    const WORK: Duration = Duration::from_millis(1500);
    let id = bench.session().await?;
    bench.ends()?.handle(id, Handler::Takes(WORK));
    let end = bench.first_end(id).await?;
    let got = bench.b.read(id).await?;
    before(end.at + WORK)?;
    match got {
        GetItem::Found(_) => deviates("the visitor got the session that was ending"),
        _ => Ok(()),
    }
}

async fn end_not_repeated(bench: Rc<Bench>) -> Probed {
    let id = bench.session().await?;
    bench.ends()?.handle(id, Handler::Throws);
    let first = bench.first_end(id).await?;
    sleep(SETTLED).await;
    let told = bench.ends()?.of(id);
    let told = told.iter().filter(|end| end.server == first.server);
    match told.count() {
        1 => Ok(()),
        times => deviates(format!("it was told {times} times")),
    }
}

async fn abandon_end(bench: Rc<Bench>) -> Probed {
    bench.ends()?;
    let held = bench.held().await?;
    bench.a.abandon(&held).await?;
    sleep(SETTLED).await;
    match bench.ends()?.of(held.id).len() {
        1 => Ok(()),
        times => deviates(format!("it ended {times} times")),
    }
}

async fn expired_claim_spares_locked(bench: Rc<Bench>) -> Probed {
    bench.ends()?;
    let held = bench.held().await?;
    let noticed = clock::now() + bench.site.life() + bench.noticing();
    sleep_until(noticed).await;
    let ends = bench.ends()?.of(held.id);
    expect(ends.is_empty(), "it ended while a request held it")
}

async fn uninitialized_ends_silently(bench: Rc<Bench>) -> Probed {
    bench.ends()?;
    let id = bench.site.id();
    bench.a.create_uninitialized(id).await?;
    sleep_until(clock::now() + bench.site.life() + bench.noticing()).await;
    let ends = bench.ends()?.of(id);
    expect(ends.is_empty(), "its end was raised")
}

async fn timeout_change_ends_nothing(bench: Rc<Bench>) -> Probed {
    bench.ends()?;
    let mut held = bench.held().await?;
    held.item.set_timeout(Minutes(TIMEOUT.0 * 2));
    bench.a.write(&held).await?;
    sleep(Duration::from_secs(1)).await;
    let ends = bench.ends()?.of(held.id);
    expect(ends.is_empty(), "its end was raised")
}

async fn crash_between_claim_and_end(bench: Rc<Bench>) -> Probed {
    /// Polls come every few seconds; what is not raised by then waits for a lease, or for ever.
    const RAISED_AGAIN: Duration = Duration::from_secs(12);
    let id = bench.site.id();
    bench.ends()?.handle(id, Handler::FirstNeverReturns);
    bench.listen();
    let session = item("first");
    bench.a.store_new(id, &session).await?;
    let first = bench.first_end(id).await?;
    for server in [&bench.a, &bench.b] {
        if server.number() == first.server {
            server.crash();
        }
    }
    let deadline = clock::now() + RAISED_AGAIN;
    match bench.ends()?.wait_for(id, 1, deadline).await {
        Some(_) => Ok(()),
        None => {
            let waited = RAISED_AGAIN.as_secs();
            deviates(format!("no other server ended it within {waited} s"))
        }
    }
}
