//! YAML text as a tree of nodes that remember where they stand in the file.
//!
//! In: the text of a scenario and the environment. Out: a [`Document`] whose nodes carry byte spans,
//! with `variables` replaced by their values, and every problem of the YAML itself:
//! syntax, duplicate keys, anchors, tags, depth, more than one document, variables that are not set.
//!
//! The surprising fact: this tree exists because decoders of YAML tell the position of nothing but
//! their first error. So the scenario is decoded from the tree, not from the text.

use super::path::{Path, Step};
use super::problem::Problem;
use super::tree::{Entry, Node, Value, handle};
use super::variables::{self, Lookup};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};
use serde_json::Number;
use std::collections::HashMap;
use std::ops::Range;

/// Deepest nesting that is read; the format needs less than 12.
pub const MAX_DEPTH: usize = 64;

/// A file that could be read as YAML, with the problems that did not prevent it.
#[derive(Debug)]
pub struct Document {
    /// The outermost node.
    pub root: Node,
    /// Duplicate keys, anchors, tags, variables that are not set.
    pub problems: Vec<Problem>,
    /// Scalars with a variable: what they are, and how the file writes them.
    filled: Vec<(String, String)>,
}

impl Document {
    /// Reads a text, with the variables' values from `lookup`.
    ///
    /// # Errors
    /// A problem after which nothing more can be said: the syntax, the depth, no content, more
    /// than one document.
    pub fn read(text: &str, lookup: &Lookup<'_>) -> Result<Self, Problem> {
        let masked = variables::mask(text);
        let mut reader = Reader::new(text, &masked, lookup);
        let root = reader.document()?;
        let (problems, mut filled) = (reader.problems, reader.filled);
        // A value that is a part of another one must not tear it apart.
        filled.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
        Ok(Self {
            root,
            problems,
            filled,
        })
    }

    /// The problems with every value that came from the environment shown as the file writes it:
    /// it may be a secret. Messages quote what they repeat of the file.
    #[must_use]
    pub fn conceal(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        for text in problems.iter_mut().flat_map(Problem::texts) {
            for (value, written) in &self.filled {
                for quote in ['`', '"'] {
                    let quoted = |text: &str| format!("{quote}{text}{quote}");
                    *text = text.replace(&quoted(value), &quoted(written));
                }
            }
        }
        problems
    }

    /// Removes items of a list under an outermost key, as if they did not stand in the file.
    pub fn retain_items(&mut self, key: &str, mut stays: impl FnMut() -> bool) {
        let Value::Mapping(entries) = &mut self.root.value else {
            return;
        };
        for entry in entries.iter_mut().filter(|entry| entry.key == key) {
            if let Value::List(items) = &mut entry.node.value {
                items.retain(|_| stays());
            }
        }
    }

    /// Where the caret goes for a path: its value if that is written in one piece, else its key.
    /// For what the file leaves out, the nearest enclosing key.
    #[must_use]
    pub fn locate(&self, path: &Path) -> Range<usize> {
        let mut node = &self.root;
        let mut found = handle(node);
        for step in path.steps() {
            let next = match (&node.value, step) {
                (Value::Mapping(entries), Step::Key(key)) => {
                    let entry = entries.iter().find(|entry| entry.key == *key);
                    entry.map(|entry| (entry.caret(), &entry.node))
                }
                (Value::List(nodes), Step::Index(index)) => {
                    nodes.get(*index).map(|node| (handle(node), node))
                }
                _ => None,
            };
            let Some(next) = next else { break };
            (found, node) = next;
        }
        found
    }

    /// How the file writes the value of a path, if it has a variable in it.
    #[must_use]
    pub fn written(&self, path: &Path) -> Option<&str> {
        let mut node = &self.root;
        for step in path.steps() {
            node = node.child(step)?;
        }
        node.written.as_deref()
    }

    /// The key at the end of a path, or what [`locate`](Self::locate) finds.
    #[must_use]
    pub fn locate_key(&self, path: &Path) -> Range<usize> {
        let (Some(parent), Some(Step::Key(key))) = (path.parent(), path.steps().last()) else {
            return self.locate(path);
        };
        let mut node = Some(&self.root);
        for step in parent.steps() {
            node = node.and_then(|node| node.child(step));
        }
        match node.map(|node| &node.value) {
            Some(Value::Mapping(entries)) => entries
                .iter()
                .find(|entry| entry.key == *key)
                .map_or_else(|| self.locate(path), |entry| entry.key_span.clone()),
            _ => self.locate(path),
        }
    }
}

/// Turns the parser's events into nodes.
struct Reader<'a> {
    text: &'a str,
    /// Reads the masked text, which has the same characters at the same places but in variables.
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    lookup: &'a Lookup<'a>,
    /// Byte offset of every character, as the parser counts characters.
    offsets: Vec<usize>,
    problems: Vec<Problem>,
    filled: Vec<(String, String)>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, masked: &'a str, lookup: &'a Lookup<'a>) -> Self {
        Self {
            text,
            parser: Parser::new_from_str(masked),
            lookup,
            offsets: text.char_indices().map(|(offset, _)| offset).collect(),
            problems: Vec::new(),
            filled: Vec::new(),
        }
    }

    fn offset(&self, character: usize) -> usize {
        self.offsets
            .get(character)
            .copied()
            .unwrap_or(self.text.len())
    }

    fn next(&mut self) -> Result<(Event<'a>, Range<usize>), Problem> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let range = self.offset(span.start.index())..self.offset(span.end.index());
                Ok((event, range))
            }
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, self.text.len()..self.text.len())),
        }
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let at = self.offset(error.marker().index());
        // The parser looks ahead and meets its own limit, which is higher, before ours.
        if error.info().contains("recursion limit") {
            return too_deep(at..at);
        }
        let mut problem = Problem::error(format!("this is not YAML: {}", error.info()))
            .label(at..at, "the reader stopped here");
        if self.text.contains('\t') {
            problem = problem.help("YAML indents with spaces; this file has tabs");
        }
        problem
    }

    fn document(&mut self) -> Result<Node, Problem> {
        let (event, span) = loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                other => break other,
            }
        };
        let root = match event {
            Event::StreamEnd | Event::DocumentEnd => None,
            event => Some(self.node(event, span, 0)?),
        };
        let root = root.filter(|node| node.value != Value::Null);
        let Some(root) = root else {
            return Err(Problem::error("the file is empty")
                .label(0..0, "a scenario starts here")
                .help("copy `scenarios/quickstart.yaml` and change it"));
        };
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(_), span) => {
                    return Err(Problem::error("a file holds one scenario")
                        .label(span, "a second document starts here")
                        .help("put it into a file of its own"));
                }
                _ => {}
            }
        }
    }

    fn node(
        &mut self,
        event: Event<'a>,
        span: Range<usize>,
        depth: usize,
    ) -> Result<Node, Problem> {
        if depth > MAX_DEPTH {
            return Err(too_deep(span));
        }
        match event {
            Event::Alias(_) => {
                self.refuse("aliases (`*name`)", &span);
                Ok(Node::new(span, Value::Unreadable))
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_decoration(anchor, tag.is_some(), &span);
                Ok(self.scalar(&text, style, span).unless(tag.is_some()))
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_decoration(anchor, tag.is_some(), &span);
                let list = self.list(span, depth)?;
                Ok(list.unless(tag.is_some()))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_decoration(anchor, tag.is_some(), &span);
                let mapping = self.mapping(span, depth)?;
                Ok(mapping.unless(tag.is_some()))
            }
            // The parser sends nothing else inside a document; if it did, nothing is read.
            _ => Ok(Node::new(span, Value::Unreadable)),
        }
    }

    /// A value in one piece, with its variables filled in.
    fn scalar(&mut self, masked: &str, style: ScalarStyle, span: Range<usize>) -> Node {
        let filled = variables::fill(masked, self.lookup);
        let places = variables::places(&self.text[span.clone()]);
        for fault in &filled.faults {
            let place = places.get(fault.position);
            let place = place.map(|it| span.start + it.start..span.start + it.end);
            let place = place.unwrap_or_else(|| span.clone());
            self.problems.push(match &fault.variable {
                Some(name) => {
                    Problem::error(format!("the environment variable `{name}` is not set"))
                        .label(place, "has no value")
                        .help(format!("set it, or give a default: `${{{name}:-…}}`"))
                }
                None => Problem::error("this names no environment variable")
                    .label(place, "neither `${NAME}` nor `${NAME:-default}`")
                    .help("`$${` stands for these characters themselves"),
            });
        }
        let value = match style {
            _ if !filled.faults.is_empty() => Value::Unreadable,
            ScalarStyle::Plain => plain(&filled.text),
            _ => Value::Text(filled.text.clone()),
        };
        if let Some(written) = &filled.written {
            self.filled.push((filled.text, written.clone()));
        }
        Node {
            span,
            value,
            written: filled.written,
        }
    }

    fn list(&mut self, start: Range<usize>, depth: usize) -> Result<Node, Problem> {
        let mut nodes = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                return Ok(Node::new(start.start..span.end, Value::List(nodes)));
            }
            nodes.push(self.node(event, span, depth + 1)?);
        }
    }

    fn mapping(&mut self, start: Range<usize>, depth: usize) -> Result<Node, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Range<usize>> = HashMap::new();
        loop {
            let (event, key_span) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                return Ok(Node::new(
                    start.start..key_span.end,
                    Value::Mapping(entries),
                ));
            }
            let key = match event {
                Event::Scalar(text, _, anchor, tag) => {
                    self.refuse_decoration(anchor, tag.is_some(), &key_span);
                    Some(variables::unmask(&text))
                }
                event => {
                    self.node(event, key_span.clone(), depth + 1)?;
                    self.problems.push(
                        Problem::error("a key is a word").label(key_span.clone(), "this is not"),
                    );
                    None
                }
            };
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            let Some(key) = key else { continue };
            if let Some(first) = seen.get(&key) {
                self.problems.push(
                    Problem::error(format!("the key `{key}` is given twice"))
                        .label(key_span, "again here")
                        .label(first.clone(), "first here")
                        .help("keep one of them"),
                );
                continue;
            }
            seen.insert(key.clone(), key_span.clone());
            entries.push(Entry {
                key,
                key_span,
                node,
            });
        }
    }

    fn refuse_decoration(&mut self, anchor: usize, tagged: bool, span: &Range<usize>) {
        if anchor != 0 {
            self.refuse("anchors (`&name`)", span);
        }
        if tagged {
            self.refuse("tags (`!name`)", span);
        }
    }

    fn refuse(&mut self, what: &str, span: &Range<usize>) {
        self.problems.push(
            Problem::error(format!("a scenario has no YAML {what}"))
                .label(span.clone(), "used here")
                .help("write the value out, so that the file reads from top to bottom"),
        );
    }
}

fn too_deep(span: Range<usize>) -> Problem {
    Problem::error(format!("nested more than {MAX_DEPTH} levels deep")).label(span, "too deep")
}

/// What an unquoted scalar means. One that a variable stands in may hold what YAML would take for
/// more than a scalar: that is text.
fn plain(text: &str) -> Value {
    let word = |c: char| c.is_ascii_alphanumeric() || "+-._~".contains(c);
    let read = match text.chars().all(word) {
        true => serde_yaml::from_str(text).ok(),
        false => None,
    };
    match read {
        Some(serde_yaml::Value::Null) => Value::Null,
        Some(serde_yaml::Value::Bool(value)) => Value::Boolean(value),
        Some(serde_yaml::Value::Number(number)) => match json(&number) {
            Some(number) => Value::Number(number),
            None => Value::Text(text.to_owned()),
        },
        _ => Value::Text(text.to_owned()),
    }
}

/// A number as JSON has it, which knows neither infinity nor "not a number".
fn json(number: &serde_yaml::Number) -> Option<Number> {
    let whole = number.as_u64().map(Number::from);
    let whole = whole.or_else(|| number.as_i64().map(Number::from));
    whole.or_else(|| Number::from_f64(number.as_f64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "NUMBER" => "12",
            "TEXT" => "a: 'b' # \"c\"",
            "EMPTY" => "",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn try_read(text: &str) -> Result<Document, Problem> {
        Document::read(text, &lookup)
    }

    fn read(text: &str) -> Document {
        try_read(text).unwrap()
    }

    fn key(path: &[&str]) -> Path {
        path.iter().fold(Path::root(), |path, step| path.key(step))
    }

    #[test]
    fn a_path_leads_to_the_bytes_of_its_value() {
        let text = "time:\n  # ünlike\n  scale: 60\nlist:\n- a\n- b: c\n";
        let document = read(text);
        assert_eq!(&text[document.locate(&key(&["time", "scale"]))], "60");
        let item = Path::root().key("list").index(1);
        assert_eq!(&text[document.locate(&item)], "b");
        assert_eq!(&text[document.locate(&item.key("b"))], "c");
    }

    #[test]
    fn what_a_file_leaves_out_is_shown_at_the_enclosing_key() {
        let text = "time:\n  scale: 60\n";
        let found = read(text).locate(&key(&["time", "drain"]));
        assert_eq!(&text[found], "time");
    }

    #[test]
    fn the_key_of_a_path_is_found_too() {
        let text = "time:\n  scale: 60\n";
        let found = read(text).locate_key(&key(&["time", "scale"]));
        assert_eq!(&text[found], "scale");
    }

    #[test]
    fn numbers_are_read_as_the_core_schema_says() {
        for (text, json) in [
            ("12", "12"),
            ("-3", "-3"),
            ("1.5", "1.5"),
            ("1e3", "1000.0"),
            ("18446744073709551615", "18446744073709551615"),
            ("1_000", "\"1_000\""),
            (".inf", "\".inf\""),
            ("nan", "\"nan\""),
            ("20s", "\"20s\""),
            ("'12'", "\"12\""),
            ("yes", "\"yes\""),
        ] {
            let document = read(&format!("a: {text}"));
            assert_eq!(
                document.root.to_json().to_string(),
                format!("{{\"a\":{json}}}")
            );
        }
    }

    #[test]
    fn the_second_of_two_equal_keys_is_a_problem() {
        let document = read("a: 1\nb: 2\na: 3\n");
        assert_eq!(document.problems.len(), 1);
        assert_eq!(document.problems[0].message, "the key `a` is given twice");
    }

    #[test]
    fn anchors_aliases_and_tags_are_refused() {
        assert_eq!(read("a: &x 1\nb: *x\nc: !t 2\n").problems.len(), 3);
    }

    #[test]
    fn a_second_document_is_refused() {
        let problem = try_read("a: 1\n---\nb: 2\n").unwrap_err();
        assert_eq!(problem.message, "a file holds one scenario");
    }

    #[test]
    fn a_file_of_comments_is_empty() {
        for text in ["", "\n", "# only a comment\n", "---\n", "~"] {
            let problem = try_read(text).unwrap_err();
            assert_eq!(problem.message, "the file is empty", "{text:?}");
        }
    }

    #[test]
    fn a_variable_is_typed_as_its_value_would_be() {
        for (text, json) in [
            ("${NUMBER}", "12"),
            ("1${NUMBER}", "112"),
            ("${NUMBER}s", "\"12s\""),
            ("'${NUMBER}'", "\"12\""),
            ("[ ${NUMBER}, ${NONE:-a,b} ]", "[12,\"a,b\"]"),
            ("${EMPTY}", "null"),
            ("${TEXT}", r##""a: 'b' # \"c\"""##),
            ("{ b: ${TEXT} }", r##"{"b":"a: 'b' # \"c\""}"##),
            ("|\n  x ${NUMBER}", "\"x 12\\n\""),
            ("$${NUMBER}", "\"${NUMBER}\""),
        ] {
            let document = read(&format!("a: {text}\n"));
            assert_eq!(
                document.root.to_json().to_string(),
                format!("{{\"a\":{json}}}")
            );
            assert!(document.problems.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_variable_that_is_not_set_is_shown_where_it_stands() {
        for text in [
            "a: { b: \"ü ${NUMBER} ${NONE}\" }",
            "a:\n  ü ${NUMBER} ${NONE}",
            "a: >\n  ü $${NONE}\n  ${NONE}",
        ] {
            let problems = read(text).problems;
            assert_eq!(problems.len(), 1);
            let label = &problems[0].labels[0];
            assert_eq!(&text[label.span.clone()], "${NONE}");
        }
    }

    #[test]
    fn keys_have_no_variables() {
        let json = read("${NUMBER}: 1\n").root.to_json().to_string();
        assert_eq!(json, "{\"${NUMBER}\":1}");
    }
}
