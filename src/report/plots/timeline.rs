//! A run as it went: small plots one above the other on one axis of time.

use super::canvas::{Canvas, DrawError, Drawn, MARGIN, Panel, Side, TEXT, svg, text_width};
use super::scale::{self, Scale};
use super::{Figure, Ink, Width, figure};
use crate::result::{Run, Timeline};

const ROW: f64 = 58.0;
const TITLE: f64 = 26.0;
const TOP: f64 = 18.0;
const AXIS: f64 = 30.0;

/// A column of the timeline in a row.
struct Column {
    name: &'static str,
    values: Vec<f64>,
    ink: Ink,
    style: Style,
}

/// How a column is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Line,
    /// A line with what is below it.
    Area,
    /// A mark wherever there is anything, tall enough to be seen: one failure among thousands is.
    Marks,
}

/// What a row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Count,
    Time,
}

/// Half the width of a point that stands alone.
const DOT: f64 = 2.5;

/// One small plot.
struct Row {
    title: &'static str,
    unit: Unit,
    columns: Vec<Column>,
}

/// How a step's values become one when several steps are one point.
type Fold = fn(&[u64]) -> f64;

fn most(values: &[u64]) -> f64 {
    values.iter().max().copied().unwrap_or(0) as f64
}

fn mean(values: &[u64]) -> f64 {
    values.iter().sum::<u64>() as f64 / values.len().max(1) as f64
}

/// Draws a run's timeline, in its series' colour; `None` where none was kept.
pub(in crate::report) fn timeline(
    run: &Run,
    ink: Ink,
) -> std::result::Result<Option<Figure>, DrawError> {
    let timeline = &run.timeline;
    let steps = timeline.requests.len();
    if steps < 2 || timeline.step_ns == 0 {
        return Ok(None);
    }
    figure(|width| {
        let rows = rows(timeline, ink, width);
        let height = TOP + rows.len() as f64 * (ROW + TITLE) + AXIS;
        let titles: Vec<&str> = rows.iter().map(|row| row.title).collect();
        svg(
            &format!("Timeline of {}", run.name),
            &format!("Over time: {}", titles.join(", ")),
            (width.units(), height),
            |canvas| draw(canvas, width, timeline, &rows),
        )
    })
    .map(Some)
}

fn rows(timeline: &Timeline, ink: Ink, width: Width) -> Vec<Row> {
    // Two units of the drawing for each point.
    let points = (width.units() / 2.0) as usize;
    let per_second = 1e9 / timeline.step_ns as f64;
    let column = |name, values: &[u64], fold: Fold, factor: f64, ink, style| Column {
        name,
        values: thinned(values, points, fold)
            .into_iter()
            .map(|value| value * factor)
            .collect(),
        ink,
        style,
    };
    let rate =
        |name, values: &[u64], ink, style| column(name, values, mean, per_second, ink, style);
    let level = |name, values: &[u64], ink, style| column(name, values, most, 1.0, ink, style);
    let mut rows = vec![
        Row {
            title: "Requests per second",
            unit: Unit::Count,
            columns: vec![
                rate("", &timeline.requests, ink, Style::Area),
                rate("failed", &timeline.failed, Ink::Bad, Style::Marks),
            ],
        },
        Row {
            title: "Waiting for a lock",
            unit: Unit::Count,
            columns: vec![level("", &timeline.waiting, ink, Style::Area)],
        },
        Row {
            title: "Live sessions",
            unit: Unit::Count,
            columns: vec![
                level("private", &timeline.live_private, ink, Style::Line),
                level("shared", &timeline.live_shared, Ink::Muted, Style::Line),
            ],
        },
        Row {
            title: "Session ends",
            unit: Unit::Count,
            columns: vec![
                rate("per second", &timeline.ends, ink, Style::Area),
                level("backlog", &timeline.backlog, Ink::Muted, Style::Line),
            ],
        },
        Row {
            title: "Response",
            unit: Unit::Time,
            columns: vec![
                level("p99", &timeline.response_p99_ns, ink, Style::Line),
                level(
                    "lag, longest",
                    &timeline.lag_max_ns,
                    Ink::Muted,
                    Style::Line,
                ),
            ],
        },
        Row {
            title: "Lateness of session end, longest",
            unit: Unit::Time,
            columns: vec![level("", &timeline.lateness_max_ns, ink, Style::Line)],
        },
    ];
    // What stayed at nothing throughout needs no name, and a row without anything no room.
    for row in &mut rows {
        row.columns
            .retain(|column| column.values.iter().any(|value| *value > 0.0));
    }
    rows.retain(|row| !row.columns.is_empty());
    rows
}

/// At most so many values, each made of as many neighbours.
fn thinned(values: &[u64], most: usize, fold: Fold) -> Vec<f64> {
    let neighbours = values.len().div_ceil(most.max(1)).max(1);
    values.chunks(neighbours).map(fold).collect()
}

fn draw(canvas: &Canvas<'_>, width: Width, timeline: &Timeline, rows: &[Row]) -> Drawn {
    let until = (timeline.requests.len() as u64 * timeline.step_ns) as f64;
    let (left, right) = (62.0, width.units() - MARGIN);
    let x = Scale::Linear(0.0, until);
    let ticks = scale::times(until as u64, if width == Width::Wide { 14 } else { 6 });
    let bottom = TOP + rows.len() as f64 * (ROW + TITLE);
    let place = |value: f64| left + x.at(value) * (right - left);

    let measured_from = place(timeline.measured_from_ns as f64);
    let measured_until = place(timeline.measured_until_ns as f64);
    for (from, to, name) in [
        (left, measured_from, "warm-up"),
        (measured_until, right, "drain"),
    ] {
        if to - from >= 1.0 {
            canvas.rectangle((from, TOP), (to, bottom), Ink::Band, 1.0)?;
        }
        if to - from > text_width(name, TEXT) {
            let middle = (from + to) / 2.0;
            canvas.text((middle, TOP - 9.0), name, Ink::Muted, TEXT, Side::Middle)?;
        }
    }
    for (index, row) in rows.iter().enumerate() {
        let top = TOP + index as f64 * (ROW + TITLE) + TITLE;
        let frame = Panel {
            left,
            right,
            top,
            bottom: top + ROW,
            x,
            y: Scale::Linear(0.0, 1.0),
        };
        draw_row(canvas, frame, row)?;
        if index + 1 == rows.len() {
            frame.x_axis(canvas, &ticks)?;
        }
    }
    Ok(())
}

fn draw_row(canvas: &Canvas<'_>, frame: Panel, row: &Row) -> Drawn {
    let values = || {
        row.columns
            .iter()
            .flat_map(|column| &column.values)
            .copied()
    };
    let greatest = values().fold(0.0_f64, f64::max);
    let (scale, ticks) = match row.unit {
        Unit::Count => {
            let ticks = scale::counts(greatest.ceil() as u64, 2);
            let top = ticks.last().map_or(1.0, |tick| tick.value);
            (Scale::Linear(0.0, top), ticks)
        }
        Unit::Time => {
            let least = values()
                .filter(|value| *value > 0.0)
                .fold(greatest, f64::min);
            let (from, to) = scale::magnitude_range(least as u64, greatest as u64);
            let ticks = scale::magnitudes(from, to);
            // Three names are as many as fit.
            let every = ticks.len().div_ceil(3);
            (
                Scale::Logarithmic(from, to),
                ticks.into_iter().step_by(every).collect(),
            )
        }
    };
    let panel = Panel { y: scale, ..frame };
    panel.y_axis(canvas, &ticks)?;
    let mut name_at = panel.left + 6.0;
    let title = panel.top - 11.0;
    canvas.text((name_at, title), row.title, Ink::Text, TEXT, Side::Start)?;
    name_at += text_width(row.title, TEXT) + 14.0;
    for column in &row.columns {
        draw_column(canvas, &panel, row.unit, column)?;
        // The only column of a row is what the row's title says.
        if !column.name.is_empty() {
            canvas.text((name_at, title), column.name, column.ink, TEXT, Side::Start)?;
            name_at += text_width(column.name, TEXT) + 12.0;
        }
    }
    Ok(())
}

fn draw_column(canvas: &Canvas<'_>, panel: &Panel, unit: Unit, column: &Column) -> Drawn {
    let place = |&(index, value): &(usize, f64)| {
        let share = (index as f64 + 0.5) / column.values.len() as f64;
        let x = panel.left + share * (panel.right - panel.left);
        (x, panel.at(0.0, value).1)
    };
    if column.style == Style::Marks {
        for (index, value) in column
            .values
            .iter()
            .enumerate()
            .filter(|mark| *mark.1 > 0.0)
        {
            let (x, y) = place(&(index, *value));
            let top = y.min(panel.bottom - 7.0);
            canvas.rectangle((x - 1.0, top), (x + 1.0, panel.bottom), column.ink, 1.0)?;
        }
        return Ok(());
    }
    for stretch in stretches(column, unit) {
        let points: Vec<(f64, f64)> = stretch.iter().map(place).collect();
        if let [(x, y)] = points[..] {
            // A line of one point would not be seen.
            let (from, to) = ((x - DOT, y - DOT), (x + DOT, y + DOT));
            canvas.rectangle(from, to, column.ink, 1.0)?;
            continue;
        }
        if let (Style::Area, Some(first), Some(last)) =
            (column.style, points.first(), points.last())
        {
            let ground = [(last.0, panel.bottom), (first.0, panel.bottom)];
            let outline: Vec<(f64, f64)> = points.iter().copied().chain(ground).collect();
            canvas.area(&outline, column.ink, 0.22)?;
        }
        canvas.line(&points, column.ink, 1.5, 1.0)?;
    }
    Ok(())
}

/// A column's values with their places. A step without a time has none: the line breaks there.
fn stretches(column: &Column, unit: Unit) -> Vec<Vec<(usize, f64)>> {
    let mut stretches = vec![Vec::new()];
    for (index, &value) in column.values.iter().enumerate() {
        if unit == Unit::Time && value <= 0.0 {
            stretches.push(Vec::new());
        } else if let Some(stretch) = stretches.last_mut() {
            stretch.push((index, value));
        }
    }
    stretches.retain(|stretch| !stretch.is_empty());
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_timeline_keeps_its_peaks_and_its_mean_rate() {
        let values = [1, 9, 2, 4];
        assert_eq!(thinned(&values, 2, most), [9.0, 4.0]);
        assert_eq!(thinned(&values, 2, mean), [5.0, 3.0]);
    }

    #[test]
    fn a_line_of_times_breaks_where_nothing_was_timed() {
        let column = Column {
            name: "",
            values: vec![1.0, 0.0, 2.0, 3.0],
            ink: Ink::Text,
            style: Style::Line,
        };
        let lengths: Vec<usize> = stretches(&column, Unit::Time)
            .iter()
            .map(Vec::len)
            .collect();
        assert_eq!(lengths, [1, 2]);
    }
}
