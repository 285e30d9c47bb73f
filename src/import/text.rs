//! The scenario as a file that a person goes on with.
//!
//! In: a site's session state. Out: YAML with comments. The surprising fact: half of it is not from
//! the configuration. Who visits and how many servers there are stands in no Web.config, so modest
//! examples stand in their place, marked as such.

use super::providers::Block;
use super::site::Site;
use std::collections::BTreeSet;

/// Widest line of a comment.
const WIDTH: usize = 98;

/// What no configuration says.
const TRAFFIC: &str = "\
# Not in any configuration: replace by your traffic.
contacts:
  arrivals: { poisson: { rate: 20/min } }
  devices: { weighted: [{ value: 1, weight: 80 }, { value: 2, weight: 20 }] }
visits:
  pages: 5
  think_time: { exponential: { mean: 30s } }
  ajax: 3
  work: { lognormal: { median: 20ms, p95: 80ms } }
data:
  private: { initial: 2KiB, per_page: 600B }
  shared: { facets: 4KiB, per_device: 256B }
";

/// A scenario of this name from files of these names.
#[must_use]
pub fn scenario(name: &str, files: &[String], site: &Site) -> String {
    let mut text = String::new();
    head(&mut text, files, site);
    text.push_str(&format!("name: {}\n", word(name)));
    time(&mut text, site);
    text.push('\n');
    text.push_str(TRAFFIC);
    text.push_str("\nsession:\n");
    text.push_str(&format!(
        "  timeout: {}min # the shared session's is a minute more\n",
        site.timeout
    ));
    if !site.module.is_empty() {
        text.push_str("module:\n");
        for (key, value) in &site.module {
            text.push_str(&format!("  {key}: {value}\n"));
        }
    }
    text.push('\n');
    clusters(&mut text, site);
    text
}

fn head(text: &mut String, files: &[String], site: &Site) {
    let files = files.join(", ");
    comment(
        text,
        0,
        &format!("Imported by `sessionbench import` from {files}."),
    );
    let blocks = [Some(&site.private), site.shared.as_ref()];
    let blocks = || blocks.into_iter().flatten();
    if blocks().any(|block| !block.in_process()) {
        text.push_str("#\n");
        comment(
            text,
            0,
            "The servers below are the configuration's own, and a run puts load on them: name test \
             servers in their place.",
        );
    }
    let variables: BTreeSet<_> = blocks().flat_map(|block| &block.variables).collect();
    if !variables.is_empty() {
        text.push_str("#\n# Secrets come from the environment. Set, before `check` and `run`:\n");
        for variable in variables {
            let line = format!("   {}: {}", variable.name, variable.holds);
            text.push_str(&format!("#{}\n", one_line(&line)));
        }
    }
    for remark in &site.remarks {
        text.push_str("#\n");
        comment(text, 0, remark);
    }
}

fn time(text: &mut String, site: &Site) {
    let blocks = [Some(&site.private), site.shared.as_ref()];
    if blocks.into_iter().flatten().any(|block| block.real_minutes) {
        text.push_str("# The store counts minutes by its own clock, so time is not scaled.\n");
        text.push_str("time: { warm_up: 1min, duration: 10min }\n");
    } else {
        text.push_str("# A minute of the site lasts a second; a 20-minute session lasts 20 s.\n");
        text.push_str("time: { scale: 60, warm_up: 1min, duration: 10min }\n");
    }
}

fn clusters(text: &mut String, site: &Site) {
    let one = site.shared.as_ref().is_none_or(Block::in_process);
    text.push_str("clusters:\n  web:\n");
    match one {
        true => comment(
            text,
            4,
            "Shared state in process is supported on one CD server only.",
        ),
        false => comment(text, 4, "Not in any configuration: replace by yours."),
    }
    text.push_str(&format!("    servers: {}\n", if one { 1 } else { 2 }));
    text.push_str("    balancer: sticky\n");
    let Some(shared) = &site.shared else {
        text.push_str("    private: sessions\n");
        comment(
            text,
            4,
            "This site has no Sitecore, so no shared state; the harness plays one with every page. In \
             process it costs next to nothing. More servers need `allow_unsupported: true`.",
        );
        text.push_str("    shared: contacts\n\nproviders:\n");
        block(text, "sessions", &site.private);
        text.push_str("  contacts: { inproc: {} }\n");
        return;
    };
    let same = site.private.provider == shared.provider && site.private.settings == shared.settings;
    let names = if same {
        ["sessions"; 2]
    } else {
        ["private", "shared"]
    };
    text.push_str(&format!(
        "    private: {}\n    shared: {}\n",
        names[0], names[1]
    ));
    comment(text, 4, "`exclusive` for Sitecore 7.5 to 8.x.");
    text.push_str("    shared_access: read_only\n\nproviders:\n");
    if same {
        // What is said of one of them alone must not get lost.
        let mut both = site.private.clone();
        let more = shared
            .remarks
            .iter()
            .filter(|it| !both.remarks.contains(it));
        let more: Vec<_> = more.cloned().collect();
        both.remarks.extend(more);
        block(text, names[0], &both);
    } else {
        block(text, names[0], &site.private);
        block(text, names[1], shared);
    }
}

fn block(text: &mut String, name: &str, block: &Block) {
    for remark in &block.remarks {
        comment(text, 2, remark);
    }
    if block.settings.is_empty() {
        text.push_str(&format!("  {name}: {{ {}: {{}} }}\n", block.provider));
        return;
    }
    text.push_str(&format!("  {name}:\n    {}:\n", block.provider));
    for (key, value) in &block.settings {
        text.push_str(&format!("      {key}: {value}\n"));
    }
}

/// A comment of as many lines as it needs.
fn comment(text: &mut String, indent: usize, words: &str) {
    let start = format!("{}#", " ".repeat(indent));
    let mut line = start.clone();
    for word in one_line(words).split_whitespace() {
        if line.chars().count() + word.chars().count() > WIDTH && line != start {
            text.push_str(&line);
            text.push('\n');
            line.clone_from(&start);
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

/// Text without characters that would end a line of a comment, or that YAML forbids.
fn one_line(text: &str) -> String {
    let plain = |c: char| match c {
        '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => ' ',
        c if c.is_control() => ' ',
        c => c,
    };
    text.chars().map(plain).collect()
}

/// A text in quotes. JSON's quotes are YAML's.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A text, in quotes where YAML would take it for something else.
#[must_use]
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let special = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let special = special.contains(&text.to_ascii_lowercase().as_str());
    match begins && !special && text.chars().all(plain) {
        true => text.to_owned(),
        false => quoted(text),
    }
}
