//! Reads an export back with its lineage.
//!
//! Where in the flow: the inverse of [`super::export()`], for `evol check`. It reads all export formats and
//! is strict, because these are our own files.
//!
//! **Invariant:** the records that are read equal the records that were exported.

use super::error::Reason;
use super::folder::{REJECTED, TRAIN, VALIDATION};
use super::lines::{Line, read_lines};
use super::shape::parse_object;
use super::{BadLine, Error, Record, Rejected, user_turn};
use serde_json::{Map, Value};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The rows of an export.
#[derive(Debug, Default, PartialEq)]
pub struct ExportedRows {
    /// The rows to train and validate on.
    pub records: Vec<Record>,
    /// The eliminated rows, which may be parents of kept ones.
    pub rejected: Vec<Rejected>,
}

/// The files with kept rows.
const FILES: [&str; 2] = [TRAIN, VALIDATION];

/// Reads an export: a folder, or a single file of one.
///
/// For a single file, `records` are the rows of that file. The other files in its folder are read too, so
/// that parents can be found; their rows are in `rejected`, without a reason if they were kept.
///
/// # Errors
/// [`Error::Io`]; [`Error::BadLines`] with every line that is not a row of an export; [`Error::Empty`].
pub fn read_export(path: &Path) -> Result<ExportedRows, Error> {
    let mut rows = ExportedRows::default();
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    if path.is_dir() {
        let present: Vec<PathBuf> =
            FILES.iter().map(|name| path.join(name)).filter(|file| file.is_file()).collect();
        if present.is_empty() {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(Error::io(&path.join(FILES[0]), "read")(missing));
        }
        for file in present {
            rows.records.extend(read(&file)?.into_iter().map(|row| row.record));
        }
    } else {
        rows.records.extend(read(path)?.into_iter().map(|row| row.record));
        for other in FILES.iter().map(|name| folder.join(name)).filter(|file| file.is_file() && file != path)
        {
            rows.rejected.extend(read(&other)?);
        }
    }
    let rejected = folder.join(REJECTED);
    if rejected.is_file() && rejected != path {
        rows.rejected.extend(read(&rejected)?);
    }
    if rows.records.is_empty() {
        return Err(Error::Empty { path: path.to_owned(), skipped: 0 });
    }
    Ok(rows)
}

fn read(path: &Path) -> Result<Vec<Rejected>, Error> {
    let file = std::fs::File::open(path).map_err(Error::io(path, "read"))?;
    let lines = read_lines(BufReader::new(file)).map_err(Error::io(path, "read"))?;
    let (mut rows, mut bad) = (Vec::new(), Vec::new());
    for Line { number, text } in lines {
        match text.and_then(|text| row(&text)) {
            Ok(row) => rows.push(row),
            Err(reason) => bad.push(BadLine { line: number, reason }),
        }
    }
    if bad.is_empty() { Ok(rows) } else { Err(Error::BadLines { path: path.to_owned(), bad }) }
}

/// Parses a line as a record, with the reason for its rejection if it has one.
fn row(line: &str) -> Result<Rejected, Reason> {
    let mut object = parse_object(line)?;
    let text = |object: &mut Map<String, Value>, key: &str| match object.remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let reason = text(&mut object, "reason").unwrap_or_default();
    let detail =
        text(&mut object, "detail").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    if let Some(constraints) = text(&mut object, "constraints") {
        object.insert(
            "constraints".to_owned(),
            serde_json::from_str(&constraints).unwrap_or(constraints.into()),
        );
    }
    if let Some((user, output)) = exchange(&object) {
        let input = text(&mut object, "input").unwrap_or_default();
        // The user's turn is the instruction followed by the input: undo `user_turn`.
        let material = user_turn("", &input);
        let instruction = user.strip_suffix(&material).map_or(user.clone(), str::to_owned);
        object.insert("instruction".to_owned(), instruction.into());
        object.insert("input".to_owned(), input.into());
        object.insert("output".to_owned(), output.into());
    }
    let record: Record = serde_json::from_value(object.into()).map_err(|error| Reason::Field {
        field: "row".to_owned(),
        found: error.to_string(),
        expected: "the columns of an evol export",
    })?;
    Ok(Rejected { record, reason, detail })
}

/// The user's and the assistant's turn of a row in one of the two conversation formats.
fn exchange(object: &Map<String, Value>) -> Option<(String, String)> {
    let read = |key: &str, field: &str| -> Option<(String, String)> {
        let turns = object.get(key)?.as_array()?;
        let text = |at: usize| Some(turns.get(at)?.get(field)?.as_str()?.to_owned());
        Some((text(0)?, text(1)?))
    };
    read("messages", "content").or_else(|| read("conversations", "value"))
}
