//! What a run's numbers mean, in sentences; the most important first.
//!
//! A run flows in, plain sentences flow out, each with the number that it rests on. Nothing is said
//! where there is nothing to say, and nothing is called good that was not put to the test: an
//! invalid run says so first and is never praised.
//!
//! The surprising fact: duplicates that are as many as the other servers of a cluster are no
//! accident but the design of keyspace notifications, which every server hears (facts §10.3).

mod ends;
mod stores;

use super::format::{count, counted, duration, percent};
use super::merge;
use crate::result::{Detection, Run, ScenarioInfo, SessionEnds};

/// Waits below this share of the poll interval did not wait for a poll.
const PART_OF_A_POLL: u64 = 2;

/// The promise that no session is used after its end, by its number.
const USE_AFTER_END: u32 = 9;

/// What the numbers of a run mean, in plain language; the most important first.
#[must_use]
pub fn verdict(run: &Run, scenario: &ScenarioInfo) -> Vec<String> {
    let mut says = Vec::new();
    trust(run, &mut says);
    ends::session_ends(run, scenario, "private", &mut says);
    page_views(run, &mut says);
    promises(run, &mut says);
    waits(run, scenario, "private", &mut says);
    ends::session_ends(run, scenario, "shared", &mut says);
    waits(run, scenario, "shared", &mut says);
    failures(run, &mut says);
    stores::troubles(run, &mut says);
    says.extend(run.validity.unproven.iter().cloned());
    soundness(run, &mut says);
    says
}

fn trust(run: &Run, says: &mut Vec<String>) {
    if !run.validity.valid {
        let why = if run.validity.reasons.is_empty() {
            "no reason was recorded".to_owned()
        } else {
            run.validity.reasons.join("; ")
        };
        says.push(format!(
            "Do not use these numbers: the run is not valid ({why})."
        ));
    }
    if run.partial {
        says.push(format!(
            "The run was interrupted: everything here is about the {} until then.",
            counted(run.requests.sent, "request", "requests")
        ));
    }
    let uneven: Vec<&str> = run
        .conservation
        .iter()
        .filter(|sum| !sum.holds)
        .map(|sum| sum.equation.as_str())
        .collect();
    if !uneven.is_empty() {
        says.push(format!(
            "{} of {} sums do not come out even, so something was not counted: {}.",
            uneven.len(),
            run.conservation.len(),
            uneven.join("; ")
        ));
    }
}

fn page_views(run: &Run, says: &mut Vec<String>) {
    let views = &run.page_views;
    let never_ends = run
        .session_ends
        .iter()
        .any(|ends| ends.kind != "shared" && ends.ended_once + ends.ended_more == 0);
    let lost_with_visit = if never_ends { 0 } else { views.lost_with_visit };
    let faults = [
        (
            lost_with_visit,
            "Lost with visits that were never committed",
        ),
        (
            views.lost_in_visit,
            "Missing in visits that were committed, so updates were lost",
        ),
        (views.committed_again, "Committed more than once"),
    ];
    for (number, what) in faults {
        if number > 0 {
            says.push(format!(
                "{what}: {} ({}).",
                counted(number, "page view", "page views"),
                percent(number, views.performed)
            ));
        }
    }
}

fn promises(run: &Run, says: &mut Vec<String>) {
    // Promises 4 to 7 are about session ends, which have their own sentences.
    let broken = run
        .integrity
        .iter()
        .filter(|promise| promise.violations > 0 && !(4..=7).contains(&promise.number));
    for promise in broken {
        let by_design = match promise.number == USE_AFTER_END && only_before_a_poll(run) {
            true => ", by design: it polls, and a session that is due lives on until the next poll",
            false => "",
        };
        says.push(format!(
            "Broke the promise “{}” {}{by_design}.",
            promise.promise,
            counted(promise.violations, "time", "times")
        ));
    }
}

/// Whether all sessions that were used too late were so between their due instant and a poll.
fn only_before_a_poll(run: &Run) -> bool {
    let poll = Some(Detection::Poll);
    let polls = |kind: &str| {
        run.clusters.iter().all(|cluster| match kind {
            "shared" => (cluster.shared.iter()).all(|shared| shared.detection == poll),
            _ => cluster.private.detection == poll,
        })
    };
    let mut ends = run.session_ends.iter();
    ends.all(|ends| ends.used_after_end == 0 && (ends.resurrected == 0 || polls(&ends.kind)))
}

fn waits(run: &Run, scenario: &ScenarioInfo, kind: &str, says: &mut Vec<String>) {
    let Some(locks) = merge::locks(run, kind) else {
        return;
    };
    let grants = locks.acquire_wait.count;
    if locks.contended > 0 && grants > 0 {
        let in_steps = merge::histogram(&locks.acquire_wait)
            .filter(|_| scenario.poll_interval_ns > 0)
            .map(|waits| {
                let first_step = scenario.poll_interval_ns / PART_OF_A_POLL;
                grants - waits.count_between(0, first_step)
            })
            .filter(|polled| polled * PART_OF_A_POLL > locks.contended);
        let how = match in_steps {
            Some(_) => format!("waits in steps of {}", duration(scenario.poll_interval_ns)),
            None => "waits".to_owned(),
        };
        says.push(format!(
            "A request that meets a locked {kind} session {how}: {} of {} did, p99 of all waits \
             is {} while locks are held for {} (p50).",
            count(locks.contended),
            counted(grants, "grant", "grants"),
            duration(locks.acquire_wait.p99),
            duration(locks.hold.p50)
        ));
    }
    let requests = |number| counted(number, "request", "requests");
    let faults = [
        (
            locks.steals,
            "Stolen from a request still at work",
            counted(
                locks.steals,
                &format!("{kind} lock"),
                &format!("{kind} locks"),
            ),
        ),
        (
            locks.queue_limit_refusals,
            "Refused by a session’s queue limit",
            format!(
                "{} for a {kind} session",
                requests(locks.queue_limit_refusals)
            ),
        ),
        (
            locks.waited_too_long,
            "Gave up waiting at the execution timeout",
            format!("{} for a {kind} session", requests(locks.waited_too_long)),
        ),
        (
            locks.overtakes,
            "Overtook a request that had asked earlier",
            format!("{} for a {kind} session", requests(locks.overtakes)),
        ),
    ];
    for (number, what, whom) in faults {
        if number > 0 {
            says.push(format!("{what}: {whom}."));
        }
    }
}

fn failures(run: &Run, says: &mut Vec<String>) {
    let failed: u64 = run.requests.failed.values().sum();
    if failed > 0 {
        let reasons: Vec<String> = run
            .requests
            .failed
            .iter()
            .map(|(reason, number)| format!("{reason}: {}", count(*number)))
            .collect();
        says.push(format!(
            "Failed: {} of {} ({}).",
            count(failed),
            counted(run.requests.sent, "request", "requests"),
            reasons.join(", ")
        ));
    }
}

/// The last word: what was put to the test and came out well, or was never put to it.
fn soundness(run: &Run, says: &mut Vec<String>) {
    if !run.validity.valid || run.partial {
        return;
    }
    let contended: u64 = run.stores.iter().map(|store| store.locks.contended).sum();
    let ended: u64 = run
        .session_ends
        .iter()
        .map(|ends| ends.ended_once + ends.ended_more)
        .sum();
    let told = |what: &str| run.validity.unproven.iter().any(|text| text.contains(what));
    if contended == 0 && !told("lock") {
        says.push("Proves nothing about locks: no session was ever contended.".to_owned());
    }
    if ended == 0 && !told("end") && run.session_ends.iter().all(|ends| ends.missed == 0) {
        says.push("Proves nothing about session ends: none came due.".to_owned());
    }
    let faulty_ends = |ends: &SessionEnds| {
        ends.missed
            + ends.ended_more
            + ends.premature
            + ends.vanished
            + ends.without_data
            + ends.handler_failed
            + ends.contact_gone
            + ends.resurrected
            + ends.used_after_end
            + ends.unknown
    };
    let views = &run.page_views;
    let lost = views.lost_with_visit + views.lost_in_visit + views.committed_again;
    let faultless = run.session_ends.iter().all(|ends| faulty_ends(ends) == 0)
        && run.integrity.iter().all(|promise| promise.violations == 0)
        && run.conservation.iter().all(|sum| sum.holds)
        && lost == 0;
    if faultless && contended > 0 && ended > 0 {
        says.push(format!(
            "Every one of {} fired exactly once, and no page view was lost while {} had to wait \
             for a lock.",
            counted(ended, "session end", "session ends"),
            counted(contended, "request", "requests")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::{
        blank, empty, inproc, redis_keyspace, redis_microsoft, redis_sitecore,
    };
    use crate::result::{Background, BackgroundWork};

    fn says(run: &Run) -> String {
        verdict(run, &empty().scenario).join("\n")
    }

    #[test]
    fn a_provider_without_session_end_hears_it_first_with_what_was_lost() {
        let says = verdict(&redis_microsoft(), &empty().scenario);
        assert_eq!(
            says[0],
            "Session end never fires: 2,400 visits (11,400 page views) were never committed."
        );
    }

    #[test]
    fn lateness_comes_with_its_main_cause() {
        let says = says(&redis_sitecore());
        assert!(says.contains("of the deadline, 99 % within 2."), "{says}");
        assert!(says.contains("the poll phase accounts for 9"), "{says}");
    }

    #[test]
    fn notifications_that_every_server_hears_are_named_as_the_reason_for_duplicates() {
        let says = says(&redis_keyspace());
        assert!(
            says.contains("fires twice: each of the 2 CD servers hears every notification"),
            "{says}"
        );
    }

    #[test]
    fn ends_a_minute_of_site_time_early_are_early_by_design() {
        let mut run = redis_keyspace();
        run.session_ends[0].earliness =
            crate::report::testing::distribution(&[6_000_000_000, 6_100_000_000]);
        assert!(says(&run).contains("one minute of the site's time, by design"));
    }

    #[test]
    fn waits_for_a_lock_are_told_in_steps_of_the_poll_interval() {
        let says = says(&inproc());
        assert!(
            says.contains("private session waits in steps of 500 ms"),
            "{says}"
        );
    }

    #[test]
    fn an_invalid_run_says_so_first_and_is_not_praised() {
        let mut run = inproc();
        run.validity.valid = false;
        run.validity.reasons = vec!["lag p99 of 80 ms".to_owned()];
        let says = verdict(&run, &empty().scenario);
        assert_eq!(
            says[0],
            "Do not use these numbers: the run is not valid (lag p99 of 80 ms)."
        );
        assert!(
            !says
                .iter()
                .any(|sentence| sentence.contains("exactly once"))
        );
    }

    #[test]
    fn a_run_in_which_nothing_happened_proves_nothing() {
        assert_eq!(
            verdict(&blank("idle"), &empty().scenario),
            [
                "Proves nothing about locks: no session was ever contended.",
                "Proves nothing about session ends: none came due.",
            ]
        );
    }

    #[test]
    fn a_faultless_run_is_praised_with_its_numbers() {
        assert!(says(&inproc()).contains("Every one of 4,800 session ends fired exactly once"));
    }

    /// The ninth promise broken once, by a session that was served before its end.
    fn used_late(mut run: Run) -> Run {
        run.session_ends[0].resurrected = 1;
        run.integrity[0].number = USE_AFTER_END;
        run.integrity[0].violations = 1;
        run
    }

    #[test]
    fn a_session_served_before_the_next_poll_is_told_as_the_design_of_polling() {
        assert!(says(&used_late(redis_sitecore())).contains("1 time, by design: it polls"));
    }

    #[test]
    fn a_session_used_after_its_end_is_nobodys_design() {
        let mut run = used_late(redis_sitecore());
        run.session_ends[0].used_after_end = 1;
        assert!(!says(&run).contains("by design"));
        assert!(!says(&used_late(inproc())).contains("by design"));
    }

    #[test]
    fn ends_in_process_up_to_a_second_early_are_early_by_design() {
        let mut run = inproc();
        run.session_ends[0].premature = 1;
        run.session_ends[0].earliness = crate::report::testing::distribution(&[900_000_000]);
        assert!(says(&run).contains("does not move an expiry by less than 1 s, by design"));
    }

    fn in_the_background(mut run: Run, work: BackgroundWork) -> String {
        run.background.push(Background {
            cluster: run.clusters[0].name.clone(),
            provider: run.clusters[0].private.name.clone(),
            work,
        });
        says(&run)
    }

    #[test]
    fn a_session_that_cannot_be_decoded_is_told_as_what_stops_the_poller() {
        let work = BackgroundWork {
            ticks: 20,
            failed_ticks: 12,
            undecodable: 12,
            ..BackgroundWork::default()
        };
        let says = in_the_background(redis_sitecore(), work);
        assert!(says.contains("stopped the poller of"), "{says}");
        assert!(
            says.contains("12 times: each tick meets it first"),
            "{says}"
        );
        assert!(!says.contains("failed in"), "{says}");
    }

    #[test]
    fn ticks_that_failed_for_another_reason_are_told() {
        let work = BackgroundWork {
            ticks: 20,
            failed_ticks: 3,
            undecodable: 1,
            ..BackgroundWork::default()
        };
        let says = in_the_background(redis_sitecore(), work);
        assert!(says.contains("failed in 2 of 20 ticks"), "{says}");
    }

    #[test]
    fn a_subscription_made_anew_is_told_as_events_that_were_lost() {
        let work = BackgroundWork {
            resubscriptions: 1,
            ..BackgroundWork::default()
        };
        let says = in_the_background(redis_keyspace(), work);
        assert!(says.contains("broke 1 time: what expired"), "{says}");
    }

    #[test]
    fn errors_that_a_provider_kept_to_itself_are_told() {
        let mut run = inproc();
        run.requests.swallowed = 3;
        assert!(says(&run).contains("the session looked empty: 3 errors."));
    }

    #[test]
    fn what_was_left_behind_is_told() {
        let mut run = inproc();
        run.warnings
            .push("sessions could not be cleaned up".to_owned());
        assert!(says(&run).contains("Warning: sessions could not be cleaned up."));
    }

    #[test]
    fn compressed_time_is_named_where_it_overstates() {
        let mut run = redis_keyspace();
        run.session_ends[0].without_data = 2;
        run.session_ends[1].contact_gone = 2;
        // At scale 10, a minute lasts 6 s.
        let says = says(&run);
        assert_eq!(
            says.matches("a minute of the site lasts 6 s here").count(),
            1
        );
    }

    #[test]
    fn at_the_real_pace_nothing_is_overstated() {
        let mut run = redis_keyspace();
        run.session_ends[0].without_data = 2;
        let mut scenario = empty().scenario;
        scenario.scale = 1.0;
        let says = verdict(&run, &scenario).join("\n");
        assert!(!says.contains("a minute of the site lasts"), "{says}");
    }

    #[test]
    fn a_lost_update_is_told_even_when_every_session_ended() {
        let mut run = inproc();
        run.page_views.lost_in_visit = 7;
        assert!(says(&run).contains("so updates were lost: 7 page views (< 0.1 %)"));
    }
}
