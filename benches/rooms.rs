//! What the pieces on the way of every page request cost, by criterion.
//!
//! For watching a change: `cargo bench --bench rooms -- --save-baseline before`, then
//! `--baseline before`. Claims of speed are in `side_by_side`.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sessionbench::clock;
use sessionbench::engine::{Clock, Interrupt, Progress, Silent, play_all};
use sessionbench::measure::Values;
use sessionbench::scenario;
use sessionbench::session::value::TextPool;
use sessionbench::session::{Item, Minutes, SessionId, Stamp};
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

/// A session with so many bytes of payload.
fn session(payload: u32) -> Item {
    let mut item = Item::new(Minutes(20));
    let text = Rc::new(TextPool::new(1, 0.5));
    Stamp::begin(7, 1)
        .updated(1, 1)
        .write(&mut item, &text, payload);
    item
}

/// The item on its way to a store and back.
fn items(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("item");
    for payload in [1 << 10, 20 << 10] {
        let item = session(payload);
        let bytes = item.encode_items();
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("encode {payload} B"), |bencher| {
            bencher.iter(|| black_box(&item).encode_items());
        });
        group.bench_function(format!("decode {payload} B"), |bencher| {
            bencher.iter(|| Item::decode_items(black_box(&bytes), Minutes(20)));
        });
        group.bench_function(format!("deflate {payload} B"), |bencher| {
            bencher.iter(|| black_box(&item).encode_compressed());
        });
    }
    group.finish();
}

/// Ids, stamps and recorded values.
fn small(criterion: &mut Criterion) {
    let id = SessionId::private(1 << 77);
    criterion.bench_function("session id as text", |bencher| {
        bencher.iter(|| black_box(id).to_string());
    });
    let item = session(1024).stored();
    criterion.bench_function("stamp an item", |bencher| {
        let (stamp, text) = (Stamp::begin(7, 1), Rc::new(TextPool::new(1, 0.5)));
        bencher.iter_batched_ref(
            || item.clone(),
            |item| stamp.write(item, &text, 1024),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("record a value", |bencher| {
        let mut values = Values::default();
        let mut value = 1;
        bencher.iter(|| {
            value = value * 3 % 1_000_003;
            values.record(black_box(value));
        });
    });
}

/// One sleep of a task among many that sleep, on the virtual clock.
fn sleeps(criterion: &mut Criterion) {
    const ROUNDS: u64 = 20;
    let mut group = criterion.benchmark_group("virtual sleep");
    for tasks in [1_000, 100_000u64] {
        group
            .sample_size(10)
            .throughput(Throughput::Elements(tasks * ROUNDS));
        group.bench_function(format!("{tasks} tasks"), |bencher| {
            bencher.iter(|| {
                clock::run_virtual(async move {
                    let tasks: Vec<_> = (0..tasks)
                        .map(|task| {
                            clock::spawn(async move {
                                for round in 0..ROUNDS {
                                    let nanos = (task * 7919 + round * 104_729) % 2_000_000_000;
                                    clock::sleep(Duration::from_nanos(nanos)).await;
                                }
                            })
                        })
                        .collect();
                    for task in tasks {
                        task.await;
                    }
                })
            });
        });
    }
    group.finish();
}

/// A whole run in virtual time: ten minutes of a thousand contacts, about 20,000 page requests.
fn runs(criterion: &mut Criterion) {
    const TEXT: &str = "
name: run
time: { duration: 10min }
contacts: { population: { size: 1000, pause: 30s, spread: 30s } }
visits: { pages: 100000 }
clusters: { web: { private: inproc, shared: inproc } }
providers: { inproc: { inproc: {} } }
";
    let Ok(loaded) = scenario::parse("run", TEXT) else {
        return;
    };
    let scenario = Rc::new(loaded.scenario);
    let progress: Rc<dyn Progress> = Rc::new(Silent);
    let mut group = criterion.benchmark_group("virtual run");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(20_000));
    group.bench_function("1,000 contacts, 10 min", |bencher| {
        bencher.iter(|| {
            play_all(
                &scenario,
                TEXT,
                Clock::Virtual,
                &progress,
                &Interrupt::default(),
            )
        });
    });
    group.finish();
}

criterion_group!(benches, items, small, sleeps, runs);
criterion_main!(benches);
