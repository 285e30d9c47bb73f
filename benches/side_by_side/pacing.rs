//! Pacing: how late requests of an open-loop schedule are sent.

use sessionbench::clock::{self, Instant};
use sessionbench::measure::Values;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Arrivals per second.
const RATE: u64 = 5_000;
/// Arrivals of one measurement.
const ARRIVALS: u64 = 25_000;

/// Measures and prints.
pub fn measure() {
    println!("Pacing, {RATE} arrivals/s");
    report("  this clock        ", &mut schedule(false));
    report("  tokio's own timer ", &mut schedule(true));
    println!("  limits: p50 60 µs, p99 250 µs");
}

fn report(name: &str, lag: &mut Values) {
    let mut at = |quantile| lag.histogram().value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "{name} lag p50 {:7.1} µs   p99 {:7.1} µs   max {:7.1} µs",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// Plays a schedule and records how late each arrival was.
fn schedule(tokio: bool) -> Values {
    let lag = Rc::new(RefCell::new(Values::default()));
    let recorded = Rc::clone(&lag);
    let played = clock::run_real(async move {
        let started = clock::now() + Duration::from_millis(20);
        for arrival in 0..ARRIVALS {
            let intended = started + Duration::from_nanos(arrival * 1_000_000_000 / RATE);
            wait(intended, tokio).await;
            let recorded = Rc::clone(&recorded);
            // As in a run: every contact is a task of its own.
            clock::spawn_detached(async move {
                recorded
                    .borrow_mut()
                    .record_duration(clock::now().since(intended));
            });
        }
        clock::sleep(Duration::from_millis(50)).await;
    });
    if played.is_err() {
        println!("  the clock cannot run here");
    }
    lag.take()
}

#[allow(
    clippy::disallowed_methods,
    reason = "this is what the clock is compared with"
)]
async fn wait(until: Instant, tokio: bool) {
    let left = until.since(clock::now());
    if tokio && !left.is_zero() {
        tokio::time::sleep(left).await;
    } else {
        clock::sleep_until(until).await;
    }
}
