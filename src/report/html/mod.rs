//! `report.html`: one page that needs nothing but itself.
//!
//! A result flows in, a page flows out, with its style sheet and its plots inside it and no script.
//! It answers first (what came out, side by side), then shows (plots), then accounts for every run.
//! Everything that comes from a scenario or a store is escaped.

mod answer;
mod incidents;
mod markup;
mod overview;
mod providers;
mod run;
mod setup;
mod traffic;

pub(super) use markup::escape;

use super::{File, WriteError, format, plots};
use crate::result::{Result, Run, ScenarioInfo};
use markup::{Cell, Table, prose};

type Page = std::result::Result<String, WriteError>;

/// What the words of the page mean (design: the project's own vocabulary).
const WORDS: [(&str, &str); 12] = [
    (
        "Due",
        "the last instant at which the contract says a session was kept alive, plus its timeout",
    ),
    (
        "Lateness",
        "from the due instant to the session end being raised; an end before the due instant is premature",
    ),
    ("Missed", "due, and not ended when the run was over"),
    (
        "Duplicate",
        "a session end raised again for a session that has ended",
    ),
    (
        "Visit",
        "a private session, from its first request to its end; only an ended visit is committed",
    ),
    (
        "Contact session",
        "the shared session of a person, alive while any of their visits is",
    ),
    (
        "Response",
        "from the instant a request was intended to its answer: what a visitor feels",
    ),
    (
        "Service",
        "from the instant a request was sent to its answer: what the store and its locks take",
    ),
    (
        "Lag",
        "from the instant a request was intended to its being sent: what the load generator owes",
    ),
    (
        "Acquire wait",
        "from first asking for a session to holding its lock",
    ),
    (
        "Hand-over",
        "from the release of a lock to the next waiter holding it",
    ),
    (
        "Steal",
        "a lock released by force because its age passed the execution timeout",
    ),
];

/// The page as a file.
pub(super) fn files(result: &Result) -> std::result::Result<Vec<File>, WriteError> {
    Ok(vec![File {
        name: "report.html".to_owned(),
        contents: page(result)?.into_bytes(),
    }])
}

fn page(result: &Result) -> Page {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{} · sessionbench</title>\n\
         <style>\n{}</style>\n</head>\n<body>\n",
        escape(&result.scenario.name),
        include_str!("../style.css")
    );
    page.push_str(&masthead(result));
    page.push_str("<main>\n");
    page.push_str(&banners(result));
    page.push_str(&overview::overview(result)?);
    for (index, run) in result.runs.iter().enumerate() {
        page.push_str(&run::section(result, index, run)?);
    }
    page.push_str(&left_out(result));
    page.push_str("</main>\n");
    page.push_str(&footer(result));
    page.push_str("</body>\n</html>\n");
    Ok(page)
}

fn masthead(result: &Result) -> String {
    let (scenario, environment) = (&result.scenario, &result.environment);
    let fact = |name: &str, value: &str| {
        format!(
            "<div><dt>{}</dt><dd>{}</dd></div>\n",
            escape(name),
            prose(value)
        )
    };
    let seconds = |seconds: f64| format::duration((seconds.max(0.0) * 1e9) as u64);
    let description = if scenario.description.trim().is_empty() {
        String::new()
    } else {
        format!("<p class=\"lede\">{}</p>\n", prose(&scenario.description))
    };
    let facts = [
        fact("Started", &when(&environment.started)),
        fact("Took", &seconds(environment.took_seconds)),
        fact(
            "Measured",
            &format!(
                "{} per run, after {} of warm-up",
                format::duration(scenario.measured_ns),
                format::duration(scenario.warm_up_ns)
            ),
        ),
        fact("Session timeout", &session_timeout(scenario)),
        fact("Time scale", &time_scale(scenario)),
        fact("Seed", &scenario.seed.to_string()),
        fact(
            "Machine",
            &format!(
                "{}, {}, {}",
                environment.processor,
                format::counted(environment.processors.into(), "processor", "processors"),
                environment.system
            ),
        ),
        fact("sessionbench", &environment.version),
    ];
    format!(
        "<header class=\"masthead\">\n<p class=\"kicker\">Session-state benchmark</p>\n<h1>{}</h1>\n\
         {description}<dl class=\"facts\">\n{}</dl>\n</header>\n",
        escape(&scenario.name),
        facts.concat()
    )
}

/// `2026-11-20T14:05:09Z` as `2026-11-20 14:05 UTC`; another text as it is.
fn when(started: &str) -> String {
    match (started.get(..10), started.get(11..16)) {
        (Some(date), Some(time)) if started.ends_with('Z') => format!("{date} {time} UTC"),
        _ => started.to_owned(),
    }
}

fn session_timeout(scenario: &ScenarioInfo) -> String {
    let site = format!("{} min", scenario.timeout_minutes);
    if scenario.scale == 1.0 || scenario.scale <= 0.0 {
        return site;
    }
    let real = f64::from(scenario.timeout_minutes) * 60e9 / scenario.scale;
    format!(
        "{site} of the site’s time, {} here",
        format::duration(real as u64)
    )
}

fn time_scale(scenario: &ScenarioInfo) -> String {
    if scenario.scale == 1.0 {
        "none: real minutes".to_owned()
    } else {
        format!(
            "minutes {} times shorter; polls and scans stay real",
            format::number(scenario.scale)
        )
    }
}

/// What a reader must know before any number: what was cut short, what is not valid.
fn banners(result: &Result) -> String {
    let mut banners = String::new();
    let mut banner = |title: &str, text: &str| {
        banners.push_str(&format!(
            "<p class=\"banner\" role=\"note\"><strong>{}</strong> {}</p>\n",
            prose(title),
            prose(text)
        ));
    };
    for run in result.runs.iter().filter(|run| !run.validity.valid) {
        let why = run.validity.reasons.join("; ");
        banner(
            &format!("{} is not valid.", run.name),
            &format!("Do not use its numbers: {why}."),
        );
    }
    if result.partial || result.runs.iter().any(|run| run.partial) {
        banner("Interrupted.", "This is what was measured until then.");
    }
    if !result.environment.optimised {
        banner("Not an optimised build.", "Its times are partly its own.");
    }
    banners
}

fn left_out(result: &Result) -> String {
    if result.left_out.is_empty() {
        return String::new();
    }
    let mut table = Table::new([Cell::text("Run"), Cell::text("Why"), Cell::text("Remedy")]);
    for left in &result.left_out {
        let remedy = match &left.remedy {
            Some(command) => Cell::html(format!("<code>{}</code>", escape(command))),
            None => Cell::text(format::NOTHING),
        };
        table.row(&left.name, [Cell::text(&left.reason), remedy]);
    }
    format!(
        "<section id=\"left-out\">\n<h2>Left out</h2>\n{}</section>\n",
        table.bare()
    )
}

fn footer(result: &Result) -> String {
    let words: String = WORDS
        .iter()
        .map(|(word, meaning)| {
            format!(
                "<div><dt>{}</dt><dd>{}</dd></div>\n",
                escape(word),
                escape(meaning)
            )
        })
        .collect();
    format!(
        "<footer>\n<h2>What the words mean</h2>\n<dl class=\"words\">\n{words}</dl>\n\
         <details><summary>The scenario as it was read</summary><pre>{}</pre></details>\n\
         <p class=\"imprint\">sessionbench {} · every number is in result.json, every distribution \
         in the .hgrm and .hlog files beside it</p>\n</footer>\n",
        escape(&result.scenario.yaml),
        escape(&result.environment.version)
    )
}

/// A plot with its title and how to read it.
fn figure(title: &str, plot: &plots::Figure, legend: &str, caption: &str) -> String {
    format!(
        "<figure>\n<h3>{}</h3>\n<div class=\"wide\">{}</div>\n\
         <div class=\"narrow\">{legend}{}</div>\n<figcaption>{}</figcaption>\n</figure>\n",
        prose(title),
        plot.wide,
        plot.narrow,
        prose(caption)
    )
}

/// The colour of a run.
fn swatch(index: usize) -> String {
    format!(
        "<i class=\"swatch\" style=\"background:{}\"></i>",
        plots::Ink::series(index).css()
    )
}

/// The verdict that came with the run, or a fresh one for a run that has none yet.
fn verdict(run: &Run, scenario: &ScenarioInfo) -> Vec<String> {
    if run.verdict.is_empty() {
        super::verdict(run, scenario)
    } else {
        run.verdict.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{blank, comparison, empty};
    use crate::result::Offender;

    #[test]
    fn the_page_needs_nothing_but_itself() {
        let page = page(&comparison()).unwrap();
        for outside in ["<script", "<link", "<img", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("http").count(), 0);
    }

    #[test]
    fn whatever_a_scenario_or_a_store_says_is_shown_and_not_obeyed() {
        let mut result = comparison();
        let attack = "</title><script>alert(1)</script>\"'";
        result.scenario.name = attack.to_owned();
        result.scenario.description = attack.to_owned();
        result.scenario.yaml = attack.to_owned();
        result.environment.processor = attack.to_owned();
        result.left_out[0].remedy = Some(attack.to_owned());
        let run = &mut result.runs[0];
        run.name = attack.to_owned();
        run.verdict = vec![attack.to_owned()];
        run.validity.valid = false;
        run.validity.reasons = vec![attack.to_owned()];
        run.clusters[0].private.title = attack.to_owned();
        run.contention[0].session = attack.to_owned();
        run.objectives[0].text = attack.to_owned();
        run.integrity[0].offenders = vec![Offender {
            at_ns: 1,
            session: attack.to_owned(),
            found: attack.to_owned(),
        }];
        run.requests.failed.insert(attack.to_owned(), 1);
        let offender = run.integrity[0].offenders[0].clone();
        run.offenders
            .insert("private.failed".to_owned(), vec![offender]);
        run.clusters[0].private.wait = attack.to_owned();
        run.clusters[0].private.expected_lateness = attack.to_owned();
        let page = page(&result).unwrap();
        assert!(!page.contains("<script"));
        assert_eq!(
            page.matches("</title>").count(),
            page.matches("<title>").count()
        );
        assert!(page.contains("&lt;script&gt;alert(1)"));
    }

    #[test]
    fn a_result_without_runs_makes_a_page() {
        assert!(page(&empty()).unwrap().contains("No run was measured"));
    }

    #[test]
    fn a_run_without_numbers_makes_a_page_without_nonsense() {
        let mut result = empty();
        result.runs = vec![blank("idle")];
        let page = page(&result).unwrap();
        assert!(page.contains("Proves nothing about locks"));
        assert!(!page.contains("NaN") && !page.contains("inf "));
    }

    #[test]
    fn an_invalid_run_is_announced_before_any_number() {
        let mut result = comparison();
        result.runs[1].validity.valid = false;
        result.runs[1].validity.reasons = vec!["the generator lagged".to_owned()];
        let page = page(&result).unwrap();
        let banner = page.find("redis-microsoft is not valid").unwrap();
        assert!(banner < page.find("What came out").unwrap());
    }

    /// The values of an attribute in a page.
    fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
        let opening = format!(" {attribute}=\"");
        let parts = page.split(opening.as_str()).skip(1);
        parts.filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn every_link_within_the_page_leads_to_one_place_in_it() {
        let page = page(&comparison()).unwrap();
        let ids = values(&page, "id");
        let links = values(&page, "href");
        assert!(links.contains(&"#run-2-lost_visits"), "{links:?}");
        for link in links {
            let anchor = link.strip_prefix('#').unwrap();
            let places = ids.iter().filter(|id| **id == anchor).count();
            assert_eq!(places, 1, "{link}");
        }
    }

    #[test]
    fn a_wrong_leads_to_its_session_and_instant_and_from_there_to_the_plot_of_its_lock() {
        let page = page(&comparison()).unwrap();
        let place = page
            .split("<article id=\"run-2-duplicates\">")
            .nth(1)
            .unwrap();
        let place = place.split("</article>").next().unwrap();
        assert!(
            place.contains("192.000\u{a0}s") || place.contains("192.000 s"),
            "{place}"
        );
        assert!(place.contains("#run-2-lock-0"), "{place}");
        assert!(place.contains("q3v0aa5xk1jzq0kkxtwsn5ib"), "{place}");
        assert!(page.contains("id=\"run-2-lock-0\""));
    }

    #[test]
    fn a_run_in_which_nothing_could_go_wrong_says_so() {
        let mut result = empty();
        result.runs = vec![blank("idle")];
        let page = page(&result).unwrap();
        assert!(page.contains("Nothing went wrong."));
        assert!(page.contains("Here nothing could go wrong: no session was contended"));
    }

    #[test]
    fn every_element_that_opens_closes() {
        let page = page(&comparison()).unwrap();
        for element in [
            "section", "table", "tr", "td", "figure", "svg", "details", "div", "dl",
        ] {
            let opened = page.matches(&format!("<{element}>")).count()
                + page.matches(&format!("<{element} ")).count();
            assert_eq!(
                opened,
                page.matches(&format!("</{element}>")).count(),
                "{element}"
            );
        }
    }
}
