//! Claims of speed, each measured side by side with what it is compared to, in one run.
//!
//! `scripts/bench` runs this. It prints ratios and figures with their limits; it is no test and
//! fails nothing, since machines differ and are noisy. Every server that it loads is its own.

mod deadline;
mod in_process;
mod pacing;
mod redis;

fn main() {
    // `cargo bench` passes flags that are meant for criterion.
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with('-'))
        .collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    if wanted("in_process") {
        in_process::measure();
    }
    if wanted("pacing") {
        pacing::measure();
    }
    if wanted("redis") {
        redis::measure();
    }
    if wanted("deadline") {
        deadline::measure();
    }
}
