//! Names of the files and folders in a run directory, except the journal.
//!
//! **Invariant:** each name is defined only here, so that the writer and all readers agree.

use std::path::{Path, PathBuf};

/// The resolved configuration with all defaults; [`super::RunConfig`].
pub const CONFIG: &str = "config.toml";
/// What a run was made from; [`super::Manifest`].
pub const MANIFEST: &str = "manifest.json";
/// The results of a finished run; [`super::Summary`]. Written last.
pub const SUMMARY: &str = "summary.json";
/// The HTML report.
pub const REPORT: &str = "report.html";
/// The last reported progress; [`super::LastProgress`].
pub const STATUS: &str = "status.json";
/// Tokens per second over time, one JSON line per point.
pub const SPEED: &str = "speed.jsonl";
/// Wall time of each stage, in seconds.
pub const SECONDS: &str = "seconds.json";
/// Folder of the training files.
pub const EXPORT: &str = "export";
/// Folder of the adapter.
pub const ADAPTER: &str = "adapter";
/// Folder of the adapters to compare with, and their data.
pub const BASELINES: &str = "baselines";
/// Folder of the evaluation.
pub const EVAL: &str = "eval";
/// Folder of the shards of a run.
pub const SHARDS: &str = "shards";
/// Training metrics, in an adapter's folder. The trainer creates this file first, so it marks the folder.
pub const METRICS: &str = "metrics.jsonl";

/// The folder of shard `index` of the run in `dir`.
pub fn shard(dir: &Path, index: u32) -> PathBuf {
    dir.join(SHARDS).join(index.to_string())
}
