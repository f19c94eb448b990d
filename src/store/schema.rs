//! Creating and opening a journal: the tables, the two numbers that mark the file as ours, and when a file or
//! a directory is refused.
//!
//! **Invariant:** nothing is written into a directory or file before it is known to be ours or empty.

use super::{Error, FILE_NAME, Store};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// `PRAGMA application_id`: "EVOL" in ASCII. It tells our files from other databases.
const APPLICATION_ID: i64 = 0x4556_4F4C;
/// `PRAGMA user_version`: raised whenever [`TABLES`] changes.
pub(super) const SCHEMA_VERSION: i64 = 2;
/// How long to wait for a process that is just ending, or for a short reader such as `evol status`.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Prefix of the identity's names in `meta` (its first name, which journals keep).
pub(super) const IDENTITY: &str = "fingerprint.";

/// Ids are given by the caller, so `INTEGER PRIMARY KEY` here never counts by itself. `key` is hexadecimal
/// text because it uses all 64 bits and an `SQLite` integer is signed.
const TABLES: &str = "
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE nodes (
    id                INTEGER NOT NULL PRIMARY KEY,
    parent_id         INTEGER REFERENCES nodes (id),
    root_id           INTEGER NOT NULL REFERENCES nodes (id),
    round             INTEGER NOT NULL,
    attempt           INTEGER NOT NULL,
    operator          TEXT,
    instruction       TEXT NOT NULL,
    input             TEXT NOT NULL,
    skill             TEXT,
    difficulty        INTEGER,
    prompt_hash       TEXT,
    sampling          TEXT,
    key               TEXT,
    prompt_tokens     INTEGER,
    completion_tokens INTEGER,
    finish_reason     TEXT,
    status            TEXT NOT NULL CHECK (status IN ('evolved', 'judged', 'kept', 'eliminated')),
    reason            TEXT CHECK ((reason IS NOT NULL) = (status = 'eliminated')),
    constraints       TEXT,
    UNIQUE (root_id, round, attempt)
) STRICT;
CREATE INDEX nodes_by_round ON nodes (round, attempt, id);
CREATE TABLE answers (
    node_id           INTEGER NOT NULL PRIMARY KEY REFERENCES nodes (id),
    text              TEXT NOT NULL,
    prompt_hash       TEXT NOT NULL,
    sampling          TEXT NOT NULL,
    key               TEXT NOT NULL,
    prompt_tokens     INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    finish_reason     TEXT NOT NULL,
    sample            INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE verdicts (
    node_id INTEGER NOT NULL REFERENCES nodes (id),
    rule    TEXT NOT NULL,
    passed  INTEGER NOT NULL CHECK (passed IN (0, 1)),
    detail  TEXT NOT NULL,
    PRIMARY KEY (node_id, rule)
) STRICT, WITHOUT ROWID;
";

/// From version 1, which had no constraints and one answer to an instruction.
const FROM_1: &str = "
ALTER TABLE nodes ADD COLUMN constraints TEXT;
ALTER TABLE answers ADD COLUMN sample INTEGER NOT NULL DEFAULT 0;
";

impl Store {
    /// Creates a journal in `dir`, which is created if absent and must otherwise be empty.
    ///
    /// # Errors
    /// [`Error::Exists`] if there is a run already, [`Error::NotARun`] if the directory holds anything
    /// else, [`Error::Directory`] or [`Error::Sqlite`] if it cannot be written.
    pub fn create(dir: &Path) -> Result<Self, Error> {
        let directory = |source| Error::Directory { dir: dir.to_owned(), source };
        let path = dir.join(FILE_NAME);
        if path.exists() && !is_unfinished(&path)? {
            return Err(Error::Exists { dir: dir.to_owned() });
        }
        std::fs::create_dir_all(dir).map_err(directory)?;
        for entry in std::fs::read_dir(dir).map_err(directory)? {
            // An interrupted creation leaves the journal and its `-wal` file, which are reused.
            if !entry.map_err(directory)?.file_name().to_string_lossy().starts_with(FILE_NAME) {
                return Err(Error::NotARun { dir: dir.to_owned() });
            }
        }
        let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_CREATE)?;
        initialise(&mut connection).map_err(|e| Error::sqlite(&path, e))?;
        Ok(Self { connection, path })
    }

    /// Opens the journal in `dir`.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::NotARun`], [`Error::Foreign`], [`Error::NewerSchema`], [`Error::Busy`],
    /// or [`Error::Sqlite`] if it cannot be read.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(FILE_NAME);
        if !path.exists() {
            let empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
            let dir = dir.to_owned();
            return Err(if empty { Error::Missing { dir } } else { Error::NotARun { dir } });
        }
        // Checked before anything that writes: `connect` turns WAL on, which changes the file's header.
        let (application_id, version) = marks(&path)?;
        if application_id != APPLICATION_ID {
            let found = if is_unfinished(&path)? {
                "empty: its creation was interrupted".to_owned()
            } else {
                format!(
                    "an SQLite file with application id {application_id:#x}, expected {APPLICATION_ID:#x}"
                )
            };
            return Err(Error::Foreign { path, found });
        }
        if version > SCHEMA_VERSION {
            return Err(Error::NewerSchema { path, found: version, supported: SCHEMA_VERSION });
        }
        let mut connection = connect(&path, OpenFlags::empty())?;
        if version < SCHEMA_VERSION {
            migrate(&mut connection).map_err(|e| Error::sqlite(&path, e))?;
        }
        Ok(Self { connection, path })
    }

    /// [`Store::open`] if `dir` holds a run, else [`Store::create`].
    ///
    /// # Errors
    /// As the two.
    pub fn open_or_create(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(FILE_NAME);
        if path.exists() && !is_unfinished(&path)? { Self::open(dir) } else { Self::create(dir) }
    }
}

/// Opens for writing and takes the lock.
fn connect(path: &Path, create: OpenFlags) -> Result<Connection, Error> {
    let fail = |e| Error::sqlite(path, e);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | create;
    let connection = Connection::open_with_flags(path, flags).map_err(fail)?;
    connection.busy_timeout(LOCK_WAIT).map_err(fail)?;
    // The order matters: in exclusive mode set before WAL, no shared-memory file is made.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE").map_err(fail)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(fail)?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(fail)?;
    // A write takes the lock, which is then held until the connection closes. So a second process fails here,
    // not midway.
    connection.execute_batch("BEGIN EXCLUSIVE; COMMIT").map_err(fail)?;
    Ok(connection)
}

pub(super) fn initialise(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

fn migrate(connection: &mut Connection) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(FROM_1)?;
    transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    transaction.commit()
}

/// (application id, schema version), read without changing the file.
fn marks(path: &Path) -> Result<(i64, i64), Error> {
    read_only(path, |connection| {
        Ok((
            connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
            connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
        ))
    })
}

/// Whether `path` is what an interrupted creation leaves: a database without marks and tables.
fn is_unfinished(path: &Path) -> Result<bool, Error> {
    let tables = read_only(path, |connection| {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
    })?;
    Ok(marks(path)? == (0, 0) && tables == 0)
}

fn read_only<T>(path: &Path, query: impl Fn(&Connection) -> Result<T, rusqlite::Error>) -> Result<T, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
        .and_then(|connection| {
            connection.busy_timeout(LOCK_WAIT)?;
            query(&connection)
        })
        .map_err(|e| Error::sqlite(path, e))
}
