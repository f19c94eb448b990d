//! Joining the shards of a run.
//!
//! In the flow: after every shard is finished, before the export. The merged run equals one that was never
//! divided, but for an entry that says how many shards there were: a replay of a `scheduled` run depends on
//! what was generated together.
//!
//! **Invariant:** nothing is written before it is known that every shard is given once, is finished, and
//! belongs to the same run.

use super::{Error, Shard, identity, journal};
use crate::identity::Difference;
use crate::store::{self, Heading, Merged, Store};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Entries of `meta` that belong to the run and not to a shard.
const SHARED: [&str; 3] = [journal::CALIBRATION, journal::POLICY, journal::FINISHED];

/// A shard, as its journal describes it.
struct Part<'a> {
    dir: &'a PathBuf,
    shard: Shard,
    heading: Heading,
    is_finished: bool,
}

impl<'a> Part<'a> {
    /// Opens the journal, which also takes in the `-wal` file that a killed process may have left.
    fn read(dir: &'a PathBuf) -> Result<Self, Error> {
        let store = Store::open(dir)?;
        let mut recorded = store.identity()?;
        let shard = identity::take_shard(&mut recorded)?;
        let mut meta = Vec::new();
        for key in SHARED {
            meta.extend(store.meta(key)?.map(|value| (key.to_owned(), value)));
        }
        let is_finished = journal::is_finished(&store)?;
        Ok(Self { dir, shard, heading: Heading { identity: recorded, meta }, is_finished })
    }
}

/// Makes the run in `dir` from the shards in `parts`, in any order. `progress` gets the rows so far. `None`:
/// `dir` already holds the merged run.
///
/// # Errors
/// [`Error::Shards`] lists everything that keeps them from being one run; [`Error::Store`] as
/// [`store::merge`].
pub fn merge(dir: &Path, parts: &[PathBuf], progress: &mut dyn FnMut(u64)) -> Result<Option<Merged>, Error> {
    let mut read = parts.iter().map(Part::read).collect::<Result<Vec<_>, _>>()?;
    read.sort_by_key(|part| part.shard);
    let problems = problems(&read);
    if !problems.is_empty() {
        return Err(Error::Shards { problems });
    }
    let first = read.first().ok_or_else(|| Error::Shards { problems: vec!["none were given".to_owned()] })?;
    if dir.join(store::FILE_NAME).exists() {
        // A merged journal gets its name when it is complete, so one with this identity is the result.
        let store = Store::open(dir)?;
        store.compare(&first.heading.identity)?;
        if journal::is_finished(&store)? {
            return Ok(None);
        }
    }
    let mut heading = first.heading.clone();
    heading.meta.push((journal::SHARDS.to_owned(), first.shard.count().to_string()));
    Ok(Some(store::merge(dir, parts, &heading, progress)?))
}

/// Everything that is wrong with a set of shards, in words.
fn problems(parts: &[Part<'_>]) -> Vec<String> {
    let Some(first) = parts.first() else { return Vec::new() };
    let mut problems = Vec::new();
    let mut found: BTreeMap<u32, &Part<'_>> = BTreeMap::new();
    for part in parts {
        let (shard, dir) = (part.shard, part.dir.display());
        if shard.count() != first.shard.count() {
            let other = first.shard;
            problems.push(format!("`{dir}` is shard {shard}, `{}` is shard {other}", first.dir.display()));
            continue;
        }
        if let Some(other) = found.insert(shard.index(), part) {
            problems.push(format!("`{dir}` and `{}` are both shard {shard}", other.dir.display()));
        }
        if !part.is_finished {
            problems.push(format!("`{dir}`, shard {shard}, is not finished"));
        }
        problems.extend(differences(first, part).map(|difference| format!("`{dir}`: {difference}")));
    }
    let count = first.shard.count();
    let missing: Vec<u32> = (1..=count).filter(|index| !found.contains_key(index)).collect();
    if !missing.is_empty() {
        problems.push(format!("missing of {count} shards: {}", ranges(&missing)));
    }
    problems
}

/// Ascending numbers, such as `2, 5-8`.
fn ranges(numbers: &[u32]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    let run = |run: &[u32]| match run {
        [only] => only.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    };
    runs.map(run).collect::<Vec<_>>().join(", ")
}

/// How a shard's run differs from that of the first.
fn differences<'a>(first: &'a Part<'_>, part: &'a Part<'_>) -> impl Iterator<Item = String> + 'a {
    // Whether a shard is finished is reported elsewhere.
    let whole = |heading: &Heading| {
        heading.identity.clone().and(heading.meta.iter().cloned().collect()).without(&[journal::FINISHED])
    };
    // What follows from the settings is recorded once a run has come that far.
    let not_yet = |found: &Difference| {
        SHARED.contains(&found.name.as_str()) && (found.was.is_none() || found.is.is_none())
    };
    let show = |value: Option<String>| value.map_or("absent".to_owned(), |value| format!("`{value}`"));
    let found = whole(&first.heading).diff(&whole(&part.heading)).into_iter();
    found.filter(move |found| !not_yet(found)).map(move |Difference { name, was, is }| {
        format!("`{name}` is {}, in `{}` {}", show(is), first.dir.display(), show(was))
    })
}
