//! Reading an export with its lineage: what `evol check` looks at.
//!
//! Where in the flow: the other way round of `export`, for all its formats; strict, because these are our own
//! files.
//!
//! **Invariant:** what an export wrote is read as the records that it was given.

use super::error::Reason;
use super::lines::{Line, read_lines};
use super::shape::parse_object;
use super::{BadLine, Error, Record, Rejected, user_turn};
use serde_json::{Map, Value};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The rows of an export.
#[derive(Debug, Default, PartialEq)]
pub struct ExportedRows {
    /// What is trained and validated on.
    pub records: Vec<Record>,
    /// What was eliminated: parents that were not kept are here.
    pub rejected: Vec<Rejected>,
}

/// Names of the files that are read of a folder.
const FILES: [&str; 2] = ["train.jsonl", "validation.jsonl"];
const REJECTED: &str = "rejected.jsonl";

/// Reads a file, or the files of a folder. Beside a file, `rejected.jsonl` and the other side of the split
/// are looked for, so that parents are found; `records` are the file's alone then, and the others are in
/// `rejected` without reason.
///
/// # Errors
/// [`Error::Io`], [`Error::BadLines`] with every line that is none of an export, [`Error::Empty`].
pub fn read_export(path: &Path) -> Result<ExportedRows, Error> {
    let mut rows = ExportedRows::default();
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
    if path.is_dir() {
        let there: Vec<PathBuf> =
            FILES.iter().map(|name| path.join(name)).filter(|file| file.is_file()).collect();
        if there.is_empty() {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            return Err(Error::io(&path.join(FILES[0]), "read")(missing));
        }
        for file in there {
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

/// A line as a record, with the reason of rejection if it has one.
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
    if let Some((user, output)) = turns(&object) {
        let input = text(&mut object, "input").unwrap_or_default();
        // The user's turn is made of both.
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

/// What the user says and what the assistant says, in the formats of conversations.
fn turns(object: &Map<String, Value>) -> Option<(String, String)> {
    let said = |key: &str, field: &str| -> Option<(String, String)> {
        let turns = object.get(key)?.as_array()?;
        let text = |at: usize| Some(turns.get(at)?.get(field)?.as_str()?.to_owned());
        Some((text(0)?, text(1)?))
    };
    said("messages", "content").or_else(|| said("conversations", "value"))
}
