//! How long requests wait for a lock: one strip per provider, all on the same axes.
//!
//! The surprising fact: with a poll every 500 ms waits come in stairs. Whoever finds a session
//! locked waits for a whole number of polls, however short the lock was held (facts §2.2).

use super::canvas::{Canvas, DrawError, Drawn, MARGIN, Panel, Side, TEXT, fitted, svg, text_width};
use super::scale::{Scale, Tick};
use super::{Figure, Ink, Width, figure};
use crate::report::format;
use crate::report::merge;
use crate::result::Result;
use hdrhistogram::Histogram;

/// Bins to one poll: 25 ms each for a poll every 500 ms.
const BINS_PER_POLL: u64 = 20;
/// Polls that are drawn at most; what waited longer is told in words.
const MOST_POLLS: u64 = 6;
/// The least share that is written beside its bar.
const LEAST_TOLD: f64 = 0.001;
const STRIP: f64 = 52.0;
const AXIS: f64 = 30.0;

struct Strip<'a> {
    name: &'a str,
    ink: Ink,
    waits: Histogram<u64>,
    /// Share of all waits in each bin.
    bins: Vec<f64>,
}

/// Draws the waits for one store kind's locks; `None` where none was acquired.
pub(in crate::report) fn wait(
    result: &Result,
    kind: &str,
) -> std::result::Result<Option<Figure>, DrawError> {
    let waits: Vec<(usize, &str, Histogram<u64>)> = result
        .runs
        .iter()
        .enumerate()
        .filter_map(|(index, run)| {
            let locks = merge::locks(run, kind)?;
            Some((
                index,
                run.name.as_str(),
                merge::histogram(&locks.acquire_wait)?,
            ))
        })
        .collect();
    let Some(longest) = waits.iter().map(|(.., waits)| waits.max()).max() else {
        return Ok(None);
    };
    let poll = match result.scenario.poll_interval_ns {
        0 => longest.max(1),
        poll => poll,
    };
    let bin = (poll / BINS_PER_POLL).max(1);
    let until = longest.div_ceil(poll).clamp(1, MOST_POLLS) * poll + 2 * bin;
    let strips: Vec<Strip<'_>> = waits
        .into_iter()
        .map(|(index, name, waits)| Strip {
            name,
            ink: Ink::series(index),
            bins: bins(&waits, bin, until),
            waits,
        })
        .collect();
    let description: Vec<String> = strips
        .iter()
        .map(|strip| format!("{}: {}", strip.name, in_words(strip, bin, until)))
        .collect();
    figure(|width| {
        let height = strips.len() as f64 * (STRIP + title_height(width)) + AXIS;
        svg(
            &format!("Wait for the lock of a {kind} session"),
            &description.join("; "),
            (width.units(), height),
            |canvas| draw(canvas, width, &strips, poll, bin, until),
        )
    })
    .map(Some)
}

fn bins(waits: &Histogram<u64>, bin: u64, until: u64) -> Vec<f64> {
    let mut bins = vec![0.0; (until / bin) as usize];
    for step in waits.iter_recorded() {
        if let Some(share) = bins.get_mut((step.value_iterated_to() / bin) as usize) {
            *share += step.count_since_last_iteration() as f64 / waits.len() as f64;
        }
    }
    bins
}

/// What the bars cannot show: how many did not wait at all, and how many waited for very long.
fn in_words(strip: &Strip<'_>, bin: u64, until: u64) -> String {
    let all = strip.waits.len();
    let at_once = strip.waits.count_between(0, bin - 1);
    let beyond = all - strip.waits.count_between(0, until).min(all);
    let mut words = format!(
        "{} within {}, p99 {}",
        format::percent(at_once, all),
        format::duration(bin),
        format::duration(strip.waits.value_at_quantile(0.99))
    );
    if beyond > 0 {
        words.push_str(&format!(
            ", {} beyond this axis",
            format::percent(beyond, all)
        ));
    }
    words
}

/// Room above a strip: for one line of text at a desk, for two on a phone.
fn title_height(width: Width) -> f64 {
    match width {
        Width::Wide => 30.0,
        Width::Narrow => 48.0,
    }
}

/// Whether a bin is the tallest within a poll around it, so that its number is worth its room.
fn stands_out(bins: &[f64], number: usize) -> bool {
    let around = BINS_PER_POLL as usize / 2;
    let from = number.saturating_sub(around).max(1);
    let until = (number + around).min(bins.len() - 1);
    let share = bins[number];
    bins[from..number].iter().all(|other| *other < share)
        && bins[number + 1..=until].iter().all(|other| *other <= share)
}

fn draw(
    canvas: &Canvas<'_>,
    width: Width,
    strips: &[Strip<'_>],
    poll: u64,
    bin: u64,
    until: u64,
) -> Drawn {
    // The first bin holds who did not wait: it would dwarf the others.
    let tallest = strips
        .iter()
        .flat_map(|strip| strip.bins.iter().skip(1))
        .fold(0.001_f64, |a, b| a.max(*b));
    let polls: Vec<Tick> = (0..=until / poll)
        .map(|index| Tick {
            value: (index * poll) as f64,
            label: format::tick(index * poll),
        })
        .collect();
    for (index, strip) in strips.iter().enumerate() {
        let top = index as f64 * (STRIP + title_height(width)) + title_height(width);
        let panel = Panel {
            left: MARGIN,
            right: width.units() - MARGIN,
            top,
            bottom: top + STRIP,
            x: Scale::Linear(0.0, until as f64),
            y: Scale::Linear(0.0, tallest),
        };
        panel.guides(canvas, &polls)?;
        for (number, share) in strip.bins.iter().enumerate().skip(1) {
            if *share == 0.0 {
                continue;
            }
            let (left, y) = panel.at((number as u64 * bin) as f64, *share);
            let (right, ground) = panel.at(((number as u64 + 1) * bin) as f64, 0.0);
            // A bar that is there is seen.
            let y = y.min(ground - 1.5);
            canvas.rectangle((left + 0.5, y), (right - 0.5, ground), strip.ink, 1.0)?;
            let label = format!("{:.1} %", share * 100.0);
            let fits = right + 4.0 + text_width(&label, TEXT) < width.units();
            if *share >= LEAST_TOLD && fits && stands_out(&strip.bins, number) {
                let beside = (right + 4.0, y.min(ground - 7.0).max(panel.top + 7.0));
                canvas.text(beside, &label, Ink::Muted, TEXT, Side::Start)?;
            }
        }
        let words = in_words(strip, bin, until);
        let name = top - title_height(width) + 19.0;
        let (place, side) = match width {
            Width::Wide => ((panel.right, name), Side::End),
            Width::Narrow => ((panel.left, name + TEXT + 4.0), Side::Start),
        };
        canvas.text(place, &words, Ink::Muted, TEXT, side)?;
        let room = match width {
            Width::Wide => panel.right - panel.left - text_width(&words, TEXT) - 10.0,
            Width::Narrow => panel.right - panel.left,
        };
        let label = fitted(strip.name, room);
        canvas.text((panel.left, name), &label, strip.ink, TEXT, Side::Start)?;
        if index + 1 == strips.len() {
            panel.x_axis(canvas, &polls)?;
        } else {
            let ground = panel.bottom;
            canvas.line(
                &[(panel.left, ground), (panel.right, ground)],
                Ink::Rule,
                1.0,
                1.0,
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_neighbouring_bars_the_tallest_has_the_number() {
        let bins = [0.9, 0.1, 0.4, 0.2, 0.0];
        let labelled: Vec<usize> = (1..5).filter(|number| stands_out(&bins, *number)).collect();
        assert_eq!(labelled, [2]);
    }

    #[test]
    fn a_bin_holds_its_share_of_all_waits() {
        let mut waits = Histogram::new(3).unwrap();
        for wait in [1_000, 2_000, 500_000_000, 501_000_000] {
            waits.record(wait).unwrap();
        }
        let bins = bins(&waits, 25_000_000, 1_000_000_000);
        assert_eq!((bins.len(), bins[0], bins[20]), (40, 0.5, 0.5));
    }
}
