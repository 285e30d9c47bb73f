//! The nearest valid name for a misspelt one.

/// The candidate that somebody most likely meant: equal but for case and hyphens, or no further
/// than a third of its letters away. `None` when nothing is near.
#[must_use]
pub fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written = normal(written);
    // Longer than any name; the distance would only cost time.
    if written.len() > 100 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&written, &normal(candidate));
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn normal(name: &str) -> String {
    name.to_lowercase().replace(['-', ' '], "_")
}

/// Names in backquotes, joined by commas.
#[must_use]
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// Help for a misspelt name: the nearest one if there is one, then all of them.
#[must_use]
pub fn help(written: &str, valid: &[&str], what: &str) -> String {
    let all = match valid {
        [] => format!("there are no {what}"),
        _ => format!("{what}: {}", listed(valid.iter().copied())),
    };
    match nearest(written, valid.iter().copied()) {
        Some(name) => format!("did you mean `{name}`? {all}"),
        None => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_too_few_or_swapped_finds_its_name() {
        let names = ["think_time", "pages", "ajax"];
        for (written, expected) in [
            ("thnk_time", "think_time"),
            ("think-time", "think_time"),
            ("Pages", "pages"),
            ("ajxa", "ajax"),
        ] {
            assert_eq!(nearest(written, names), Some(expected));
        }
    }

    #[test]
    fn a_name_unlike_all_others_finds_none() {
        assert_eq!(nearest("colour", ["think_time", "pages"]), None);
    }
}
