//! Joining journals that hold different roots.
//!
//! In the flow: `evolve` checks that the parts belong together and calls [`merge`]. Rows are merged in the
//! order of their ids, with one row of each part in memory, so that memory does not grow with them and the
//! pages of the new file are filled one after the other.
//!
//! Durability: the new file is built under another name, without a rollback journal, and gets its name when
//! it is complete and on disk. The next merge overwrites what a killed one leaves.
//!
//! **Invariant:** the rows of the new journal are a function of the parts' rows, whatever the order of the
//! parts.

use super::{Error, FILE_NAME, NodeId, schema};
use crate::identity::Identity;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator as _;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, OpenFlags, Rows, Statement};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Page cache of the new file, in KiB: enough for its inner pages, and the last pages of its indices.
const TARGET_CACHE: i64 = 65_536;
/// Page cache of a part, in KiB: small, because a part is read from one end to the other.
const PART_CACHE: i64 = 256;
/// Rows between two calls of `progress`.
const STEP: u64 = 50_000;

/// What the directory of a merged run may hold already: parts, and job scripts with their logs.
const MAY_LIE_THERE: [&str; 2] = ["shards", "slurm"];

/// A table, and the columns of its key; the first is the id of a node.
const TABLES: [(&str, &str); 3] = [("nodes", "id"), ("answers", "node_id"), ("verdicts", "node_id, rule")];

/// Rows that were copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Merged {
    /// Instructions.
    pub nodes: u64,
    /// Answers.
    pub answers: u64,
    /// Verdicts.
    pub verdicts: u64,
}

/// What a merged journal is bound to, and its other entries of `meta`: (name, value) each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heading {
    /// The identity of the run.
    pub identity: Identity,
    /// As [`super::Unit::set_meta`].
    pub meta: Vec<(String, String)>,
}

/// Makes the journal of the run in `dir` from `heading` and the rows of `parts`. These are directories of
/// runs that no process works on, and that [`super::Store::open`] has opened and closed since one did, so
/// that nothing is left in a `-wal` file. `progress` gets the rows so far.
///
/// # Errors
/// [`Error::Exists`], [`Error::NotARun`], [`Error::Directory`] about `dir`; [`Error::Overlap`] if two parts
/// have a node of the same id, [`Error::Gap`] if a root is in no part; [`Error::Sqlite`] if a file cannot be
/// read or written.
pub fn merge(
    dir: &Path,
    parts: &[PathBuf],
    heading: &Heading,
    progress: &mut dyn FnMut(u64),
) -> Result<Merged, Error> {
    let path = dir.join(FILE_NAME);
    let partial = dir.join(format!("{FILE_NAME}.merging"));
    clear(dir, &path)?;
    let merged = fill(&partial, parts, heading, progress).and_then(|merged| {
        crate::gguf::publish(&partial, &path)
            .map_err(|source| Error::Directory { dir: dir.to_owned(), source })?;
        Ok(merged)
    });
    // Why it failed is worth reporting, not whether the leftover could be removed.
    merged.inspect_err(|_| drop(std::fs::remove_file(&partial)))
}

/// Writes the complete file `partial`.
fn fill(
    partial: &Path,
    parts: &[PathBuf],
    heading: &Heading,
    progress: &mut dyn FnMut(u64),
) -> Result<Merged, Error> {
    let fail = |e| Error::sqlite(partial, e);
    let mut target = create(partial).map_err(fail)?;
    let connections = parts.iter().map(|part| open_part(part)).collect::<Result<Vec<_>, _>>()?;
    let transaction = target.transaction().map_err(fail)?;
    let bound = heading.identity.iter().map(|(name, value)| (format!("{}{name}", schema::IDENTITY), value));
    for (key, value) in bound.chain(heading.meta.iter().map(|(key, value)| (key.clone(), value.as_str()))) {
        transaction.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", [&key, value]).map_err(fail)?;
    }
    let mut counts = [0; TABLES.len()];
    let mut done = 0;
    for (count, table) in counts.iter_mut().zip(TABLES) {
        let mut copy = Copy { target: &transaction, path: partial, parts, table };
        *count = copy.run(&connections, &mut |rows| progress(done + rows))?;
        done += *count;
        progress(done);
    }
    transaction.commit().map_err(fail)?;
    target.close().map_err(|(_, e)| fail(e))?;
    let [nodes, answers, verdicts] = counts;
    Ok(Merged { nodes, answers, verdicts })
}

/// Makes room for a new journal, and refuses a directory that holds something else.
fn clear(dir: &Path, path: &Path) -> Result<(), Error> {
    let directory = |source| Error::Directory { dir: dir.to_owned(), source };
    if path.exists() {
        return Err(Error::Exists { dir: dir.to_owned() });
    }
    std::fs::create_dir_all(dir).map_err(directory)?;
    let mut leftovers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(directory)? {
        let entry = entry.map_err(directory)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(FILE_NAME) {
            leftovers.push(entry.path());
        } else if !MAY_LIE_THERE.contains(&&*name) {
            return Err(Error::NotARun { dir: dir.to_owned() });
        }
    }
    // SQLite would take the `-wal` of a deleted journal for that of the new one.
    leftovers.iter().try_for_each(std::fs::remove_file).map_err(directory)
}

/// Opens a new file that is written once, in order, and is thrown away if that fails: so nothing is synced.
fn create(path: &Path) -> Result<Connection, rusqlite::Error> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "cache_size", -TARGET_CACHE)?;
    schema::initialise(&mut connection)?;
    // The keys hold in the parts; checking them again would look up two rows for each.
    connection.pragma_update(None, "foreign_keys", false)?;
    Ok(connection)
}

/// Opens a journal that does not change, with one file descriptor and no lock: there may be hundreds of them.
fn open_part(dir: &Path) -> Result<Connection, Error> {
    let path = std::path::absolute(dir.join(FILE_NAME))
        .map_err(|source| Error::Directory { dir: dir.to_owned(), source })?;
    // With `immutable=1` SQLite ignores the `-wal` file.
    let wal = dir.join(format!("{FILE_NAME}-wal"));
    if std::fs::metadata(wal).is_ok_and(|file| file.len() > 0) {
        return Err(Error::Unclosed { path });
    }
    let escaped: String = path.as_os_str().as_bytes().iter().map(|&byte| escaped(byte)).collect();
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
        .and_then(|connection| {
            connection.pragma_update(None, "cache_size", -PART_CACHE)?;
            Ok(connection)
        })
        .map_err(|e| Error::sqlite(&path, e))
}

/// A byte of a path as it is written in a URI.
fn escaped(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

/// The copying of one table.
struct Copy<'a> {
    target: &'a Connection,
    /// The new file, for errors.
    path: &'a Path,
    parts: &'a [PathBuf],
    table: (&'static str, &'static str),
}

impl Copy<'_> {
    fn run(&mut self, connections: &[Connection], progress: &mut dyn FnMut(u64)) -> Result<u64, Error> {
        let (name, key) = self.table;
        let select = format!("SELECT * FROM {name} ORDER BY {key}");
        let mut statements = self.of_parts(connections, |connection| connection.prepare(&select))?;
        let columns = statements.first().map_or(0, Statement::column_count);
        let places: Vec<String> = (1..=columns).map(|at| format!("?{at}")).collect();
        let insert = format!("INSERT INTO {name} VALUES ({})", places.join(", "));
        let mut insert = self.target.prepare(&insert).map_err(|e| Error::sqlite(self.path, e))?;
        let mut cursors = self.of_parts(&mut statements, |statement| statement.query([]))?;
        let mut next = BinaryHeap::new();
        for (part, cursor) in cursors.iter_mut().enumerate() {
            next.extend(self.advance(part, cursor)?.map(|id| Reverse((id, part))));
        }
        let mut order = Order::default();
        let mut copied = 0;
        while let Some(Reverse((id, part))) = next.pop() {
            let cursor = &mut cursors[part];
            if name == "nodes" {
                order.check(id, part, self.parts)?;
            }
            let row = cursor.get().expect("it is in the queue because it has a row");
            (0..columns)
                .try_for_each(|at| insert.raw_bind_parameter(at + 1, ToSqlOutput::Borrowed(row.get_ref(at)?)))
                .and_then(|()| insert.raw_execute())
                .map_err(|e| Error::sqlite(self.path, e))?;
            copied += 1;
            if copied % STEP == 0 {
                progress(copied);
            }
            next.extend(self.advance(part, cursor)?.map(|id| Reverse((id, part))));
        }
        Ok(copied)
    }

    /// Moves to the next row of a part; its first column.
    fn advance(&self, part: usize, rows: &mut Rows<'_>) -> Result<Option<i64>, Error> {
        let id = rows.next().and_then(|row| row.map(|row| row.get(0)).transpose());
        id.map_err(|e| Error::sqlite(&self.parts[part].join(FILE_NAME), e))
    }

    /// Calls `make` on `items`, one for each part in order.
    fn of_parts<I: IntoIterator, T>(
        &self,
        items: I,
        make: impl Fn(I::Item) -> Result<T, rusqlite::Error>,
    ) -> Result<Vec<T>, Error> {
        let with_path = |(item, part): (I::Item, &PathBuf)| {
            make(item).map_err(|e| Error::sqlite(&part.join(FILE_NAME), e))
        };
        items.into_iter().zip(self.parts).map(with_path).collect()
    }
}

/// Checks the ids of nodes as they come: each once, and no root left out.
#[derive(Default)]
struct Order {
    last: Option<(i64, usize)>,
    /// Roots so far: the largest number of a seed, from 1.
    roots: u64,
}

impl Order {
    fn check(&mut self, id: i64, part: usize, parts: &[PathBuf]) -> Result<(), Error> {
        if let Some((last, other)) = self.last.filter(|(last, _)| *last == id) {
            let parts = [&parts[other], &parts[part]].map(Clone::clone);
            return Err(Error::Overlap { id: last as u64, parts });
        }
        self.last = Some((id, part));
        let roots = NodeId::parse(id as u64).map_or(0, |id| id.root_index as u64 + 1);
        if roots > self.roots + 1 {
            return Err(Error::Gap { root: self.roots + 1 });
        }
        self.roots = self.roots.max(roots);
        Ok(())
    }
}
