//! What a report adds up itself: distributions and locks over several CD servers.
//!
//! The result keeps each CD server's locks apart; people first ask about all of them together.

use crate::result::{Distribution, Locks, Run};
use hdrhistogram::Histogram;

/// The histogram of a distribution; `None` without values.
///
/// A result is read through [`super::read`], which refuses damaged histograms, or comes straight
/// from a run, whose histograms were encoded a moment ago: here a damaged one has no values.
#[must_use]
pub fn histogram(distribution: &Distribution) -> Option<Histogram<u64>> {
    distribution.histogram().ok().flatten()
}

/// One distribution of all values.
#[must_use]
pub fn distributions<'a>(parts: impl IntoIterator<Item = &'a Distribution>) -> Distribution {
    let mut histograms = parts.into_iter().filter_map(histogram);
    let Some(mut sum) = histograms.next() else {
        return Distribution::default();
    };
    sum.auto(true);
    for histogram in histograms {
        // Resizes by itself up to the whole range of u64: every value fits.
        let _ = sum.add(&histogram);
    }
    Distribution::of(&sum)
}

/// The locks of all CD servers of a run for one store kind, `private` or `shared`; `None` where
/// nothing was stored in that kind.
#[must_use]
pub fn locks(run: &Run, kind: &str) -> Option<Locks> {
    let parts: Vec<&Locks> = run
        .stores
        .iter()
        .filter(|store| store.kind == kind)
        .map(|store| &store.locks)
        .collect();
    if parts.is_empty() {
        return None;
    }
    let merged = |figure: fn(&Locks) -> &Distribution| {
        distributions(parts.iter().map(|locks| figure(locks)))
    };
    let total = |figure: fn(&Locks) -> u64| parts.iter().map(|locks| figure(locks)).sum();
    Some(Locks {
        acquire_wait: merged(|locks| &locks.acquire_wait),
        polls: merged(|locks| &locks.polls),
        wasted_polls: total(|locks| locks.wasted_polls),
        hold: merged(|locks| &locks.hold),
        hand_over: merged(|locks| &locks.hand_over),
        contended: total(|locks| locks.contended),
        steals: total(|locks| locks.steals),
        queue_limit_refusals: total(|locks| locks.queue_limit_refusals),
        waited_too_long: total(|locks| locks.waited_too_long),
        overtakes: total(|locks| locks.overtakes),
        longest_queue: parts
            .iter()
            .map(|locks| locks.longest_queue)
            .max()
            .unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::distribution;

    #[test]
    fn a_merged_distribution_has_the_values_of_all() {
        let merged = distributions([
            &distribution(&[1, 2, 3]),
            &distribution(&[4_000_000_000_000]),
        ]);
        assert_eq!((merged.count, merged.min), (4, 1));
        assert!(merged.max >= 4_000_000_000_000);
    }

    #[test]
    fn nothing_merged_is_nothing() {
        assert_eq!(
            distributions([&Distribution::default()]),
            Distribution::default()
        );
    }
}
