//! Empty sessions that make concurrent first requests queue up (`CreateUninitializedItem`).

use super::{Behaviour, Needs};
use crate::conformance::probe::{
    Bench, Probed, change, deviates, expect, expect_locked, expect_text, text_of,
};
use crate::conformance::subject::said;
use crate::session::{Actions, GetItem};
use std::rc::Rc;

pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "uninitialized_marks",
        states: "Who first gets an uninitialised session is told to initialise it.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(uninitialized_marks(bench)),
    },
    Behaviour {
        name: "uninitialized_locks",
        states: "An uninitialised session has a lock as any other.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(uninitialized_locks(bench)),
    },
    Behaviour {
        name: "uninitialized_marks_once",
        states: "Only the first to get it is told so, whether it writes or not.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(uninitialized_marks_once(bench)),
    },
    Behaviour {
        name: "uninitialized_written",
        states: "Once it was written, it is a session as any other.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(uninitialized_written(bench)),
    },
    Behaviour {
        name: "uninitialized_never_overwrites",
        states: "Storing an uninitialised session changes nothing where there is a session.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(uninitialized_never_overwrites(bench)),
    },
];

async fn uninitialized_marks(bench: Rc<Bench>) -> Probed {
    let id = bench.site.id();
    bench.a.create_uninitialized(id).await?;
    let held = bench.b.take(id).await?;
    let told = held.actions == Actions::InitializeItem;
    expect(told, "it was not told to initialise the session")
}

async fn uninitialized_locks(bench: Rc<Bench>) -> Probed {
    let id = bench.site.id();
    bench.a.create_uninitialized(id).await?;
    bench.a.take(id).await?;
    expect_locked(&bench.b.ask(id).await?)
}

async fn uninitialized_marks_once(bench: Rc<Bench>) -> Probed {
    let id = bench.site.id();
    bench.a.create_uninitialized(id).await?;
    let first = bench.a.take(id).await?;
    bench.a.release(&first).await?;
    let second = bench.b.take(id).await?;
    let quiet = second.actions == Actions::None;
    expect(quiet, "the second was told to initialise it again")
}

async fn uninitialized_written(bench: Rc<Bench>) -> Probed {
    let id = bench.site.id();
    bench.a.create_uninitialized(id).await?;
    let mut first = bench.a.take(id).await?;
    change(&mut first, "first");
    bench.a.write(&first).await?;
    match bench.b.read(id).await? {
        GetItem::Found(found) if found.actions == Actions::InitializeItem => {
            deviates("the next was told to initialise it again")
        }
        got => expect_text(got, "first"),
    }
}

async fn uninitialized_never_overwrites(bench: Rc<Bench>) -> Probed {
    let id = bench.session().await?;
    bench.b.create_uninitialized(id).await?;
    match bench.a.read(id).await? {
        GetItem::Found(found) if found.actions == Actions::InitializeItem => {
            match text_of(&found.item).as_str() {
                "first" => deviates("the session was marked uninitialised"),
                _ => deviates("the session's data were gone"),
            }
        }
        GetItem::Found(found) => expect(text_of(&found.item) == "first", "its data were changed"),
        other => deviates(format!("the session was {}", said(&other))),
    }
}
