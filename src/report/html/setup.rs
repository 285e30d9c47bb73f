//! What a run ran on: clusters, providers, the stores' servers, the load generator.

use super::markup::{Cell, Table};
use crate::report::format::{self, NOTHING};
use crate::result::{Background, ProviderInfo, Run, ServerUse, StoreSample};

/// All tables of this kind.
pub(super) fn blocks(run: &Run) -> String {
    let mut html: String = run.servers.iter().map(server_use).collect();
    html.extend(run.background.iter().map(background));
    html.push_str(&generator(run));
    html.push_str(&clusters(run));
    html
}

fn server_use(server: &ServerUse) -> String {
    let mut table = Table::of_numbers(&["", "before", "peak", "after"]);
    let samples = [&server.before, &server.peak, &server.after];
    let mut row = |name: &str, cell: &dyn Fn(&StoreSample) -> Option<String>| {
        let cells = samples.map(cell);
        // What a store does not tell has no row.
        if cells.iter().any(Option::is_some) {
            let cell = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
            table.row(name, cells.map(|text| Cell::number(cell(text))));
        }
    };
    row("Memory", &|sample| sample.memory_bytes.map(format::bytes));
    row("Memory per session", &|sample| {
        sample.bytes_per_session.map(format::bytes)
    });
    row("CPU time", &|sample| {
        sample
            .cpu_seconds
            .map(|seconds| format::duration((seconds.max(0.0) * 1e9) as u64))
    });
    row("Commands", &|sample| sample.commands.map(format::count));
    row("Keys or rows", &|sample| sample.keys.map(format::count));
    row("Of those, that expire", &|sample| {
        sample.volatile_keys.map(format::count)
    });
    row("Expired", &|sample| sample.expired_keys.map(format::count));
    row("Evicted", &|sample| sample.evicted_keys.map(format::count));
    row("Bytes received", &|sample| {
        sample.bytes_in.map(format::bytes)
    });
    row("Bytes sent", &|sample| sample.bytes_out.map(format::bytes));
    row("Clients", &|sample| sample.clients.map(format::count));
    table.under(&format!(
        "Server behind {} in {}",
        server.provider, server.cluster
    ))
}

fn background(background: &Background) -> String {
    let work = &background.work;
    let mut table = Table::of_numbers(&["", ""]);
    let rows = [
        ("Ticks of pollers", work.ticks, false),
        ("Of those, failed", work.failed_ticks, true),
        ("Notifications heard", work.events, false),
        ("Subscriptions made anew", work.resubscriptions, true),
        ("Expired sessions claimed", work.claimed, false),
        ("Claimed by another first", work.claimed_by_others, false),
        ("Claimed again", work.claimed_again, true),
        ("Expired without data", work.without_data, true),
        ("Not to be decoded", work.undecodable, true),
        ("Handlers that threw", work.failed_ends, true),
        ("Not removed from the store", work.failed_removals, true),
    ];
    for (name, number, fault) in rows {
        // What a provider never does has no row.
        if number > 0 {
            let cell = Cell::number(format::count(number)).bad_if(fault);
            table.row(name, [cell]);
        }
    }
    table.under(&format!(
        "In the background of {} in {}",
        background.provider, background.cluster
    ))
}

fn generator(run: &Run) -> String {
    let generator = &run.generator;
    if generator.memory_bytes == 0 && generator.cpu_seconds == 0.0 {
        return String::new();
    }
    let mut table = Table::of_numbers(&["", ""]);
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    table.row(
        "Share of one processor",
        [Cell::number(percent(generator.cpu_share))],
    );
    table.row(
        "CPU time",
        [Cell::number(format!("{:.1} s", generator.cpu_seconds))],
    );
    table.row(
        "Memory, largest",
        [Cell::number(format::bytes(generator.memory_bytes))],
    );
    table.row(
        "Requests in progress, mean",
        [Cell::number(format::number(generator.mean_in_progress))],
    );
    table.row(
        "As Little’s law expects",
        [Cell::number(format::number(generator.expected_in_progress))],
    );
    table.under("Load generator")
}

fn clusters(run: &Run) -> String {
    let mut html = String::new();
    for cluster in &run.clusters {
        let mut table = Table::new([Cell::text(""), Cell::text("")]);
        let mut row = |name: &str, value: &str| table.row(name, [Cell::text(value)]);
        row("Role", &cluster.role.replace('_', " "));
        row("Servers", &cluster.servers.to_string());
        row("Balancer", &cluster.balancer.replace('_', " "));
        row("Shared access", &cluster.shared_access.replace('_', " "));
        provider(&mut table, "Private state", &cluster.private);
        // One provider for both kinds is told once.
        match &cluster.shared {
            Some(shared) if *shared == cluster.private => {
                table.row("Shared state", [Cell::text("the same provider")]);
            }
            Some(shared) => provider(&mut table, "Shared state", shared),
            None => table.row("Shared state", [Cell::text("none")]),
        }
        html.push_str(&table.under(&format!("Cluster {}", cluster.name)));
    }
    html
}

fn provider(table: &mut Table, kind: &str, provider: &ProviderInfo) {
    table.group(kind);
    let (dirty, clean) = provider.designed_round_trips;
    table.row(
        "Provider",
        [Cell::text(&format!(
            "{} ({})",
            provider.title, provider.provider
        ))],
    );
    table.row(
        "Expected lateness",
        [Cell::text(&provider.expected_lateness)],
    );
    table.row("A waiter", [Cell::text(&provider.wait)]);
    table.row(
        "Round trips by design",
        [Cell::text(&format!(
            "{dirty} for a dirty request, {clean} for a clean one"
        ))],
    );
    for (name, value) in &provider.settings {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), ToOwned::to_owned);
        table.row(name, [Cell::text(&value)]);
    }
    if let Some(server) = &provider.server {
        let managed = if server.managed {
            ", started for this run"
        } else {
            ""
        };
        let what = format!(
            "{} {} at {}{managed}",
            server.product, server.version, server.address
        );
        table.row("Server", [Cell::text(&what)]);
        for (name, value) in &server.settings {
            table.row(name, [Cell::text(value)]);
        }
    }
}
