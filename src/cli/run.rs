//! `sessionbench run`: play a scenario, write the report, judge.

use super::{Outcome, environment, progress};
use crate::engine::{self, Clock, Interrupt, Progress};
use crate::report;
use crate::result;
use crate::scenario::{self, Loaded};
use clap::Args;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The scenario
    pub scenario: PathBuf,
    /// Play in virtual time; providers that need a server are left out
    #[arg(long = "virtual")]
    pub virtual_time: bool,
    /// Play only these entries of `compare`
    #[arg(long, value_name = "RUN", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Use this seed instead of the scenario's
    #[arg(long)]
    pub seed: Option<u64>,
    /// Where to write the report; `reports/<scenario>` by default
    #[arg(long, value_name = "DIRECTORY")]
    pub output: Option<PathBuf>,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
}

/// Plays a scenario.
///
/// # Errors
/// The report cannot be written, or the clock cannot run.
pub fn run(arguments: &RunArguments) -> anyhow::Result<Outcome> {
    let mut loaded = match scenario::load(&arguments.scenario) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprint!("{}", problems.render(super::check::colours()));
            return Ok(Outcome::Configuration);
        }
    };
    if !arguments.only.is_empty() {
        loaded = match loaded.keep_only(&arguments.only) {
            Ok(kept) => kept,
            Err(unknown) => {
                eprintln!("error: {unknown}");
                return Ok(Outcome::Configuration);
            }
        };
    }
    let Loaded {
        mut scenario,
        text,
        warnings,
        ..
    } = loaded;
    eprint!("{}", warnings.render(super::check::colours()));
    if let Some(seed) = arguments.seed {
        scenario.seed = seed;
    }
    let (clock, suffix) = match arguments.virtual_time {
        true => (Clock::Virtual, "-virtual"),
        false => (Clock::Real, ""),
    };
    let output = arguments
        .output
        .clone()
        .unwrap_or_else(|| Path::new("reports").join(format!("{}{suffix}", scenario.name)));
    // Before the run, not after it, when minutes of measuring would be lost.
    if let Err(error) = std::fs::create_dir_all(&output) {
        eprintln!("error: cannot write {}: {error}", output.display());
        return Ok(Outcome::Configuration);
    }
    let interrupt = Interrupt::default();
    listen_for_signals(&interrupt)?;
    let show: Rc<dyn Progress> = match arguments.quiet {
        true => Rc::new(engine::Silent),
        false => progress::live(),
    };
    let started = environment::Stopwatch::start();
    let scenario = Rc::new(scenario);
    // Whatever happens to a later run, those before it are not lost.
    let keep = |so_far: &mut result::Result| {
        complete(so_far, &started);
        if let Err(error) = report::write_result(so_far, &output) {
            eprintln!("warning: {error}");
        }
    };
    let mut result = engine::play_each(&scenario, &text, clock, &show, &interrupt, keep)?;
    drop(show);
    complete(&mut result, &started);
    super::write_report(&result, &output)?;
    println!("{}", report::console(&result));
    println!("Report: {}", output.join("report.html").display());
    Ok(judge(&result))
}

/// Adds to a result what the engine cannot know: where it was measured, and what it means.
fn complete(result: &mut result::Result, started: &environment::Stopwatch) {
    result.environment = started.environment();
    for run in &mut result.runs {
        run.verdict = report::verdict(run, &result.scenario);
    }
}

/// What a result means for the exit code.
fn judge(result: &result::Result) -> Outcome {
    // What is left out for want of an installed server, or in virtual time, was told and is no
    // failure; a store that should have answered is one.
    let unreachable = result.left_out.iter().any(|run| run.remedy.is_none());
    let invalid = result.runs.iter().any(|run| !run.validity.valid);
    if unreachable || invalid || result.partial || result.runs.is_empty() {
        return Outcome::Invalid;
    }
    let missed = result
        .runs
        .iter()
        .flat_map(|run| &run.objectives)
        .any(|objective| !objective.met);
    if missed {
        Outcome::ObjectiveMissed
    } else {
        Outcome::Good
    }
}

/// Ctrl-C and SIGTERM stop the scenario, and what was measured until then is written.
fn listen_for_signals(interrupt: &Interrupt) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let interrupt = interrupt.clone();
    let _entered = runtime.enter();
    let mut asked = signal(SignalKind::interrupt())?;
    let mut told = signal(SignalKind::terminate())?;
    drop(_entered);
    // A thread of its own, since the engine's clock starts anew with every run.
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        biased;
                        _ = asked.recv() => {}
                        _ = told.recv() => {}
                    }
                    interrupt.raise();
                    eprintln!("stopping; what was measured until now is written");
                }
            });
        })?;
    Ok(())
}
