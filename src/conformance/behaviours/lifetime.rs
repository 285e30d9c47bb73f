//! How long a session lives, and what keeps it alive.

use super::{Behaviour, Needs};
use crate::clock::{self, Instant, sleep_until};
use crate::conformance::probe::{
    Bench, Otherwise, Probed, before, deviates, expect_locked, expect_missing, item,
};
use crate::conformance::subject::{Held, TIMEOUT};
use crate::session::{GetItem, Minutes, SessionId};
use std::rc::Rc;
use std::time::Duration;

pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "slide_get",
        states: "A read keeps the session alive for its whole timeout.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(slide_get(bench)),
    },
    Behaviour {
        name: "slide_get_exclusive",
        states: "A get-exclusive keeps the session alive.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(slide_get_exclusive(bench)),
    },
    Behaviour {
        name: "slide_get_locked",
        states: "A get that is refused keeps the session alive.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(slide_get_locked(bench)),
    },
    Behaviour {
        name: "slide_update",
        states: "An update keeps the session alive.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(slide_update(bench)),
    },
    Behaviour {
        name: "slide_release",
        states: "A release keeps the session alive.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(slide_release(bench)),
    },
    Behaviour {
        name: "slide_reset",
        states: "Resetting the timeout keeps the session alive.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(slide_reset(bench)),
    },
    Behaviour {
        name: "slide_a_little",
        states: "A get keeps the session alive however soon after the last one it comes.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(slide_a_little(bench)),
    },
    Behaviour {
        name: "timeout_change_prolongs",
        states: "A session whose timeout was raised lives that long, and does not end before.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(timeout_change_prolongs(bench)),
    },
    Behaviour {
        name: "expires",
        states: "A session that nobody used for its timeout is gone soon after.",
        needs: Needs::ShortLives,
        probe: |bench| Box::pin(expires(bench)),
    },
    Behaviour {
        name: "resurrection",
        states: "A session that nobody used for its timeout is not served, even if its end is late.",
        needs: Needs::SiteOfItsOwn,
        probe: |bench| Box::pin(resurrection(bench)),
    },
];

/// When a session that was not kept alive has been noticed, and one that was is still alive.
struct Checks {
    /// Ends up to here mean that it was not kept alive.
    ended_by: Instant,
    /// Here it is looked for.
    look: Instant,
}

impl Checks {
    fn after(used: Instant, bench: &Bench) -> Self {
        let noticing = bench.noticing().min(Duration::from_millis(2500));
        let ended_by = used + bench.site.life() + noticing;
        Self {
            ended_by,
            look: ended_by + Duration::from_millis(500),
        }
    }

    /// A session must be there now, and not have ended.
    async fn pass(&self, bench: &Bench, id: SessionId, alive_until: Instant) -> Probed {
        sleep_until(self.look).await;
        let got = bench.b.read(id).await?;
        before(alive_until)?;
        if let GetItem::Missing = got {
            return deviates("the session was gone");
        }
        let Ok(ends) = bench.ends() else {
            return Ok(());
        };
        match ends.of(id).first() {
            Some(end) if end.at <= self.ended_by => deviates("the session had ended"),
            _ => Ok(()),
        }
    }
}

/// Whether a verb keeps a session alive: used once, late in its life, it must take the session past
/// the end of that life.
async fn slides<P>(
    bench: &Bench,
    prepare: impl AsyncFnOnce(SessionId) -> Result<P, Otherwise>,
    verb: impl AsyncFnOnce(SessionId, P) -> Probed,
) -> Probed {
    let life = bench.site.life();
    let born = clock::now();
    let id = bench.session().await?;
    let prepared = bench.unless_outlived(born, prepare(id).await)?;
    let ready = clock::now();
    sleep_until(ready + life * 7 / 10).await;
    let used = clock::now();
    bench.unless_outlived(born, verb(id, prepared).await)?;
    // In time also for a design that ends sessions a minute early.
    before(born + life * 4 / 5)?;
    Checks::after(ready, bench)
        .pass(bench, id, used + life)
        .await
}

async fn nothing(_: SessionId) -> Result<(), Otherwise> {
    Ok(())
}

async fn slide_get(bench: Rc<Bench>) -> Probed {
    slides(&bench, nothing, async |id, ()| {
        bench.b.read(id).await.map(drop)
    })
    .await
}

async fn slide_get_exclusive(bench: Rc<Bench>) -> Probed {
    slides(&bench, nothing, async |id, ()| {
        bench.b.ask(id).await.map(drop)
    })
    .await
}

async fn slide_get_locked(bench: Rc<Bench>) -> Probed {
    let taken = async |id| bench.a.take(id).await;
    slides(&bench, taken, async |id, _: Held| {
        expect_locked(&bench.b.ask(id).await?)
    })
    .await
}

async fn slide_update(bench: Rc<Bench>) -> Probed {
    let taken = async |id| bench.a.take(id).await;
    slides(&bench, taken, async |_, held: Held| {
        bench.a.write_only(&held).await
    })
    .await
}

async fn slide_release(bench: Rc<Bench>) -> Probed {
    let taken = async |id| bench.a.take(id).await;
    slides(&bench, taken, async |_, held: Held| {
        bench.a.release(&held).await
    })
    .await
}

async fn slide_reset(bench: Rc<Bench>) -> Probed {
    slides(&bench, nothing, async |id, ()| bench.b.reset(id).await).await
}

async fn slide_a_little(bench: Rc<Bench>) -> Probed {
    let life = bench.site.life();
    let id = bench.session().await?;
    let stored = clock::now();
    sleep_until(stored + Duration::from_millis(800)).await;
    let used = clock::now();
    bench.a.read(id).await?;
    before(stored + Duration::from_secs(1))?;
    sleep_until(stored + life + Duration::from_millis(300)).await;
    let got = bench.a.read(id).await?;
    before(used + life)?;
    match got {
        GetItem::Missing => deviates("a get 0.8 s after the last one did not count"),
        _ => Ok(()),
    }
}

async fn timeout_change_prolongs(bench: Rc<Bench>) -> Probed {
    let life = bench.site.life();
    let mut held = bench.held().await?;
    held.item.set_timeout(Minutes(TIMEOUT.0 * 2));
    let changing = clock::now();
    bench.a.write(&held).await?;
    let checks = Checks::after(clock::now(), &bench);
    checks.pass(&bench, held.id, changing + life * 2).await
}

async fn expires(bench: Rc<Bench>) -> Probed {
    let id = bench.session().await?;
    let checks = Checks::after(clock::now(), &bench);
    let purges = bench.purges();
    sleep_until(checks.look).await;
    expect_missing(&bench.b.read(id).await?)?;
    // Purges come every 30 s, which is not soon.
    match bench.purges() == purges {
        true => Ok(()),
        false => Err(Otherwise::TooSlow),
    }
}

async fn resurrection(bench: Rc<Bench>) -> Probed {
    let id = bench.site.id();
    bench.a.store_new(id, &item("first")).await?;
    sleep_until(clock::now() + bench.site.life() + Duration::from_secs(1)).await;
    expect_missing(&bench.b.read(id).await?)
}
