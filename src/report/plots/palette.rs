//! Colours by name: what plotters draws in a placeholder, the style sheet decides.

use plotters::style::RGBColor;

/// What something is drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Ink {
    /// Text.
    Text,
    /// Text of second rank: axes, notes.
    Muted,
    /// Lines of a grid.
    Grid,
    /// A line that marks something.
    Rule,
    /// The background of a stretch of time.
    Band,
    /// What went wrong.
    Bad,
    /// One of several runs or servers; see [`Ink::series`].
    Series(u8),
}

/// Colours that are told apart by people who see few of them, in `style.css` as `--series-1`…
const SERIES: u8 = 8;

impl Ink {
    /// The colour of one of several; they repeat after eight.
    pub(in crate::report) fn series(index: usize) -> Self {
        Self::Series((index % usize::from(SERIES)) as u8)
    }

    /// The placeholder that plotters draws with: any colour will do that no other ink has.
    pub(super) fn placeholder(self) -> RGBColor {
        RGBColor(0xFA, 0xCE, self.code())
    }

    /// What stands in the page instead.
    pub(in crate::report) fn css(self) -> String {
        match self {
            Self::Text => "currentColor".to_owned(),
            Self::Muted => "var(--muted)".to_owned(),
            Self::Grid => "var(--grid)".to_owned(),
            Self::Rule => "var(--rule)".to_owned(),
            Self::Band => "var(--band)".to_owned(),
            Self::Bad => "var(--bad)".to_owned(),
            Self::Series(index) => format!("var(--series-{})", index + 1),
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Text => 0x01,
            Self::Muted => 0x02,
            Self::Grid => 0x03,
            Self::Rule => 0x04,
            Self::Band => 0x05,
            Self::Bad => 0x06,
            Self::Series(index) => 0x10 + index,
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let named = [
            Self::Text,
            Self::Muted,
            Self::Grid,
            Self::Rule,
            Self::Band,
            Self::Bad,
        ];
        named.into_iter().chain((0..SERIES).map(Self::Series))
    }
}

/// Puts the style sheet's colours in the place of the placeholders.
pub(super) fn with_css_colours(svg: &str) -> String {
    Ink::all().fold(svg.to_owned(), |svg, ink| {
        let RGBColor(red, green, blue) = ink.placeholder();
        // In quotes: the attribute as plotters writes it, never part of a text.
        svg.replace(
            &format!("\"#{red:02X}{green:02X}{blue:02X}\""),
            &format!("\"{}\"", ink.css()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_inks_share_a_placeholder() {
        let codes: BTreeSet<u8> = Ink::all().map(Ink::code).collect();
        assert_eq!(codes.len(), Ink::all().count());
    }

    #[test]
    fn every_ink_but_the_text_is_in_the_style_sheet() {
        let css = include_str!("../style.css");
        for ink in Ink::all().filter(|ink| *ink != Ink::Text) {
            let property = ink.css().replace("var(", "").replace(')', ":");
            // Once for light and once for dark.
            assert_eq!(css.matches(&property).count(), 2, "{property}");
        }
    }
}
