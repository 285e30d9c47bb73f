//! The most contended session, moment by moment: one lane per request, pale while it waits, solid
//! while it holds the lock.

use super::canvas::{Canvas, DrawError, Drawn, Panel, Side, TEXT, svg, text_width};
use super::scale::{self, Scale};
use super::{Figure, Ink, Width, figure};
use crate::report::format;
use crate::result::{LockSpan, SessionTimeline};

/// Lanes that a person still reads.
const MOST_LANES: usize = 28;
const LANE: f64 = 21.0;
const BAR: f64 = 12.0;
const TOP: f64 = 6.0;
const AXIS: f64 = 30.0;

/// Draws the densest moments of a session; `None` where nobody waited for it.
pub(in crate::report) fn contention(
    session: &SessionTimeline,
    poll_interval_ns: u64,
) -> Result<Option<Figure>, DrawError> {
    let lanes = densest(&session.requests, poll_interval_ns);
    if lanes.is_empty() {
        return Ok(None);
    }
    let from = lanes.iter().map(|lane| lane.asked_ns).min().unwrap_or(0);
    let until = lanes.iter().map(end).max().unwrap_or(from).max(from + 1);
    let description = format!(
        "{} requests over {}, from {} into the run",
        lanes.len(),
        format::duration(until - from),
        format::duration(from)
    );
    figure(|width| {
        svg(
            &format!("Lock of the {} session {}", session.kind, session.session),
            &description,
            (width.units(), TOP + lanes.len() as f64 * LANE + AXIS),
            |canvas| draw(canvas, width, lanes, from, until),
        )
    })
    .map(Some)
}

/// When a request had done with the lock: released it, or was last seen.
fn end(span: &LockSpan) -> u64 {
    span.released_ns
        .or(span.granted_ns)
        .unwrap_or(span.asked_ns)
}

fn waited(span: &LockSpan) -> u64 {
    span.granted_ns
        .map_or(0, |granted| granted.saturating_sub(span.asked_ns))
}

/// The stretch of requests, one after the other without a break, that waited longest altogether.
fn densest(requests: &[LockSpan], poll_interval_ns: u64) -> &[LockSpan] {
    let mut best: (u64, &[LockSpan]) = (0, &[]);
    let mut first = 0;
    let mut busy_until = 0;
    for index in 0..requests.len() {
        let breaks = index > 0 && requests[index].asked_ns > busy_until + poll_interval_ns;
        if breaks {
            first = index;
        } else if index - first == MOST_LANES {
            first += 1;
        }
        busy_until = busy_until.max(end(&requests[index]));
        let stretch = &requests[first..=index];
        let weight = stretch.iter().map(waited).sum();
        // As long a wait with a lane more is the same moment, seen whole.
        if weight > 0 && weight >= best.0 {
            best = (weight, stretch);
        }
    }
    best.1
}

fn draw(canvas: &Canvas<'_>, width: Width, lanes: &[LockSpan], from: u64, until: u64) -> Drawn {
    let panel = Panel {
        left: 52.0,
        right: width.units() - 66.0,
        top: TOP,
        bottom: TOP + lanes.len() as f64 * LANE,
        x: Scale::Linear(0.0, (until - from) as f64),
        y: Scale::Linear(0.0, 1.0),
    };
    let ticks = scale::times(until - from, if width == Width::Wide { 10 } else { 4 });
    panel.guides(canvas, &ticks)?;
    panel.x_axis(canvas, &ticks)?;
    let place = |instant: u64| panel.at((instant - from) as f64, 0.0).0;
    for (index, lane) in lanes.iter().enumerate() {
        let ink = Ink::series(lane.server as usize);
        let middle = TOP + (index as f64 + 0.5) * LANE;
        let (top, bottom) = (middle - BAR / 2.0, middle + BAR / 2.0);
        let name = format!("CD {}", lane.server + 1);
        canvas.text((panel.left - 8.0, middle), &name, ink, TEXT, Side::End)?;
        let asked = place(lane.asked_ns);
        let waited_until = lane.granted_ns.map_or(panel.right, place);
        canvas.rectangle((asked, top + 3.0), (waited_until, bottom - 3.0), ink, 0.32)?;
        let label = match lane.granted_ns {
            Some(granted) => {
                // A lock that is held for a moment only is still seen.
                let released = lane.released_ns.map_or(panel.right, place);
                let right = released.max(place(granted) + 2.5);
                canvas.rectangle((place(granted), top), (right, bottom), ink, 1.0)?;
                let wait = waited(lane);
                if wait * 50 < until - from {
                    continue;
                }
                (right, format::duration(wait), Ink::Muted)
            }
            None => (panel.right, "no grant".to_owned(), Ink::Bad),
        };
        let (right, text, ink) = label;
        if right + 6.0 + text_width(&text, TEXT) <= width.units() {
            canvas.text((right + 6.0, middle), &text, ink, TEXT, Side::Start)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(asked_ns: u64, granted_ns: u64) -> LockSpan {
        LockSpan {
            request: 0,
            server: 0,
            asked_ns,
            granted_ns: Some(granted_ns),
            released_ns: Some(granted_ns + 10),
        }
    }

    #[test]
    fn the_stretch_with_the_longest_waits_is_shown_without_what_is_far_from_it() {
        let requests = [
            span(0, 5),
            span(1_000, 1_100),
            span(1_050, 1_200),
            span(9_000, 9_001),
        ];
        assert_eq!(densest(&requests, 100), &requests[1..3]);
    }

    #[test]
    fn a_session_nobody_waited_for_is_not_drawn() {
        assert_eq!(densest(&[span(0, 0), span(5, 5)], 100), &[]);
    }
}
