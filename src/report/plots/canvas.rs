//! A sheet to draw on, and a panel with axes on it.
//!
//! Places are in units of the drawing (pixels where it is shown unscaled), counted from the top
//! left, as fractions; plotters draws on whole pixels, so the sheet is [`FINENESS`] times larger
//! inside.

use super::palette::{Ink, with_css_colours};
use super::scale::{Scale, Tick};
use crate::report::html::escape;
use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{PathElement, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBAColor, ShapeStyle, TextStyle};

/// A plot that could not be drawn.
pub(in crate::report) type DrawError = DrawingAreaErrorKind<std::io::Error>;

/// Whether something was drawn.
pub(super) type Drawn = Result<(), DrawError>;

/// Pixels of plotters to one unit of the drawing.
const FINENESS: f64 = 4.0;

/// plotters takes the size of a font for the height of its box, which it holds to be this much
/// larger.
const FONT_BOX: f64 = 1.24;

/// Size of ordinary text.
pub(super) const TEXT: f64 = 12.5;

/// Room to the right of a panel that has nothing beside it.
pub(super) const MARGIN: f64 = 14.0;

/// On which side of its point a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// It begins there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

/// A sheet.
pub(super) struct Canvas<'a> {
    sheet: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws an SVG element. Title and description are for those who hear the page.
pub(super) fn svg(
    title: &str,
    description: &str,
    size: (f64, f64),
    draw: impl FnOnce(&Canvas<'_>) -> Drawn,
) -> Result<String, DrawError> {
    let pixels = |units: f64| (units * FINENESS).round() as u32;
    let (width, height) = (pixels(size.0), pixels(size.1));
    let mut drawn = String::new();
    {
        let sheet = SVGBackend::with_string(&mut drawn, (width, height)).into_drawing_area();
        let canvas = Canvas { sheet };
        draw(&canvas)?;
        canvas.sheet.present()?;
    }
    // The first line is plotters' own element with a fixed size, which would not shrink.
    let content = drawn.split_once('\n').map_or("", |(_, content)| content);
    let content = content
        .replace(" font-family=\"sans-serif\"", "")
        .replace(" opacity=\"1\"", "");
    Ok(format!(
        "<svg viewBox=\"0 0 {width} {height}\" role=\"img\"><title>{}</title><desc>{}</desc>\n{}",
        escape(title),
        escape(description),
        with_css_colours(&content)
    ))
}

impl Canvas<'_> {
    /// A line through points.
    pub(super) fn line(&self, points: &[(f64, f64)], ink: Ink, width: f64, alpha: f64) -> Drawn {
        let points: Vec<(i32, i32)> = points.iter().map(|&point| fine(point)).collect();
        let style = ShapeStyle {
            color: colour(ink, alpha),
            filled: false,
            stroke_width: (width * FINENESS).round() as u32,
        };
        self.sheet.draw(&PathElement::new(points, style))
    }

    /// A filled shape.
    pub(super) fn area(&self, points: &[(f64, f64)], ink: Ink, alpha: f64) -> Drawn {
        let points: Vec<(i32, i32)> = points.iter().map(|&point| fine(point)).collect();
        self.sheet.draw(&Polygon::new(points, colour(ink, alpha)))
    }

    /// A filled rectangle between two corners.
    pub(super) fn rectangle(
        &self,
        from: (f64, f64),
        to: (f64, f64),
        ink: Ink,
        alpha: f64,
    ) -> Drawn {
        self.sheet.draw(&Rectangle::new(
            [fine(from), fine(to)],
            colour(ink, alpha).filled(),
        ))
    }

    /// A text, centred on the height of its point.
    pub(super) fn text(
        &self,
        at: (f64, f64),
        text: &str,
        ink: Ink,
        size: f64,
        side: Side,
    ) -> Drawn {
        let position = match side {
            Side::Start => HPos::Left,
            Side::Middle => HPos::Center,
            Side::End => HPos::Right,
        };
        let colour = colour(ink, 1.0);
        let style = TextStyle::from(("sans-serif", size * FINENESS * FONT_BOX).into_font())
            .color(&colour)
            .pos(Pos::new(position, VPos::Center));
        self.sheet.draw(&Text::new(text, fine(at), style))
    }
}

/// A rectangle of the sheet with a horizontal and a vertical axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    pub x: Scale,
    pub y: Scale,
}

impl Panel {
    /// Where a pair of values lies on the sheet.
    pub(super) fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (
            self.left + self.x.at(x) * (self.right - self.left),
            self.bottom - self.y.at(y) * (self.bottom - self.top),
        )
    }

    /// Lines across at the ticks, with their names to the left.
    pub(super) fn y_axis(&self, canvas: &Canvas<'_>, ticks: &[Tick]) -> Drawn {
        for tick in ticks {
            let (_, y) = self.at(0.0, tick.value);
            canvas.line(&[(self.left, y), (self.right, y)], Ink::Grid, 1.0, 1.0)?;
            canvas.text(
                (self.left - 8.0, y),
                &tick.label,
                Ink::Muted,
                TEXT,
                Side::End,
            )?;
        }
        Ok(())
    }

    /// Marks at the ticks with their names below; names that would touch are left out.
    pub(super) fn x_axis(&self, canvas: &Canvas<'_>, ticks: &[Tick]) -> Drawn {
        canvas.line(
            &[(self.left, self.bottom), (self.right, self.bottom)],
            Ink::Rule,
            1.0,
            1.0,
        )?;
        let mut free_from = f64::NEG_INFINITY;
        for tick in ticks {
            let (x, _) = self.at(tick.value, 0.0);
            // The name of the last tick stays on the sheet.
            let half = text_width(&tick.label, TEXT) / 2.0;
            let middle = x.min(self.right + MARGIN - half);
            if middle - half < free_from {
                continue;
            }
            free_from = middle + half + 6.0;
            let mark = [(x, self.bottom), (x, self.bottom + 4.0)];
            canvas.line(&mark, Ink::Rule, 1.0, 1.0)?;
            let below = (middle, self.bottom + 15.0);
            canvas.text(below, &tick.label, Ink::Muted, TEXT, Side::Middle)?;
        }
        Ok(())
    }

    /// Faint lines from top to bottom.
    pub(super) fn guides(&self, canvas: &Canvas<'_>, ticks: &[Tick]) -> Drawn {
        for tick in ticks {
            let (x, _) = self.at(tick.value, 0.0);
            canvas.line(&[(x, self.top), (x, self.bottom)], Ink::Grid, 1.0, 1.0)?;
        }
        Ok(())
    }
}

/// A name beside the end of a curve.
pub(super) struct EndLabel {
    pub y: f64,
    pub text: String,
    pub ink: Ink,
}

/// Writes names to the right of a panel, moved apart where they would overlap.
pub(super) fn end_labels(canvas: &Canvas<'_>, panel: &Panel, mut labels: Vec<EndLabel>) -> Drawn {
    const LINE: f64 = TEXT + 3.5;
    labels.sort_by(|a, b| a.y.total_cmp(&b.y));
    let mut places: Vec<f64> = labels.iter().map(|label| label.y).collect();
    for index in 1..places.len() {
        places[index] = places[index].max(places[index - 1] + LINE);
    }
    // What was pushed below the panel goes back up, and pushes up what is in its way.
    let mut floor = panel.bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(floor);
        floor = *place - LINE;
    }
    for (label, place) in labels.iter().zip(places) {
        let (from, to) = (panel.right + 3.0, panel.right + 16.0);
        canvas.line(&[(from, label.y), (to, place)], label.ink, 1.25, 0.7)?;
        canvas.text((to + 4.0, place), &label.text, label.ink, TEXT, Side::Start)?;
    }
    Ok(())
}

/// Width of a letter or digit as a share of its height, in the wider of the sheet's typefaces.
const LETTER: f64 = 0.58;

/// About how wide a text is.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * LETTER
}

/// A text that is cut to a width.
pub(super) fn fitted(text: &str, width: f64) -> String {
    let most = (width / (TEXT * LETTER)) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

fn fine((x, y): (f64, f64)) -> (i32, i32) {
    ((x * FINENESS).round() as i32, (y * FINENESS).round() as i32)
}

fn colour(ink: Ink, alpha: f64) -> RGBAColor {
    ink.placeholder().mix(alpha)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_scales_and_takes_its_colours_from_the_page() {
        let drawn = svg("Title", "What <it> shows", (100.0, 50.0), |canvas| {
            canvas.line(&[(0.0, 0.0), (10.0, 10.0)], Ink::series(0), 1.0, 1.0)?;
            canvas.text((5.0, 5.0), "<b>", Ink::Text, TEXT, Side::Middle)
        })
        .unwrap();
        assert!(
            drawn.starts_with("<svg viewBox=\"0 0 400 200\" role=\"img\"><title>Title</title>")
        );
        assert!(drawn.contains("stroke=\"var(--series-1)\""));
        assert!(drawn.contains("fill=\"currentColor\"") && drawn.contains("&lt;b&gt;"));
        assert!(!drawn.contains("#FACE"));
        assert!(drawn.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn a_name_too_long_for_its_place_is_cut() {
        assert_eq!(fitted("short", 100.0), "short");
        assert_eq!(fitted("much too long a name", 60.0), "much to…");
    }
}
