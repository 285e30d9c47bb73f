//! What the tests of conformance share: a report is as the table of capabilities says.

#![allow(dead_code, reason = "each test file uses a part")]

use sessionbench::conformance::{self, Report, Verdict};

/// Every verdict is the documented one, nothing was left unseen without a reason, and the server
/// counted the round trips that the provider told.
pub fn assert_documented(report: &Report) {
    assert_behaves_as_documented(report);
    for path in &report.round_trips {
        let counted = path.counted.is_some() || report.server.is_none();
        assert!(counted, "{path:?}");
    }
}

/// The same, where the server's own count is not to be had: it serves others, or does not tell.
pub fn assert_behaves_as_documented(report: &Report) {
    let raises_ends = report.behaviours.iter().any(|finding| {
        finding.behaviour == "end_raised" && finding.verdict == Verdict::AsContracted
    });
    let mut wrong = Vec::new();
    for finding in &report.behaviours {
        let good = match finding.verdict {
            Verdict::AsContracted | Verdict::DeviatesAsDocumented => true,
            Verdict::NotProbed => finding.group == "session end" && !raises_ends,
            Verdict::DeviatesUnexpectedly | Verdict::DeviationNotSeen => false,
        };
        if !good {
            wrong.push(format!("{finding:?}"));
        }
    }
    for path in &report.round_trips {
        if !path.as_designed() {
            wrong.push(format!("{path:?}"));
        }
    }
    wrong.extend(report.warnings.iter().cloned());
    let told = wrong.join("\n");
    assert!(
        wrong.is_empty(),
        "{} {:?}\n{told}",
        report.provider,
        report.settings
    );
    assert_eq!(report.behaviours.len(), conformance::all().count());
    assert!(report.as_documented());
}
