//! How late session ends come, all providers on one axis.
//!
//! Each curve is the share of sessions that came due and had ended by then. What a curve lacks to
//! 100 % never ended; what it has at the left edge ended early. The surprising fact: a provider
//! that raises no session end is drawn too, flat on the ground.

use super::canvas::{Canvas, DrawError, Drawn, EndLabel, MARGIN, Panel, end_labels, fitted, svg};
use super::scale::{self, Scale};
use super::{Figure, Ink, Width, figure};
use crate::report::format;
use crate::report::merge;
use crate::result::{Result, SessionEnds};

const HEIGHT: f64 = 340.0;

/// One run's curve.
struct Curve<'a> {
    name: &'a str,
    ink: Ink,
    /// Sessions that came due.
    due: u64,
    /// Of those, ended early.
    early: u64,
    /// Lateness in nanoseconds, and how many sessions had ended by then.
    ended: Vec<(u64, u64)>,
}

impl<'a> Curve<'a> {
    fn of(name: &'a str, index: usize, ends: &SessionEnds) -> Option<Self> {
        let early = ends.earliness.count;
        let due = ends.lateness.count + early + ends.missed;
        let mut so_far = early;
        let ended = merge::histogram(&ends.lateness)
            .map(|lateness| {
                lateness
                    .iter_recorded()
                    .map(|step| {
                        so_far += step.count_since_last_iteration();
                        (step.value_iterated_to(), so_far)
                    })
                    .collect()
            })
            .unwrap_or_default();
        (due > 0).then_some(Self {
            name,
            ink: Ink::series(index),
            due,
            early,
            ended,
        })
    }

    /// The share that has ended in the end.
    fn reaches(&self) -> f64 {
        self.ended.last().map_or(self.early, |last| last.1) as f64 / self.due as f64
    }

    fn label(&self) -> String {
        let ended = (self.reaches() * self.due as f64).round() as u64;
        match ended {
            0 => format!("{}: never", self.name),
            ended if ended < self.due => {
                format!("{}: {}", self.name, format::percent(ended, self.due))
            }
            _ => self.name.to_owned(),
        }
    }
}

/// Draws the lateness of one store kind's session ends; `None` where no session came due.
pub(in crate::report) fn lateness(
    result: &Result,
    kind: &str,
) -> std::result::Result<Option<Figure>, DrawError> {
    let curves: Vec<Curve<'_>> = result
        .runs
        .iter()
        .enumerate()
        .filter_map(|(index, run)| {
            let ends = run.session_ends.iter().find(|ends| ends.kind == kind)?;
            Curve::of(&run.name, index, ends)
        })
        .collect();
    if curves.is_empty() {
        return Ok(None);
    }
    let description: Vec<String> = curves
        .iter()
        .map(|curve| {
            let half = curve.ended.iter().find(|(_, ended)| ended * 2 >= curve.due);
            match half {
                Some((late, _)) => {
                    format!("{}: half by {}", curve.label(), format::duration(*late))
                }
                None => curve.label(),
            }
        })
        .collect();
    figure(|width| {
        svg(
            &format!("Lateness of {kind} session ends"),
            &description.join("; "),
            (width.units(), HEIGHT),
            |canvas| draw(canvas, width, &curves),
        )
    })
    .map(Some)
}

fn draw(canvas: &Canvas<'_>, width: Width, curves: &[Curve<'_>]) -> Drawn {
    let values = || {
        curves
            .iter()
            .flat_map(|curve| &curve.ended)
            .map(|(late, _)| *late)
    };
    // Below the least hundredth there is nothing to tell providers apart by.
    let least = curves
        .iter()
        .filter_map(|curve| {
            let hundredth = curve.early + (curve.due - curve.early) / 50;
            curve.ended.iter().find(|(_, ended)| *ended > hundredth)
        })
        .map(|(late, _)| *late)
        .min()
        .unwrap_or(10_000_000);
    let (from, to) = scale::magnitude_range(least, values().max().unwrap_or(60_000_000_000));
    let panel = Panel {
        left: 52.0,
        right: width.units() - if width == Width::Wide { 230.0 } else { MARGIN },
        top: 14.0,
        bottom: HEIGHT - 30.0,
        x: Scale::Logarithmic(from, to),
        y: Scale::Linear(0.0, 1.0),
    };
    let ticks = scale::magnitudes(from, to);
    panel.guides(canvas, &ticks)?;
    panel.y_axis(canvas, &scale::quarters())?;
    panel.x_axis(canvas, &ticks)?;
    for curve in curves {
        let mut points = vec![panel.at(from, curve.early as f64 / curve.due as f64)];
        for &(late, ended) in &curve.ended {
            let (x, y) = panel.at(late as f64, ended as f64 / curve.due as f64);
            let before = points.last().map_or(y, |last| last.1);
            // Steps that are closer than the line is wide are one.
            match points.last_mut() {
                Some(last) if x - last.0 < 1.0 => last.1 = y,
                _ => points.extend([(x, before), (x, y)]),
            }
        }
        points.push((panel.right, panel.at(to, curve.reaches()).1));
        canvas.line(&points, curve.ink, 2.25, 1.0)?;
    }
    if width == Width::Narrow {
        return Ok(());
    }
    let labels = curves
        .iter()
        .map(|curve| EndLabel {
            y: panel.at(to, curve.reaches()).1,
            text: fitted(&curve.label(), 205.0),
            ink: curve.ink,
        })
        .collect();
    end_labels(canvas, &panel, labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{comparison, empty};

    #[test]
    fn a_provider_that_ends_no_session_is_named_as_one() {
        let figure = lateness(&comparison(), "private").unwrap().unwrap();
        assert!(figure.wide.contains("redis-microsoft: never"));
    }

    #[test]
    fn missed_ends_are_what_a_curve_lacks() {
        let result = comparison();
        let curve = Curve::of("run", 0, &result.runs[2].session_ends[0]).unwrap();
        assert_eq!((curve.due, curve.early), (2_400, 360));
        assert_eq!(curve.ended.last().map(|last| last.1), Some(2_380));
    }

    #[test]
    fn without_a_session_that_came_due_there_is_no_plot() {
        assert!(lateness(&empty(), "private").unwrap().is_none());
    }
}
