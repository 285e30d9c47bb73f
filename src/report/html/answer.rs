//! What came out, in one paragraph.
//!
//! Only valid and whole runs are compared; the others are said to be left aside.

use crate::report::{format, merge};
use crate::result::{Result, Run, SessionEnds};

/// The paragraph.
pub(super) fn answer(result: &Result) -> String {
    let sound: Vec<&Run> = result
        .runs
        .iter()
        .filter(|run| run.validity.valid && !run.partial)
        .collect();
    let mut says = Vec::new();
    if result.runs.is_empty() {
        says.push("No run was measured.".to_owned());
    }
    let aside = result.runs.len() - sound.len();
    if aside > 0 {
        says.push(format!(
            "{} for nothing here.",
            match aside {
                1 => "One run is not valid or not whole and counts".to_owned(),
                many => format!("{many} runs are not valid or not whole and count"),
            }
        ));
    }
    if !sound.is_empty() {
        says.push(load(result, &sound));
        says.extend(session_ends(&sound));
        says.extend(locks(&sound));
        says.extend(objectives(&sound));
    }
    says.join(" ")
}

fn load(result: &Result, sound: &[&Run]) -> String {
    let measured: Vec<u64> = sound.iter().map(|run| run.requests.measured).collect();
    let (least, most) = (
        measured.iter().min().copied().unwrap_or(0),
        measured.iter().max().copied().unwrap_or(0),
    );
    let requests = if least == most {
        format::count(most)
    } else {
        format!("{} to {}", format::count(least), format::count(most))
    };
    let who = match sound {
        [only] => only.name.clone(),
        many => format!(
            "{} providers took the same visitors, and each",
            spelt(many.len())
        ),
    };
    format!(
        "{who} served {requests} page requests in {}.",
        format::duration(result.scenario.measured_ns)
    )
}

fn private_ends(run: &Run) -> Option<&SessionEnds> {
    run.session_ends.iter().find(|ends| ends.kind == "private")
}

fn session_ends(sound: &[&Run]) -> Vec<String> {
    let mut says = Vec::new();
    let mut timed: Vec<(&str, &SessionEnds)> = sound
        .iter()
        .filter_map(|run| Some((run.name.as_str(), private_ends(run)?)))
        .filter(|(_, ends)| ends.lateness.count > 0)
        .collect();
    timed.sort_by_key(|(_, ends)| ends.lateness.p99);
    let half_and_most = |ends: &SessionEnds| {
        format!(
            "half within {} of the deadline, 99 % within {}",
            format::duration(ends.lateness.p50),
            format::duration(ends.lateness.p99)
        )
    };
    match timed.as_slice() {
        [] => {}
        [(name, ends)] => {
            says.push(format!(
                "{name} ends sessions late: {}.",
                half_and_most(ends)
            ));
        }
        [.., (latest, late_ends)] => {
            let mut reliable = timed.iter().filter(|(_, ends)| reliable(ends));
            let best = reliable.next();
            if let Some((best, ends)) = best {
                let praise = match reliable.next() {
                    Some(_) => format!(
                        "Of the providers that hardly ever miss an end or raise it too early, \
                         {best} is the soonest"
                    ),
                    None => format!(
                        "Of the providers that end sessions, only {best} hardly ever misses an \
                         end or raises it too early"
                    ),
                };
                says.push(format!("{praise}: {}.", half_and_most(ends)));
            }
            if best.is_none_or(|(best, _)| best != latest) {
                says.push(format!(
                    "The latest is {latest}: {}.",
                    half_and_most(late_ends)
                ));
            }
        }
    }
    for run in sound {
        let Some(ends) = private_ends(run) else {
            continue;
        };
        if ends.missed > 0 && ends.ended_once + ends.ended_more == 0 {
            says.push(format!(
                "{} never ends a session: {} were never committed.",
                run.name,
                format::counted(run.page_views.lost_with_visit, "page view", "page views")
            ));
            continue;
        }
        let faults: Vec<String> = [
            (ends.missed, "missed"),
            (ends.premature, "premature"),
            (ends.duplicates, "duplicate"),
        ]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", format::count(number)))
        .collect();
        if !faults.is_empty() {
            let ends = match ends.missed + ends.premature + ends.duplicates {
                1 => "end",
                _ => "ends",
            };
            says.push(format!("{} has {} {ends}.", run.name, faults.join(", ")));
        }
    }
    says
}

/// Whether so few ends are missing or early that their lateness tells how good a provider is.
fn reliable(ends: &SessionEnds) -> bool {
    let due = ends.ended_once + ends.ended_more + ends.missed;
    (ends.missed + ends.premature) * 100 <= due
}

fn locks(sound: &[&Run]) -> Option<String> {
    let mut waits: Vec<(u64, &str)> = sound
        .iter()
        .filter_map(|run| {
            let locks = merge::locks(run, "private")?;
            (locks.contended > 0).then_some((locks.acquire_wait.p99, run.name.as_str()))
        })
        .collect();
    waits.sort_unstable();
    let (least, first) = waits.first()?;
    let (most, last) = waits.last()?;
    let (least, most) = (format::duration(*least), format::duration(*most));
    Some(if least == most {
        format!("One request in a hundred waits {least} or more for its session’s lock.")
    } else {
        format!(
            "One request in a hundred waits {least} ({first}) to {most} ({last}) or more for its \
             session’s lock."
        )
    })
}

fn objectives(sound: &[&Run]) -> Option<String> {
    let all: Vec<bool> = sound
        .iter()
        .flat_map(|run| &run.objectives)
        .map(|objective| objective.met)
        .collect();
    let met = all.iter().filter(|met| **met).count();
    match (met, all.len()) {
        (_, 0) => None,
        (met, all) if met == all => Some("All objectives are met.".to_owned()),
        (met, all) => Some(format!("{met} of {all} objectives are met.")),
    }
}

fn spelt(number: usize) -> String {
    const WORDS: [&str; 10] = [
        "No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine",
    ];
    WORDS
        .get(number)
        .map_or_else(|| number.to_string(), |word| (*word).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::comparison;

    #[test]
    fn the_answer_names_the_soonest_and_who_never_ends_a_session() {
        let answer = answer(&comparison());
        assert!(answer.contains("redis-sitecore is the soonest"), "{answer}");
        assert!(
            answer.contains("redis-microsoft never ends a session"),
            "{answer}"
        );
    }

    #[test]
    fn who_misses_ends_or_ends_early_is_not_the_soonest() {
        let mut result = comparison();
        result.runs[3].session_ends[0].missed = 100;
        let answer = answer(&result);
        assert!(
            answer.contains("only inproc hardly ever misses"),
            "{answer}"
        );
    }

    #[test]
    fn the_only_reliable_provider_is_not_called_the_latest_as_well() {
        let mut result = comparison();
        for run in &mut result.runs[2..] {
            run.session_ends[0].missed = 1000;
        }
        result.runs[0].session_ends[0].lateness.p99 = 3_600_000_000_000;
        let answer = answer(&result);
        assert!(answer.contains("only inproc"), "{answer}");
        assert!(!answer.contains("The latest is"), "{answer}");
    }

    #[test]
    fn an_invalid_run_is_never_the_best() {
        let mut result = comparison();
        result.runs[3].validity.valid = false;
        let answer = answer(&result);
        assert!(!answer.contains("redis-sitecore"), "{answer}");
        assert!(answer.starts_with("One run is not valid"), "{answer}");
    }
}
