//! Live progress: what is running, how far, and the figures of the last second.

use crate::engine::{Phase, Progress};
use crate::measure::Live;
use crate::result::{LeftOut, Run};
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::{Cell, RefCell};
use std::io::IsTerminal as _;
use std::rc::Rc;
use std::time::Duration;

/// Seconds between two lines where there is no terminal to draw on.
const LINE_EVERY: u64 = 10;

/// Progress on standard error: a bar on a terminal, a line now and then elsewhere.
#[must_use]
pub fn live() -> Rc<dyn Progress> {
    Rc::new(Display {
        terminal: std::io::stderr().is_terminal(),
        bar: RefCell::new(ProgressBar::hidden()),
        ends: Cell::new(0),
    })
}

struct Display {
    terminal: bool,
    bar: RefCell<ProgressBar>,
    /// Session ends of the run so far.
    ends: Cell<u64>,
}

impl Progress for Display {
    fn run_started(&self, name: &str, at: usize, of: usize, length: Duration) {
        self.ends.set(0);
        let title = format!("[{}/{of}] {name}", at + 1);
        if !self.terminal {
            eprintln!("{title}: up to {} s", length.as_secs());
            return;
        }
        let bar = ProgressBar::new(length.as_secs());
        let style = ProgressStyle::with_template("{prefix:<24} {bar:24} {pos:>4}/{len} s  {msg}");
        // The template is a constant; should it be refused, the bar draws in its default style.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(title);
        *self.bar.borrow_mut() = bar;
    }

    fn second(&self, elapsed: Duration, phase: Phase, live: &Live) {
        self.ends.set(self.ends.get() + live.ends);
        let phase = match phase {
            Phase::WarmUp => "warm-up",
            Phase::Measured => "measuring",
            Phase::Drain => "draining",
        };
        let figures = format!(
            "{phase}: {} req/s, {} sessions, {} ends, {} overdue, lag {:.1?}",
            live.requests,
            live.sessions,
            self.ends.get(),
            live.backlog,
            live.lag
        );
        if self.terminal {
            let bar = self.bar.borrow();
            bar.set_position(elapsed.as_secs());
            bar.set_message(figures);
        } else if elapsed.as_secs().is_multiple_of(LINE_EVERY) {
            eprintln!("  {:>4} s  {figures}", elapsed.as_secs());
        }
    }

    fn run_done(&self, run: &Run) {
        let ends: u64 = run
            .session_ends
            .iter()
            .map(|e| e.ended_once + e.ended_more)
            .sum();
        self.finish(&format!(
            "{} requests, {ends} sessions ended",
            run.requests.sent
        ));
    }

    fn left_out(&self, run: &LeftOut) {
        let remedy = run.remedy.as_ref().map(|remedy| format!("; {remedy}"));
        self.finish(&format!(
            "left out: {}{}",
            run.reason,
            remedy.unwrap_or_default()
        ));
    }
}

impl Display {
    fn finish(&self, message: &str) {
        if self.terminal {
            self.bar.borrow().abandon_with_message(message.to_owned());
        } else {
            eprintln!("  {message}");
        }
    }
}
