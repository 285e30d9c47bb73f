//! What is stored comes back, and only that.

use super::{Behaviour, Needs};
use crate::conformance::probe::{
    Bench, Otherwise, Probed, deviates, expect, expect_missing, expect_text, found, item,
};
use crate::conformance::subject::{Held, TIMEOUT};
use crate::session::{Item, Minutes, RequestContext, Value};
use std::rc::Rc;

/// Length of a large text: more than any packet, page or inline row holds.
const LARGE: usize = 300_000;
/// Values of a session with many: more than Lua unpacks at once (facts §1.2).
const MANY: usize = 5000;

pub const BEHAVIOURS: &[Behaviour] = &[
    Behaviour {
        name: "unknown_session_missing",
        states: "A session that nobody stored is missing, to a read and to a get-exclusive.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(unknown_session_missing(bench)),
    },
    Behaviour {
        name: "missing_stays_missing",
        states: "Operations on a session that is not there are no errors and create none.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(missing_stays_missing(bench)),
    },
    Behaviour {
        name: "values_round_trip",
        states: "Values of every type come back as they were stored, each under its name.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(values_round_trip(bench)),
    },
    Behaviour {
        name: "binary_values_round_trip",
        states: "Bytes of a type that nobody here knows come back as they were stored.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(binary_values_round_trip(bench)),
    },
    Behaviour {
        name: "large_item",
        states: "A session of 300 kB comes back whole.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(large_item(bench)),
    },
    Behaviour {
        name: "many_values",
        states: "A session of 5000 values comes back whole.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(many_values(bench)),
    },
    Behaviour {
        name: "empty_session_survives",
        states: "A session whose last value was removed is there for the next request.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(empty_session_survives(bench)),
    },
    Behaviour {
        name: "removed_value_stays_removed",
        states: "A value that one request removed is gone for the next; the others are not.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(removed_value_stays_removed(bench)),
    },
    Behaviour {
        name: "timeout_change",
        states: "A timeout that one request set is the next one's.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(timeout_change(bench)),
    },
    Behaviour {
        name: "shared_by_servers",
        states: "What one server stored, every other one finds.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(shared_by_servers(bench)),
    },
    Behaviour {
        name: "survives_crash",
        states: "A session outlives the server that stored it.",
        needs: Needs::Servers,
        probe: |bench| Box::pin(survives_crash(bench)),
    },
];

async fn unknown_session_missing(bench: Rc<Bench>) -> Probed {
    let id = bench.site.id();
    expect_missing(&bench.a.read(id).await?)?;
    expect_missing(&bench.a.ask(id).await?)?;
    // Nor does asking leave a lock.
    expect_missing(&bench.b.ask(id).await?)
}

async fn missing_stays_missing(bench: Rc<Bench>) -> Probed {
    let id = bench.site.id();
    // A lock id as the provider makes them, of a session that then goes.
    let held = bench.held().await?;
    bench.a.abandon(&held).await?;
    let Held { item, lock, .. } = &held;
    let store = bench.a.store()?;
    for id in [id, held.id] {
        let request = RequestContext::default();
        store.reset_item_timeout(&request, id).await?;
        let write = store.set_and_release_item_exclusive(&request, id, item, Some(lock), false);
        write.await?;
        store.release_item_exclusive(&request, id, lock).await?;
        store.remove_item(&request, id, Some(lock), item).await?;
        store.end_request(&request).await?;
        expect_missing(&bench.b.read(id).await?)?;
    }
    Ok(())
}

/// Stores an item and reads it on another server.
async fn stored_and_read(bench: &Bench, item: &Item) -> Result<Item, Otherwise> {
    let id = bench.site.id();
    bench.a.store_new(id, item).await?;
    found(bench.b.read(id).await?)
}

/// Two items hold the same values under the same names, in any order.
fn expect_same_values(stored: &Item, read: &Item) -> Probed {
    for (name, value) in stored.values() {
        match read.get(name) {
            Some(same) if same == value => {}
            Some(_) => return deviates(format!("value `{name}` came back changed")),
            None => return deviates(format!("value `{name}` did not come back")),
        }
    }
    let (stored, read) = (stored.len(), read.len());
    expect(stored == read, "there were more values than were stored")
}

async fn values_round_trip(bench: Rc<Bench>) -> Probed {
    let mut item = Item::new(TIMEOUT);
    let values = [
        (
            "text",
            Value::Text("Gr\u{fc}\u{df}e, \u{4f60}\u{597d} \u{1f600}\r\n\0'\"".into()),
        ),
        ("no text", Value::Text("".into())),
        ("number", Value::Int32(i32::MIN)),
        ("long number", Value::Int64(i64::MAX)),
        ("fraction", Value::Double(-0.1)),
        ("truth", Value::Boolean(true)),
        ("nothing", Value::Null),
    ];
    for (name, value) in values {
        item.set(name, value);
    }
    expect_same_values(&item, &stored_and_read(&bench, &item).await?)
}

async fn binary_values_round_trip(bench: Rc<Bench>) -> Probed {
    /// Type byte of an object in a serialisation of its own (facts §4.3).
    const OBJECT: u8 = 20;
    let bytes = [OBJECT].into_iter().chain(0..=u8::MAX).cycle().take(4096);
    let mut item = Item::new(TIMEOUT);
    item.set("object", Value::Serialized(Rc::new(bytes.collect())));
    expect_same_values(&item, &stored_and_read(&bench, &item).await?)
}

async fn large_item(bench: Rc<Bench>) -> Probed {
    let text: String = ('a'..='z').cycle().take(LARGE).collect();
    let id = bench.site.id();
    bench.a.store_new(id, &item(&text)).await?;
    let read = found(bench.b.read(id).await?)?;
    expect_same_values(&item(&text), &read)
}

async fn many_values(bench: Rc<Bench>) -> Probed {
    let names: Vec<_> = (0..MANY).map(|number| format!("value {number}")).collect();
    let value = |name| (name, Value::Int32(1));
    let item = Item::from_values(
        TIMEOUT,
        names.iter().map(String::as_str).map(value).collect(),
    );
    let read = stored_and_read(&bench, &item).await?;
    expect(read.len() == MANY, "values were lost")
}

async fn empty_session_survives(bench: Rc<Bench>) -> Probed {
    let mut held = bench.held().await?;
    held.item.remove("data");
    bench.a.write(&held).await?;
    let read = found(bench.b.read(held.id).await?)?;
    expect(read.is_empty(), "the removed value was still there")
}

async fn removed_value_stays_removed(bench: Rc<Bench>) -> Probed {
    let id = bench.site.id();
    let mut stored = item("stays");
    stored.set("other", Value::Int32(1));
    bench.a.store_new(id, &stored).await?;
    let mut held = bench.a.take(id).await?;
    held.item.remove("other");
    bench.a.write(&held).await?;
    let got = bench.b.read(id).await?;
    let gone = found(got.clone())?.get("other").is_none();
    expect(gone, "the removed value was still there")?;
    expect_text(got, "stays")
}

async fn timeout_change(bench: Rc<Bench>) -> Probed {
    const LONGER: Minutes = Minutes(TIMEOUT.0 * 2);
    let mut held = bench.held().await?;
    held.item.set_timeout(LONGER);
    bench.a.write(&held).await?;
    let read = found(bench.b.read(held.id).await?)?.timeout();
    expect(read == LONGER, &format!("the timeout was {} min", read.0))
}

async fn shared_by_servers(bench: Rc<Bench>) -> Probed {
    let id = bench.session().await?;
    let other = bench.site.open().await?;
    expect_text(other.read(id).await?, "first")
}

async fn survives_crash(bench: Rc<Bench>) -> Probed {
    let id = bench.site.id();
    let crashing = bench.site.open().await?;
    crashing.store_new(id, &item("first")).await?;
    crashing.crash();
    expect_text(bench.a.read(id).await?, "first")
}
