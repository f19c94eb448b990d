//! Names of the files and folders of a run directory, beside its journal.
//!
//! **Invariant:** a name stands here and nowhere else, so that a stage and whoever reads it agree.

use std::path::{Path, PathBuf};

/// The configuration as resolved, defaults written out; [`super::RunConfig`].
pub const CONFIG: &str = "config.toml";
/// What a run was made from; [`super::Manifest`].
pub const MANIFEST: &str = "manifest.json";
/// A finished run in numbers; [`super::Summary`]. It is written last.
pub const SUMMARY: &str = "summary.json";
/// The page about a run.
pub const REPORT: &str = "report.html";
/// How far a run is; [`super::LastProgress`].
pub const STATUS: &str = "status.json";
/// Tokens per second over time, a line for each point.
pub const SPEED: &str = "speed.jsonl";
/// Wall time by stage.
pub const SECONDS: &str = "seconds.json";
/// Folder of the training files.
pub const EXPORT: &str = "export";
/// Folder of the adapter.
pub const ADAPTER: &str = "adapter";
/// Folder of the adapters that it is compared with, and of their data.
pub const BASELINES: &str = "baselines";
/// Folder of the evaluation.
pub const EVAL: &str = "eval";
/// Folder of the shards, in a run that is divided.
pub const SHARDS: &str = "shards";
/// Metrics of a training, in the folder of its adapter: the trainer creates it first and keeps it.
pub const METRICS: &str = "metrics.jsonl";

/// The folder of shard `index` of the run in `dir`.
pub fn shard(dir: &Path, index: u32) -> PathBuf {
    dir.join(SHARDS).join(index.to_string())
}
