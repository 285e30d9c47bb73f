//! What people read of a result: a page, a summary, histogram files, a table on the terminal.
//!
//! In flows a [`result::Result`], out flow the files of `reports/<scenario>/`: `result.json` (the
//! result itself), `report.html` (one self-contained page), `summary.md` (tables for a CI job) and
//! HdrHistogram's own files. Nothing here measures or judges anew; only [`verdict()`] and the
//! pictures choose what to point at. **A new output goes here**: a function from result to files,
//! and a line in `EXPORTERS`.
//!
//! The surprising fact: the page holds every plot twice, drawn for a desk and for a phone, because
//! text in a plot that is scaled down to a phone's width cannot be read.

mod console;
pub mod format;
mod hdr;
mod html;
mod merge;
mod plots;
mod providers;
mod summary;
mod verdict;
mod wrongs;

#[cfg(test)]
pub(crate) mod testing;

pub use console::console;
pub use verdict::verdict;

use crate::result::{self, Distribution, HistogramError, SCHEMA_VERSION};
use serde::Deserialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file of a report: its name under the report's directory, and what is in it.
struct File {
    name: String,
    contents: Vec<u8>,
}

type Exporter = fn(&result::Result) -> Result<Vec<File>, WriteError>;

/// Every output. The result comes first, so that a failure further down loses no measurement.
const EXPORTERS: [Exporter; 4] = [json, html::files, summary::files, hdr::files];

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file or directory could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The result could not be put into JSON.
    #[error("the result cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A plot could not be drawn.
    #[error("a plot cannot be drawn: {0}")]
    Plot(#[from] plots::DrawError),
    /// A histogram could not be put into HdrHistogram's file format.
    #[error("a histogram cannot be written: {0}")]
    Histogram(String),
}

/// Why a result could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no result.
    #[error("{} is not a result of sessionbench: {source}", path.display())]
    NotAResult {
        /// The file.
        path: PathBuf,
        /// Why, with line and column.
        source: serde_json::Error,
    },
    /// The file is a result of another version's schema.
    #[error(
        "{} has schema version {found}, but this sessionbench reads version {SCHEMA_VERSION}: \
         run its scenario again, or read it with the sessionbench that wrote it",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: u32,
    },
    /// A histogram in the file is damaged.
    #[error("{} is damaged: a histogram is {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with the histogram.
        source: HistogramError,
    },
}

/// Writes every output into a directory, which is created where it does not exist, and returns
/// the files in the order in which they were written. Each file appears whole or not at all.
///
/// # Errors
/// A file cannot be written; those before it are.
pub fn write_all(result: &result::Result, directory: &Path) -> Result<Vec<PathBuf>, WriteError> {
    let mut written = Vec::new();
    for exporter in EXPORTERS {
        written.extend(write_files(exporter(result)?, directory)?);
    }
    Ok(written)
}

/// Writes `result.json` alone, as [`write_all`] does.
///
/// # Errors
/// It cannot be written.
pub fn write_result(result: &result::Result, directory: &Path) -> Result<(), WriteError> {
    write_files(json(result)?, directory).map(drop)
}

fn write_files(files: Vec<File>, directory: &Path) -> Result<Vec<PathBuf>, WriteError> {
    let write = |file: File| {
        let path = directory.join(&file.name);
        match write_whole(&path, &file.contents) {
            Ok(()) => Ok(path),
            Err(source) => Err(WriteError::Io { path, source }),
        }
    };
    files.into_iter().map(write).collect()
}

/// Reads a `result.json`.
///
/// # Errors
/// The file cannot be read, is no result, is damaged, or has another schema version.
pub fn read(path: &Path) -> Result<result::Result, ReadError> {
    /// The one field that every version of the schema has.
    #[derive(Deserialize)]
    struct Versioned {
        schema_version: u32,
    }

    let not_a_result = |source| ReadError::NotAResult {
        path: path.to_owned(),
        source,
    };
    let text = fs::read_to_string(path).map_err(|source| ReadError::Io {
        path: path.to_owned(),
        source,
    })?;
    let Versioned { schema_version } = serde_json::from_str(&text).map_err(not_a_result)?;
    if schema_version != SCHEMA_VERSION {
        return Err(ReadError::Version {
            path: path.to_owned(),
            found: schema_version,
        });
    }
    let tree: serde_json::Value = serde_json::from_str(&text).map_err(not_a_result)?;
    check_histograms(&tree).map_err(|source| ReadError::Damaged {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_str(&text).map_err(not_a_result)
}

/// The JSON Schema of a result, as it is shipped in `docs/result.schema.json`.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(result::Result).to_value()
}

fn json(result: &result::Result) -> Result<Vec<File>, WriteError> {
    let mut contents = serde_json::to_vec_pretty(result)?;
    contents.push(b'\n');
    Ok(vec![File {
        name: "result.json".to_owned(),
        contents,
    }])
}

/// Writes beside the target and renames, so that a reader never sees half a file.
fn write_whole(path: &Path, contents: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let outcome = fs::write(&part, contents).and_then(|()| fs::rename(&part, path));
    if outcome.is_err() {
        // The first error says what went wrong; this file may not even exist.
        let _ = fs::remove_file(&part);
    }
    outcome
}

/// Decodes every histogram in a result, wherever it is.
fn check_histograms(tree: &serde_json::Value) -> Result<(), HistogramError> {
    use serde_json::Value;
    match tree {
        Value::Array(items) => items.iter().try_for_each(check_histograms),
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| match value {
            Value::String(text) if key == "hdr" => Distribution {
                hdr: Some(text.clone()),
                ..Distribution::default()
            }
            .histogram()
            .map(|_| ()),
            _ => check_histograms(value),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the report of the test's result where a person can look at it.
    #[test]
    fn every_output_is_written() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tmp/report");
        let written = write_all(&testing::comparison(), &directory).unwrap();
        for name in ["result.json", "report.html", "summary.md", "responses.hlog"] {
            assert!(written.contains(&directory.join(name)), "{name}");
        }
        assert!(written.iter().all(|path| path.is_file()));
    }

    #[test]
    fn a_result_can_be_kept_alone_while_runs_are_still_to_come() {
        let directory = tempfile::tempdir().unwrap();
        write_result(&testing::comparison(), directory.path()).unwrap();
        let kept: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(kept.len(), 1);
        read(&directory.path().join("result.json")).unwrap();
    }

    #[test]
    fn a_written_result_reads_back_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let result = testing::comparison();
        write_all(&result, directory.path()).unwrap();
        assert_eq!(read(&directory.path().join("result.json")).unwrap(), result);
    }

    #[test]
    fn nothing_but_whole_files_is_left_behind() {
        let directory = tempfile::tempdir().unwrap();
        write_all(&testing::comparison(), directory.path()).unwrap();
        let left = fs::read_dir(directory.path())
            .unwrap()
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().ends_with(".part")
            })
            .count();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("taken");
        fs::write(&file, "").unwrap();
        let error = write_all(&testing::comparison(), &file).unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
    }

    #[test]
    fn another_schema_version_is_refused_before_anything_else_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("result.json");
        fs::write(&path, r#"{"schema_version": 999}"#).unwrap();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, ReadError::Version { found: 999, .. }));
        assert!(error.to_string().contains("schema version 999"));
    }

    #[test]
    fn a_file_that_is_no_result_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("result.json");
        fs::write(&path, "{}").unwrap();
        assert!(matches!(read(&path), Err(ReadError::NotAResult { .. })));
    }

    #[test]
    fn a_damaged_histogram_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut result = testing::comparison();
        result.runs[0].requests.response.hdr = Some("HISTFAAA".to_owned());
        write_all(&result, directory.path()).unwrap();
        let read = read(&directory.path().join("result.json"));
        assert!(matches!(read, Err(ReadError::Damaged { .. })));
    }

    /// `UPDATE_GOLDEN=1 cargo test schema` writes the shipped file anew.
    #[test]
    fn the_shipped_schema_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/result.schema.json");
        let current = format!("{:#}\n", schema());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &current).unwrap();
        }
        let shipped = fs::read_to_string(path).unwrap();
        assert!(
            shipped == current,
            "docs/result.schema.json is not what the types say"
        );
    }

    #[test]
    fn a_result_keeps_to_the_shipped_schema() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        for result in [testing::comparison(), testing::empty()] {
            let value = serde_json::to_value(result).unwrap();
            let errors: Vec<String> = validator
                .iter_errors(&value)
                .map(|error| error.to_string())
                .collect();
            assert_eq!(errors, Vec::<String>::new());
        }
    }
}
