//! Requests, locks and operations of a run, as tables.

use super::markup::{Cell, Table};
use crate::report::format::{self, NOTHING, time_of};
use crate::report::merge;
use crate::result::{Distribution, Locks, Operations, Run};
use std::collections::BTreeMap;

/// The tables over all CD servers.
pub(super) fn narrow_blocks(run: &Run) -> String {
    [locks(run), outcomes(run), weight(run)].concat()
}

/// The tables with a row for each CD server, store or operation.
pub(super) fn broad_blocks(run: &Run) -> String {
    [by_server(run), locks_by_server(run), operations(run)].concat()
}

const PERCENTILES: [&str; 8] = ["", "count", "p50", "p90", "p99", "p99.9", "max", "mean"];

fn percentiles(values: &Distribution) -> [Cell; 7] {
    [
        Cell::number(format::count(values.count)),
        Cell::number(time_of(values, |d| d.p50)),
        Cell::number(time_of(values, |d| d.p90)),
        Cell::number(time_of(values, |d| d.p99)),
        Cell::number(time_of(values, |d| d.p99_9)),
        Cell::number(time_of(values, |d| d.max)),
        Cell::number(time_of(values, |d| d.mean as u64)),
    ]
}

/// Response, service and lag.
pub(super) fn requests(run: &Run) -> String {
    let requests = &run.requests;
    let mut table = Table::of_numbers(&PERCENTILES);
    table.row(
        "Response (done − intended)",
        percentiles(&requests.response),
    );
    table.row("Service (done − sent)", percentiles(&requests.service));
    table.row("Lag (sent − intended)", percentiles(&requests.lag));
    table.under("Page requests")
}

fn outcomes(run: &Run) -> String {
    let requests = &run.requests;
    let mut table = Table::of_numbers(&["In the whole run", "requests"]);
    let number = |number| [Cell::number(format::count(number))];
    table.row("Intended", number(requests.intended));
    table.row("Sent", number(requests.sent));
    table.row("Answered", number(requests.ok));
    for (reason, failed) in &requests.failed {
        table.row(&format!("Failed: {reason}"), [Cell::fault(*failed)]);
    }
    table.row("In progress at the end", number(requests.in_flight));
    let troubles = [
        ("Store operations timed out", requests.timeouts),
        ("Store operations tried again", requests.retries),
        ("Errors kept secret", requests.swallowed),
        ("Sessions not to be decoded", requests.undecodable),
        ("Writes refused, their lock lost", requests.refused_writes),
    ];
    if troubles.iter().any(|(_, number)| *number > 0) {
        table.group("At the stores");
        for (name, number) in troubles {
            table.row(name, [Cell::fault(number)]);
        }
    }
    table.group("Measured, by way through the session");
    for (way, count) in &requests.by_way {
        table.row(way, number(*count));
    }
    table.row("All", number(requests.measured));
    table.under("Where requests went")
}

fn weight(run: &Run) -> String {
    let requests = &run.requests;
    let mut table = Table::of_numbers(&["Per request", "mean", "p50", "p99", "max"]);
    let mut row = |name: &str, values: &Distribution, show: fn(u64) -> String| {
        if values.count > 0 {
            let mean = values.mean;
            let mean = if mean < 100.0 {
                format::number(mean)
            } else {
                show(mean as u64)
            };
            table.row(
                name,
                [mean, show(values.p50), show(values.p99), show(values.max)].map(Cell::number),
            );
        }
    };
    row("Round trips", &requests.round_trips, format::count);
    row("Sent to stores", &requests.bytes_sent, format::bytes);
    row(
        "Received from stores",
        &requests.bytes_received,
        format::bytes,
    );
    table.under("What a request costs")
}

fn by_server(run: &Run) -> String {
    let headings = [
        "CD server",
        "requests",
        "response p50",
        "p99",
        "max",
        "most at once",
    ];
    let mut table = Table::of_numbers(&headings);
    for server in &run.requests.by_server {
        let response = &server.response;
        table.row(
            &format!("{} {}", server.cluster, server.server + 1),
            [
                Cell::number(format::count(response.count)),
                Cell::number(time_of(response, |d| d.p50)),
                Cell::number(time_of(response, |d| d.p99)),
                Cell::number(time_of(response, |d| d.max)),
                Cell::number(format::count(server.most_in_progress)),
            ],
        );
    }
    table.under("CD servers")
}

/// A number of locks.
type Count = fn(&Locks) -> u64;
/// A figure of locks as text.
type Figure = fn(&Locks) -> String;

fn locks(run: &Run) -> String {
    let kinds: Vec<(&str, Locks)> = ["private", "shared"]
        .into_iter()
        .filter_map(|kind| Some((kind, merge::locks(run, kind)?)))
        .collect();
    if kinds.is_empty() {
        return String::new();
    }
    let headings = kinds.iter().map(|(kind, _)| Cell::number(kind));
    let mut table = Table::new(std::iter::once(Cell::text("All CD servers")).chain(headings));
    let times: [(&str, Figure); 9] = [
        ("Grants", |locks| format::count(locks.acquire_wait.count)),
        ("Of those, had to wait", |locks| {
            format::percent(locks.contended, locks.acquire_wait.count)
        }),
        ("Acquire wait p50", |locks| {
            time_of(&locks.acquire_wait, |d| d.p50)
        }),
        ("Acquire wait p99", |locks| {
            time_of(&locks.acquire_wait, |d| d.p99)
        }),
        ("Acquire wait max", |locks| {
            time_of(&locks.acquire_wait, |d| d.max)
        }),
        ("Hold p50", |locks| time_of(&locks.hold, |d| d.p50)),
        ("Hold p99", |locks| time_of(&locks.hold, |d| d.p99)),
        ("Hand-over p50", |locks| {
            time_of(&locks.hand_over, |d| d.p50)
        }),
        ("Hand-over p99", |locks| {
            time_of(&locks.hand_over, |d| d.p99)
        }),
    ];
    for (name, figure) in times {
        table.row(
            name,
            kinds.iter().map(|(_, locks)| Cell::number(figure(locks))),
        );
    }
    table.group("Polling");
    table.row(
        "Gets per grant, mean",
        kinds.iter().map(|(_, locks)| {
            let polls = &locks.polls;
            Cell::number(if polls.count == 0 {
                NOTHING.to_owned()
            } else {
                format::number(polls.mean)
            })
        }),
    );
    let counts: [(&str, Count); 3] = [
        ("Gets that found a lock", |locks| locks.wasted_polls),
        ("Overtakes", |locks| locks.overtakes),
        ("Longest queue", |locks| locks.longest_queue),
    ];
    for (name, figure) in counts {
        table.row(
            name,
            kinds
                .iter()
                .map(|(_, locks)| Cell::number(format::count(figure(locks)))),
        );
    }
    let faults: [(&str, Count); 3] = [
        ("Steals", |locks| locks.steals),
        ("Refused by the queue limit", |locks| {
            locks.queue_limit_refusals
        }),
        ("Gave up waiting", |locks| locks.waited_too_long),
    ];
    for (name, figure) in faults {
        table.row(
            name,
            kinds.iter().map(|(_, locks)| Cell::fault(figure(locks))),
        );
    }
    table.under("Locks")
}

fn locks_by_server(run: &Run) -> String {
    let headings = [
        "CD server",
        "grants",
        "waited",
        "wait p99",
        "hold p50",
        "steals",
        "gave up",
    ];
    let mut table = Table::of_numbers(&headings);
    for store in &run.stores {
        let locks = &store.locks;
        table.row(
            &format!("{} {}, {}", store.cluster, store.server + 1, store.kind),
            [
                Cell::number(format::count(locks.acquire_wait.count)),
                Cell::number(format::count(locks.contended)),
                Cell::number(time_of(&locks.acquire_wait, |d| d.p99)),
                Cell::number(time_of(&locks.hold, |d| d.p50)),
                Cell::fault(locks.steals),
                Cell::fault(locks.waited_too_long),
            ],
        );
    }
    table.under("Locks by CD server")
}

fn operations(run: &Run) -> String {
    let mut verbs: BTreeMap<(&str, &str), Vec<&Operations>> = BTreeMap::new();
    for store in &run.stores {
        for (verb, operations) in &store.operations {
            verbs
                .entry((&store.kind, verb))
                .or_default()
                .push(operations);
        }
    }
    let headings = [
        "Operation",
        "count",
        "p50",
        "p99",
        "max",
        "failed",
        "timed out",
    ];
    let mut table = Table::of_numbers(&headings);
    let mut group = "";
    for ((kind, verb), servers) in verbs {
        if kind != group {
            table.group(kind);
            group = kind;
        }
        let latency = merge::distributions(servers.iter().map(|operations| &operations.latency));
        table.row(
            verb,
            [
                Cell::number(format::count(latency.count)),
                Cell::number(time_of(&latency, |d| d.p50)),
                Cell::number(time_of(&latency, |d| d.p99)),
                Cell::number(time_of(&latency, |d| d.max)),
                Cell::fault(servers.iter().map(|operations| operations.failed).sum()),
                Cell::fault(servers.iter().map(|operations| operations.timed_out).sum()),
            ],
        );
    }
    table.under("Operations of the stores")
}
