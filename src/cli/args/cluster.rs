//! Arguments of `evol merge-runs` and `evol slurm`.

use clap::Args;
use std::path::PathBuf;

/// Merge the shards of a run into one run
///
/// The shards come from `evol evolve --shard I/N`. Refuses the merge if a shard is missing, duplicated,
/// unfinished or from another run, and lists every problem. Runs are compared by the hashes of model,
/// configuration, seeds and prompts. With `--determinism exact`, exporting the merged run gives the same
/// bytes as exporting an undivided run. Everything that compares lineages (near-duplicate removal, mixing,
/// decontamination, the split) happens later, in the export.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  evol merge-runs runs/big runs/big/shards
  evol merge-runs runs/big node1/shard node2/shard node3/shard")]
pub(crate) struct MergeRunsArgs {
    /// Directory of the merged run: new, or containing only `shards` and `slurm`
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// Run directories of the shards, or folders that contain them
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
}

/// Write job scripts that run an experiment on a Slurm cluster
///
/// Evolution is an array job of N independent shards. Merging, training, evaluation and the report follow,
/// each after the job before it has succeeded. A shard that is killed or reaches its time limit is requeued
/// and resumes from its journal. Scripts, logs and a copy of the configuration are in OUT/slurm. Without
/// `--submit`, the `sbatch` commands are printed and nothing is submitted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  evol slurm my.toml --shards 64 --time 4:00:00 --cpus-per-task 16
  evol slurm my.toml --shards 64 --device cuda --train-sbatch=--partition=gpu --train-sbatch=--gres=gpu:1 \
    --submit
  evol slurm my.toml --shards 64 --scratch /tmp --submit    # journals on each node's local disk
  evol status runs/my                                       # state of all shards

Model, seeds, configuration and the program given to `--evol` must be the same files on every node.")]
pub(crate) struct SlurmArgs {
    /// Experiment file (TOML), as for `evol run`
    #[arg(value_name = "CONFIG")]
    pub(crate) config: PathBuf,
    /// Number of shards to divide the seeds into
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) shards: u32,
    /// Run directory, on a file system that all nodes share [default: the one in CONFIG]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Partition for all jobs
    #[arg(long, value_name = "NAME")]
    pub(crate) partition: Option<String>,
    /// Account for all jobs
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// Time limit of each job, in Slurm's format, such as `4:00:00`; a shard that reaches it is requeued and
    /// resumes, so it must be longer than one chunk of generations takes
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
    /// Memory of each job, in Slurm's format, such as `8G`
    #[arg(long, value_name = "SIZE")]
    pub(crate) mem: Option<String>,
    /// CPU cores of each job, and threads of `evol` in it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cpus_per_task: Option<u32>,
    /// Maximum number of shards that run at once [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_running: Option<u32>,
    /// Additional `sbatch` option for all jobs; can be repeated
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub(crate) sbatch: Vec<String>,
    /// Additional `sbatch` option for the jobs that train and evaluate, such as `--gres=gpu:1`; can be
    /// repeated
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub(crate) train_sbatch: Vec<String>,
    /// Work in this folder on each node's local disk, and copy the journal to OUT when the shard ends, is
    /// stopped or is killed; can be a variable, such as '$TMPDIR'
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<String>,
    /// Program that the jobs run [default: this one]
    #[arg(long, value_name = "FILE")]
    pub(crate) evol: Option<PathBuf>,
    /// Submit the jobs with `sbatch` after writing the scripts
    #[arg(long)]
    pub(crate) submit: bool,
}
