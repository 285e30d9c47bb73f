//! One request holds a session at a time, and what it wrote is not lost.

use super::{Behaviour, Needs};
use crate::clock::{self, sleep};
use crate::conformance::module::{PATIENT, module, request};
use crate::conformance::probe::{
    Bench, Otherwise, Probed, before, change, deviates, expect, expect_locked, expect_missing,
    expect_text, found, item, text_of,
};
use crate::conformance::subject::{TIMEOUT, said};
use crate::session::module::{Access, Ending, SessionStateModule};
use crate::session::{GetItem, Item, SessionId, Value};
use futures_util::future::{join, join_all};
use std::rc::Rc;
use std::time::Duration;

/// Requests at once where many ask for one session.
const CROWD: usize = 12;

pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "take",
        states: "A get-exclusive brings the session and takes its lock.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(take(bench)),
    },
    Behaviour {
        name: "refuse",
        states: "While one request holds the lock, every other get-exclusive is refused.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(refuse(bench)),
    },
    Behaviour {
        name: "refusal_tells_holder",
        states: "A refusal tells the lock id of the holder.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(refusal_tells_holder(bench)),
    },
    Behaviour {
        name: "concurrent_take_one_winner",
        states: "Of many get-exclusives at once, on both servers, exactly one gets the lock.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(concurrent_take_one_winner(bench)),
    },
    Behaviour {
        name: "read_waits",
        states: "A read is refused while a request holds the lock.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(read_waits(bench)),
    },
    Behaviour {
        name: "read_takes_no_lock",
        states: "A read leaves the session free.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(read_takes_no_lock(bench)),
    },
    Behaviour {
        name: "update_releases",
        states: "An update frees the session, and the next holder finds what it wrote.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(update_releases(bench)),
    },
    Behaviour {
        name: "release_keeps_data",
        states: "A release frees the session and leaves its data as they were.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(release_keeps_data(bench)),
    },
    Behaviour {
        name: "lock_ids_differ",
        states: "Each taking of a lock has an id of its own.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(lock_ids_differ(bench)),
    },
    Behaviour {
        name: "lock_age_grows",
        states: "A refusal tells how long the lock has been held, to the second.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(lock_age_grows(bench)),
    },
    Behaviour {
        name: "wait",
        states: "A request that waits gets the session once it is free, with what was written.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(wait(bench)),
    },
    Behaviour {
        name: "updates_add_up",
        states: "Of many requests that each count one up, on both servers, none is lost.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(updates_add_up(bench)),
    },
    Behaviour {
        name: "steal",
        states: "Whoever releases with the id that a refusal told frees the session.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(steal(bench)),
    },
    Behaviour {
        name: "foreign_lock_id_write",
        states: "A write whose lock was stolen changes nothing, and is no error.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(foreign_lock_id_write(bench)),
    },
    Behaviour {
        name: "foreign_lock_id_release",
        states: "A release whose lock was stolen leaves the new holder's lock alone.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(foreign_lock_id_release(bench)),
    },
    Behaviour {
        name: "remove",
        states: "A session that its holder removed is gone for everybody.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(remove(bench)),
    },
    Behaviour {
        name: "remove_foreign_lock",
        states: "A removal whose lock was stolen removes nothing, and is no error.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(remove_foreign_lock(bench)),
    },
    Behaviour {
        name: "lock_outlives_holder",
        states: "A lock whose holder's server died stays until it is stolen; the data stay too.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(lock_outlives_holder(bench)),
    },
    Behaviour {
        name: "lock_lasts",
        states: "A lock lasts until it is released or stolen, however long that takes.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(lock_lasts(bench)),
    },
];

async fn take(bench: Rc<Bench>) -> Probed {
    let held = bench.held().await?;
    let text = text_of(&held.item) == "first";
    expect(text, "the session's data did not come with the lock")
}

async fn refuse(bench: Rc<Bench>) -> Probed {
    let held = bench.held().await?;
    expect_locked(&bench.a.ask(held.id).await?)?;
    expect_locked(&bench.b.ask(held.id).await?)
}

async fn refusal_tells_holder(bench: Rc<Bench>) -> Probed {
    let held = bench.held().await?;
    for got in [bench.b.ask(held.id).await?, bench.b.read(held.id).await?] {
        match got {
            GetItem::Locked { lock, .. } if lock == held.lock => {}
            GetItem::Locked { .. } => return deviates("another lock id was told"),
            other => return deviates(format!("the session was {}", said(&other))),
        }
    }
    Ok(())
}

async fn concurrent_take_one_winner(bench: Rc<Bench>) -> Probed {
    let id = bench.session().await?;
    let servers = [&bench.a, &bench.b].into_iter().cycle().take(CROWD);
    let answers = join_all(servers.map(|server| server.ask(id))).await;
    let mut winners = 0;
    for answer in answers {
        winners += usize::from(matches!(answer?, GetItem::Found(_)));
    }
    match winners {
        1 => Ok(()),
        number => deviates(format!("{number} of {CROWD} got the lock")),
    }
}

async fn read_waits(bench: Rc<Bench>) -> Probed {
    let held = bench.held().await?;
    expect_locked(&bench.b.read(held.id).await?)
}

async fn read_takes_no_lock(bench: Rc<Bench>) -> Probed {
    let id = bench.session().await?;
    expect_text(bench.a.read(id).await?, "first")?;
    bench.b.take(id).await.map(drop)
}

async fn update_releases(bench: Rc<Bench>) -> Probed {
    let mut held = bench.held().await?;
    change(&mut held, "second");
    bench.a.write_only(&held).await?;
    let next = bench.b.take(held.id).await?;
    let text = text_of(&next.item) == "second";
    expect(text, "the next holder did not find what was written")
}

async fn release_keeps_data(bench: Rc<Bench>) -> Probed {
    let mut held = bench.held().await?;
    change(&mut held, "discarded");
    bench.a.release(&held).await?;
    let next = bench.b.take(held.id).await?;
    expect(text_of(&next.item) == "first", "the data were changed")
}

async fn lock_ids_differ(bench: Rc<Bench>) -> Probed {
    let first = bench.held().await?;
    bench.a.release(&first).await?;
    let second = bench.b.take(first.id).await?;
    expect(first.lock != second.lock, "two takings had the same id")
}

async fn lock_age_grows(bench: Rc<Bench>) -> Probed {
    /// What stores keep lock ages to.
    const SECOND: Duration = Duration::from_secs(1);
    let started = clock::now();
    let held = bench.held().await?;
    let taken = clock::now();
    sleep(Duration::from_millis(2300)).await;
    let asked = clock::now();
    let GetItem::Locked { age, .. } = bench.b.ask(held.id).await? else {
        return deviates("the session was not locked");
    };
    let least = asked.since(taken).saturating_sub(SECOND);
    let most = clock::now().since(started) + SECOND;
    let told = format!("held for about 2.3 s, told as {:.1} s", age.as_secs_f64());
    expect((least..=most).contains(&age), &told)
}

async fn wait(bench: Rc<Bench>) -> Probed {
    let mut held = bench.held().await?;
    let id = held.id;
    let waiting = async {
        let module = module(&bench.b, PATIENT)?;
        let request = request();
        let acquired = module.acquire(&request, id, Access::Exclusive, TIMEOUT);
        let session = acquired
            .await
            .or_else(|error| deviates(error.to_string()))?;
        let got = clock::now();
        Ok::<_, Otherwise>((got, text_of(&session.item) == "second"))
    };
    let working = async {
        sleep(Duration::from_millis(150)).await;
        change(&mut held, "second");
        let written = clock::now();
        bench.a.write_only(&held).await?;
        Ok::<_, Otherwise>(written)
    };
    let (waited, worked) = join(waiting, working).await;
    let ((got, found), written) = (waited?, worked?);
    expect(got >= written, "it got the session while it was held")?;
    expect(found, "it did not find what was written")
}

async fn updates_add_up(bench: Rc<Bench>) -> Probed {
    let id = bench.session().await?;
    let modules = [module(&bench.a, PATIENT)?, module(&bench.b, PATIENT)?];
    let requests = modules.iter().cycle().take(CROWD);
    for counted in join_all(requests.map(|module| count_up(module, id))).await {
        counted?;
    }
    match count(&found(bench.a.read(id).await?)?) {
        count if count as usize == CROWD => Ok(()),
        count => deviates(format!("{CROWD} requests counted to {count}")),
    }
}

/// How far requests have counted in a session.
fn count(item: &Item) -> i32 {
    match item.get("count") {
        Some(Value::Int32(count)) => count,
        _ => 0,
    }
}

/// A request that counts one up in a session.
async fn count_up(module: &SessionStateModule, id: SessionId) -> Probed {
    let request = request();
    let acquired = module.acquire(&request, id, Access::Exclusive, TIMEOUT);
    let mut session = acquired
        .await
        .or_else(|error| deviates(error.to_string()))?;
    let count = count(&session.item);
    // Long enough for others to come in between, if they can.
    sleep(Duration::from_millis(2)).await;
    session.item.set("count", Value::Int32(count + 1));
    module.release(&request, &session, Ending::Success).await?;
    Ok(module.end_request(&request, id).await?)
}

async fn steal(bench: Rc<Bench>) -> Probed {
    let held = bench.held().await?;
    let stolen = bench.steal(held.id).await?;
    expect(text_of(&stolen.item) == "first", "the data were changed")
}

async fn foreign_lock_id_write(bench: Rc<Bench>) -> Probed {
    let mut late = bench.held().await?;
    let mut thief = bench.steal(late.id).await?;
    change(&mut late, "late");
    bench.a.write(&late).await?;
    expect_locked(&bench.a.ask(late.id).await?)?;
    // Seen without the thief's own write, which would hide it.
    bench.b.release(&thief).await?;
    expect_text(bench.a.read(late.id).await?, "first")?;
    thief = bench.b.take(late.id).await?;
    change(&mut thief, "second");
    bench.b.write(&thief).await?;
    bench.a.write(&late).await?;
    expect_text(bench.a.read(late.id).await?, "second")
}

async fn foreign_lock_id_release(bench: Rc<Bench>) -> Probed {
    let late = bench.held().await?;
    bench.steal(late.id).await?;
    bench.a.release(&late).await?;
    expect_locked(&bench.a.ask(late.id).await?)
}

async fn remove(bench: Rc<Bench>) -> Probed {
    let held = bench.held().await?;
    bench.a.abandon(&held).await?;
    expect_missing(&bench.a.read(held.id).await?)?;
    expect_missing(&bench.b.ask(held.id).await?)
}

async fn remove_foreign_lock(bench: Rc<Bench>) -> Probed {
    let late = bench.held().await?;
    let thief = bench.steal(late.id).await?;
    bench.a.abandon(&late).await?;
    expect_locked(&bench.a.ask(late.id).await?)?;
    bench.b.release(&thief).await?;
    expect_text(bench.a.read(late.id).await?, "first")
}

async fn lock_outlives_holder(bench: Rc<Bench>) -> Probed {
    let crashing = bench.site.open().await?;
    let id = bench.site.id();
    crashing.store_new(id, &item("first")).await?;
    crashing.take(id).await?;
    crashing.crash();
    let stolen = bench.steal(id).await?;
    expect(text_of(&stolen.item) == "first", "the data were changed")
}

async fn lock_lasts(bench: Rc<Bench>) -> Probed {
    const EXECUTION_TIMEOUT: Duration = Duration::from_secs(1);
    let server = bench.site.open_with(EXECUTION_TIMEOUT).await?;
    let id = bench.site.id();
    let stored = clock::now();
    server.store_new(id, &item("first")).await?;
    server.take(id).await?;
    sleep(EXECUTION_TIMEOUT * 5 / 2).await;
    let got = server.ask(id).await?;
    before(stored + bench.site.life())?;
    match got {
        GetItem::Locked { .. } => Ok(()),
        other => deviates(format!(
            "after the execution timeout the session was {}, and nobody had stolen it",
            said(&other)
        )),
    }
}
