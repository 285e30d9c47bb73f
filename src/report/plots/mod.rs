//! The plots of the page, each an SVG element as text.
//!
//! A result flows in, [`Figure`]s flow out: one picture for a desk and one for a phone. A plot is
//! drawn with plotters on a [`canvas::Canvas`], whose colours are names ([`palette::Ink`]) that the
//! page's style sheet gives a colour in light and in dark.
//!
//! The surprising fact: plotters knows nothing of style sheets. It draws with placeholder colours,
//! which [`palette`] turns into custom properties in the text that comes out.

mod canvas;
mod contention;
mod lateness;
mod palette;
mod response;
mod scale;
mod timeline;
mod wait;

pub(super) use canvas::DrawError;
pub(super) use contention::contention;
pub(super) use lateness::lateness;
pub(super) use palette::Ink;
pub(super) use response::response;
pub(super) use timeline::timeline;
pub(super) use wait::wait;

/// A plot, drawn twice.
pub(super) struct Figure {
    /// For a desk.
    pub wide: String,
    /// For a phone.
    pub narrow: String,
}

/// The width that a plot is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    /// A desk.
    Wide,
    /// A phone.
    Narrow,
}

impl Width {
    /// Units of the drawing, which are pixels where the page shows it unscaled.
    fn units(self) -> f64 {
        match self {
            Self::Wide => 1000.0,
            Self::Narrow => 380.0,
        }
    }
}

/// Draws a plot for both widths.
fn figure(mut draw: impl FnMut(Width) -> Result<String, DrawError>) -> Result<Figure, DrawError> {
    Ok(Figure {
        wide: draw(Width::Wide)?,
        narrow: draw(Width::Narrow)?,
    })
}
