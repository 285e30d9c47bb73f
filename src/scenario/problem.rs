//! What is wrong with a scenario, and how it is shown: file, line, column, a caret, and a remedy.
//!
//! In: problems with byte spans. Out: miette's drawing of them, all at once.

use super::secrets;
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};
use std::error::Error;
use std::fmt;
use std::ops::Range;

/// Whether a problem stops the scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The scenario cannot be played.
    Error,
    /// It can, but will not show what its author expects.
    Warning,
}

/// One problem of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the scenario.
    pub severity: Severity,
    /// What is wrong, and why.
    pub message: String,
    /// Where, the main place first.
    pub labels: Vec<Label>,
    /// What to do.
    pub help: Option<String>,
}

/// A place in the file with a word on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Bytes of the file.
    pub span: Range<usize>,
    /// What is there.
    pub text: String,
}

impl Problem {
    /// A problem that stops the scenario.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into())
    }

    /// A problem that does not stop it.
    #[must_use]
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message.into())
    }

    const fn new(severity: Severity, message: String) -> Self {
        Self {
            severity,
            message,
            labels: Vec::new(),
            help: None,
        }
    }

    /// Shows a place; the first call names the main one.
    #[must_use]
    pub fn label(mut self, span: Range<usize>, text: impl Into<String>) -> Self {
        let text = text.into();
        self.labels.push(Label { span, text });
        self
    }

    /// Everything that it says.
    pub fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        let labels = self.labels.iter_mut().map(|label| &mut label.text);
        labels.chain([&mut self.message]).chain(&mut self.help)
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All problems of one file, in the order of the file, with the text that they point into; without
/// passwords.
#[derive(Debug)]
pub struct Problems {
    source: NamedSource<String>,
    problems: Vec<Problem>,
}

/// Problems that are drawn; a file with more has one cause that repeats.
const DRAWN: usize = 100;

impl Problems {
    /// Problems of the file of this name and text.
    #[must_use]
    pub fn new(name: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        for label in problems.iter_mut().flat_map(|problem| &mut problem.labels) {
            label.span = caret(text, &label.span);
        }
        problems.sort_by_key(|problem| {
            let start = problem.labels.first().map(|label| label.span.start);
            (start, problem.severity)
        });
        let source = NamedSource::new(name, secrets::hide(text));
        Self { source, problems }
    }

    /// Other problems of the same file.
    #[must_use]
    pub fn of_the_same_file(&self, problems: Vec<Problem>) -> Self {
        // Hiding a secret moves nothing, so places in the text as it is shown are those of the file.
        Self::new(self.source.name(), self.source.inner(), problems)
    }

    /// The problems.
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.problems
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many stop the scenario, and how many do not.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let errors = self
            .problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count();
        (errors, self.problems.len() - errors)
    }

    /// Draws all problems, each with its lines of the file, and counts them; nothing where there are
    /// none. Colours are those of a terminal.
    #[must_use]
    pub fn render(&self, colours: bool) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut theme = if colours {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        // A caret, as compilers draw it, reads better than a line under a line.
        theme.characters.underline = '^';
        theme.characters.underbar = '^';
        let drawing = GraphicalReportHandler::new_themed(theme)
            .with_links(false)
            .with_width(100);
        let mut text = String::new();
        for problem in self.problems.iter().take(DRAWN) {
            let source = &self.source;
            let drawable = problem
                .labels
                .iter()
                .all(|label| fits(source.inner(), label.span.start));
            let shown = Shown {
                problem,
                source,
                drawable,
            };
            if drawing.render_report(&mut text, &shown).is_err() {
                text.push_str(&problem.message);
            }
            text.push('\n');
        }
        if self.problems.len() > DRAWN {
            text.push_str(&format!("… and {} more\n", self.problems.len() - DRAWN));
        }
        let (errors, warnings) = self.count();
        let counted = |number: usize, word: &str| match number {
            0 => None,
            1 => Some(format!("1 {word}")),
            _ => Some(format!("{number} {word}s")),
        };
        let counts: Vec<_> = [counted(errors, "error"), counted(warnings, "warning")]
            .into_iter()
            .flatten()
            .collect();
        text + &format!("{}: {}\n", self.source.name(), counts.join(", "))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Error for Problems {}

/// A span cut to the first line that it is on, without white space, and within the text.
fn caret(text: &str, span: &Range<usize>) -> Range<usize> {
    // At the end of the file there is nothing to show: go back to the last thing that is there.
    let start = if span.start < text.len() {
        span.start
    } else {
        text.trim_end().len()
    };
    let end = span.end.clamp(start, text.len());
    let line = text[start..end].lines().next().unwrap_or_default();
    start..start + line.trim_end().len()
}

/// Whether the lines around a place are short enough to be drawn.
fn fits(text: &str, at: usize) -> bool {
    const LONG: usize = 1000;
    let (before, after) = text.split_at(at);
    let before = before.rsplit('\n').take(2).map(str::len);
    let after = after.split('\n').take(2).map(str::len);
    before.chain(after).all(|length| length < LONG)
}

/// Line and column of a place, both counted from 1, columns in characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// A problem as miette draws it.
struct Shown<'a> {
    problem: &'a Problem,
    source: &'a NamedSource<String>,
    /// Whether its lines can be drawn; otherwise the message names the place.
    drawable: bool,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)?;
        match self.problem.labels.first() {
            Some(label) if !self.drawable => {
                let (line, column) = position(self.source.inner(), label.span.start);
                write!(f, " [{}:{line}:{column}]", self.source.name())
            }
            _ => Ok(()),
        }
    }
}

impl Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.problem.help.as_ref()?;
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        if self.drawable {
            Some(self.source)
        } else {
            None
        }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if !self.drawable {
            return None;
        }
        let labels = self.problem.labels.iter().enumerate();
        Some(Box::new(labels.map(|(position, label)| {
            let text = Some(label.text.clone());
            if position == 0 {
                LabeledSpan::new_primary_with_span(text, label.span.clone())
            } else {
                LabeledSpan::new_with_span(text, label.span.clone())
            }
        })))
    }
}
