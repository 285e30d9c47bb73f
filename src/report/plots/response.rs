//! Percentiles of response, all providers on one axis, as HdrHistogram plots them: by their
//! distance to 100 %, so that the slowest thousandth has as much room as the slowest tenth.

use super::canvas::{Canvas, DrawError, Drawn, EndLabel, MARGIN, Panel, end_labels, fitted, svg};
use super::scale::{self, Scale};
use super::{Figure, Ink, Width, figure};
use crate::report::format;
use crate::report::merge;
use crate::result::Result;
use hdrhistogram::Histogram;

const HEIGHT: f64 = 320.0;

struct Curve<'a> {
    name: &'a str,
    ink: Ink,
    responses: Histogram<u64>,
}

/// Draws the responses of all runs; `None` where nothing was measured.
pub(in crate::report) fn response(
    result: &Result,
) -> std::result::Result<Option<Figure>, DrawError> {
    let curves: Vec<Curve<'_>> = result
        .runs
        .iter()
        .enumerate()
        .filter_map(|(index, run)| {
            Some(Curve {
                name: &run.name,
                ink: Ink::series(index),
                responses: merge::histogram(&run.requests.response)?,
            })
        })
        .collect();
    if curves.is_empty() {
        return Ok(None);
    }
    let description: Vec<String> = curves
        .iter()
        .map(|curve| {
            format!(
                "{}: p50 {}, p99 {}",
                curve.name,
                format::duration(curve.responses.value_at_quantile(0.5)),
                format::duration(curve.responses.value_at_quantile(0.99))
            )
        })
        .collect();
    figure(|width| {
        svg(
            "Percentiles of response",
            &description.join("; "),
            (width.units(), HEIGHT),
            |canvas| draw(canvas, width, &curves),
        )
    })
    .map(Some)
}

fn draw(canvas: &Canvas<'_>, width: Width, curves: &[Curve<'_>]) -> Drawn {
    let least = curves.iter().map(|curve| curve.responses.min()).min();
    let greatest = curves.iter().map(|curve| curve.responses.max()).max();
    let (from, to) = scale::magnitude_range(least.unwrap_or(0), greatest.unwrap_or(0));
    // A percentile that rests on less than one request says nothing.
    let most = curves
        .iter()
        .map(|curve| curve.responses.len())
        .max()
        .unwrap_or(0);
    let tail = [0.9, 0.99, 0.999, 0.9999, 0.99999]
        .into_iter()
        .rfind(|tail| (1.0 - tail) * most as f64 >= 1.0)
        .unwrap_or(0.9);
    let panel = Panel {
        left: 62.0,
        right: width.units() - if width == Width::Wide { 230.0 } else { MARGIN },
        top: 14.0,
        bottom: HEIGHT - 30.0,
        x: Scale::Tail(tail),
        y: Scale::Logarithmic(from, to),
    };
    let ticks = scale::nines(tail);
    panel.guides(canvas, &ticks)?;
    panel.y_axis(canvas, &scale::magnitudes(from, to))?;
    panel.x_axis(canvas, &ticks)?;
    let mut labels = Vec::new();
    for curve in curves {
        let steps = (panel.right - panel.left) as usize / 2;
        let points: Vec<(f64, f64)> = (0..=steps)
            .map(|step| {
                let quantile = 1.0 - (1.0 - tail).powf(step as f64 / steps as f64);
                panel.at(quantile, curve.responses.value_at_quantile(quantile) as f64)
            })
            .collect();
        canvas.line(&points, curve.ink, 2.25, 1.0)?;
        let p99 = format::duration(curve.responses.value_at_quantile(0.99));
        labels.push(EndLabel {
            y: points.last().map_or(panel.top, |last| last.1),
            text: fitted(&format!("{}, p99 {p99}", curve.name), 205.0),
            ink: curve.ink,
        });
    }
    match width {
        Width::Wide => end_labels(canvas, &panel, labels),
        Width::Narrow => Ok(()),
    }
}
