//! HTML from text: escaping, prose, tables.

use std::fmt::Write as _;

/// Text as it goes into HTML, in elements and in quoted attributes.
pub(in crate::report) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A sentence as it goes into HTML: no line ends between a number and its unit.
pub(super) fn prose(text: &str) -> String {
    const UNITS: [&str; 10] = ["ns", "µs", "ms", "s", "min", "h", "%", "B", "KiB", "MiB"];
    let mut sentence = String::with_capacity(text.len());
    let mut after_number = false;
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            let unit =
                word.trim_end_matches(|char: char| char.is_ascii_punctuation() && char != '%');
            sentence.push_str(if after_number && UNITS.contains(&unit) {
                "\u{a0}"
            } else {
                " "
            });
        }
        after_number = word.ends_with(|char: char| char.is_ascii_digit());
        sentence.push_str(&escape(word));
    }
    sentence
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    html: String,
    class: &'static str,
    /// What its column is called, for a phone, where each row is a card.
    label: Option<&'static str>,
}

impl Cell {
    /// Words, to the left.
    pub(super) fn text(text: &str) -> Self {
        Self::html(prose(text))
    }

    /// Something that is HTML already.
    pub(super) fn html(html: String) -> Self {
        Self {
            html,
            class: "",
            label: None,
        }
    }

    /// Numbers that are HTML already, to the right.
    pub(super) fn numbers(html: String) -> Self {
        let class = "n";
        Self {
            class,
            ..Self::html(html)
        }
    }

    /// A number, to the right.
    pub(super) fn number(text: impl AsRef<str>) -> Self {
        Self::numbers(escape(text.as_ref()))
    }

    /// With what its column is called beside it.
    pub(super) fn labelled(self, label: &'static str) -> Self {
        let label = Some(label);
        Self { label, ..self }
    }

    /// A number that should be nothing: marked where it is not.
    pub(super) fn fault(number: u64) -> Self {
        Self::number(super::super::format::count(number)).bad_if(number > 0)
    }

    /// Marked as bad.
    pub(super) fn bad_if(self, bad: bool) -> Self {
        let class = match (bad, self.class) {
            (false, class) => class,
            (true, "n") => "n bad",
            (true, _) => "bad",
        };
        Self { class, ..self }
    }
}

/// Columns of a table that stands beside another one.
const NARROW: usize = 5;

/// A table whose first column names its rows.
#[derive(Debug, Default)]
pub(super) struct Table {
    head: String,
    body: String,
    columns: usize,
    rows: usize,
}

impl Table {
    /// With headings, which stand as their columns do.
    pub(super) fn new(headings: impl IntoIterator<Item = Cell>) -> Self {
        let mut table = Self::default();
        for Cell { html, class, .. } in headings {
            table.columns += 1;
            // Writing to a string cannot fail, here and below.
            let _ = write!(
                table.head,
                "<th scope=\"col\" class=\"{class}\">{html}</th>"
            );
        }
        table
    }

    /// With headings of words: the first to the left, the others to the right.
    pub(super) fn of_numbers(headings: &[&str]) -> Self {
        Self::new(
            headings
                .iter()
                .enumerate()
                .map(|(index, heading)| match index {
                    0 => Cell::text(heading),
                    _ => Cell::number(heading),
                }),
        )
    }

    /// A heading between rows.
    pub(super) fn group(&mut self, name: &str) {
        let _ = writeln!(
            self.body,
            "<tr class=\"group\"><th scope=\"rowgroup\">{}</th><td colspan=\"{}\"></td></tr>",
            escape(name),
            self.columns.saturating_sub(1).max(1)
        );
    }

    /// A row with its name.
    pub(super) fn row(&mut self, name: &str, cells: impl IntoIterator<Item = Cell>) {
        self.row_of(prose(name), cells);
    }

    /// A row whose name is HTML already.
    pub(super) fn row_of(&mut self, name: String, cells: impl IntoIterator<Item = Cell>) {
        self.rows += 1;
        let _ = write!(self.body, "<tr><th scope=\"row\">{name}</th>");
        for Cell { html, class, label } in cells {
            let label = label.map(|label| format!(" data-label=\"{}\"", escape(label)));
            let label = label.unwrap_or_default();
            let _ = write!(self.body, "<td class=\"{class}\"{label}>{html}</td>");
        }
        self.body.push_str("</tr>\n");
    }

    /// The table under a heading of its own; nothing when it has no rows.
    pub(super) fn under(self, heading: &str) -> String {
        if self.rows == 0 {
            return String::new();
        }
        let class = if self.columns > NARROW {
            "block broad"
        } else {
            "block"
        };
        format!(
            "<section class=\"{class}\"><h4>{}</h4>{}</section>\n",
            escape(heading),
            self.bare()
        )
    }

    /// The table alone; nothing when it has no rows.
    pub(super) fn unless_empty(self, class: &str) -> String {
        if self.rows == 0 {
            return String::new();
        }
        self.of_class(class)
    }

    /// The table alone.
    pub(super) fn bare(self) -> String {
        self.of_class("")
    }

    /// The table alone, with a look of its own.
    pub(super) fn of_class(self, class: &str) -> String {
        format!(
            "<div class=\"scroll\" tabindex=\"0\"><table class=\"{class}\"><thead><tr>{}</tr></thead>\
             <tbody>\n{}</tbody></table></div>\n",
            self.head, self.body
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_is_shown_not_obeyed() {
        assert_eq!(
            escape("<script>'a' & \"b\"</script>"),
            "&lt;script&gt;&#39;a&#39; &amp; &quot;b&quot;&lt;/script&gt;"
        );
    }

    #[test]
    fn a_number_keeps_its_unit_beside_it() {
        assert_eq!(
            prose("within 2.5 s, or 3 %."),
            "within 2.5\u{a0}s, or 3\u{a0}%."
        );
        assert_eq!(prose("page 7 is short"), "page 7 is short");
    }

    #[test]
    fn a_table_without_rows_is_not_shown() {
        assert_eq!(Table::of_numbers(&["a", "b"]).under("Heading"), "");
    }
}
