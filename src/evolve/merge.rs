//! Joining the shards of a run.
//!
//! In the flow: after every shard has come to its end, before the export. What is merged is a run like one
//! that was never divided, but for an entry that says of how many shards: what was generated together matters
//! to who replays a `scheduled` one.
//!
//! **Invariant:** nothing is written before all shards are known to be there, once each, finished, and of one
//! run.

use super::{Error, Shard, fingerprint, rounds};
use crate::store::{self, Heading, Merged, Store};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Entries of `meta` that belong to the run and not to a shard.
const SHARED: [&str; 3] = [rounds::CALIBRATION, rounds::POLICY, rounds::FINISHED];

/// What a shard says of itself.
struct Part<'a> {
    dir: &'a PathBuf,
    shard: Shard,
    heading: Heading,
    is_finished: bool,
}

impl<'a> Part<'a> {
    /// Opens the journal, which also brings in what a killed process has left beside it.
    fn read(dir: &'a PathBuf) -> Result<Self, Error> {
        let store = Store::open(dir)?;
        let mut fingerprint = store.fingerprint()?;
        let shard = fingerprint::take_shard(&mut fingerprint)?;
        let mut meta = Vec::new();
        for key in SHARED {
            meta.extend(store.meta(key)?.map(|value| (key.to_owned(), value)));
        }
        let is_finished = super::is_finished(&store)?;
        Ok(Self { dir, shard, heading: Heading { fingerprint, meta }, is_finished })
    }
}

/// Makes the run in `dir` of the shards in `parts`, in any order. `progress` gets the rows so far. `None`: it
/// had been made before.
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
    let first = read.first().ok_or_else(|| Error::Shards { problems: vec!["there are none".to_owned()] })?;
    if dir.join(store::FILE_NAME).exists() {
        // A merged journal gets its name when it is whole, so one that is there and fits is this one.
        let store = Store::open(dir)?;
        store.compare(&first.heading.fingerprint)?;
        if super::is_finished(&store)? {
            return Ok(None);
        }
    }
    let mut heading = first.heading.clone();
    heading.meta.push((rounds::SHARDS.to_owned(), first.shard.count().to_string()));
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
        problems.push(format!("of {count} shards these are missing: {}", ranges(&missing)));
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

/// Where a shard is of another run than the first.
fn differences<'a>(first: &'a Part<'_>, part: &'a Part<'_>) -> impl Iterator<Item = String> + 'a {
    let entries = |heading: &'a Heading| -> BTreeMap<&'a str, &'a str> {
        let all = heading.fingerprint.iter().chain(&heading.meta);
        all.map(|(name, value)| (name.as_str(), value.as_str())).collect()
    };
    let (ours, theirs) = (entries(&first.heading), entries(&part.heading));
    // Whether it is finished is said elsewhere.
    let names = ours.keys().chain(theirs.keys().filter(|name| !ours.contains_key(*name))).copied();
    let names: Vec<&str> = names.filter(|name| *name != rounds::FINISHED).collect();
    names.into_iter().filter_map(move |name| {
        let (mine, other) = (ours.get(name), theirs.get(name));
        let show = |value: Option<&&str>| value.map_or("absent".to_owned(), |value| format!("`{value}`"));
        // What follows from the settings is there once a run has come that far.
        let not_yet = SHARED.contains(&name) && (mine.is_none() || other.is_none());
        (mine != other && !not_yet)
            .then(|| format!("`{name}` is {}, in `{}` {}", show(other), first.dir.display(), show(mine)))
    })
}
