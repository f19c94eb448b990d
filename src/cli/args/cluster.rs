//! `evol merge-runs` and `evol slurm` as typed.

use clap::Args;
use std::path::PathBuf;

/// The shards of a run, made by `evol evolve --shard I/N`, as one run
///
/// Refuses shards that are missing, there twice, not finished, or of different runs (model, configuration,
/// seeds and prompts are compared by their hashes), and lists all of it. With `--determinism exact` an export
/// of the merged run has the same bytes as that of a run that was never divided. What looks across lineages
/// (near duplicates, mixing, decontamination, the split) is the export's, and happens after this.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  evol merge-runs runs/big runs/big/shards
  evol merge-runs runs/big node1/shard node2/shard node3/shard")]
pub(crate) struct MergeRunsArgs {
    /// Run directory for all of it; new, or with nothing in it but `shards` and `slurm`
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// Run directories of the shards, or folders of such directories
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
}

/// The job scripts that make a run on a Slurm cluster
///
/// Evolving becomes an array job of N shards, which needs no communication; merging, training, the evaluation
/// and the report follow, each when the one before has succeeded. A shard that is killed or comes to its time
/// limit is queued again and goes on from its journal. Scripts, logs and the configuration as it was are in
/// OUT/slurm. Without `--submit` nothing is submitted: the commands are printed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  evol slurm my.toml --shards 64 --time 4:00:00 --cpus-per-task 16
  evol slurm my.toml --shards 64 --device cuda --train-sbatch=--partition=gpu --train-sbatch=--gres=gpu:1 \
    --submit
  evol slurm my.toml --shards 64 --scratch /tmp --submit    # journals on each node's own disk meanwhile
  evol status runs/my                                       # all shards at a glance

A program that is given to `--evol` must be the same file on every node, and so must be the model, seeds and \
    configuration.")]
pub(crate) struct SlurmArgs {
    /// The experiment, a TOML file as for `evol run`
    #[arg(value_name = "CONFIG")]
    pub(crate) config: PathBuf,
    /// Parts that the lineages are divided into
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) shards: u32,
    /// Run directory to use instead of the one in CONFIG, on a file system that all nodes share
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Partition of all jobs
    #[arg(long, value_name = "NAME")]
    pub(crate) partition: Option<String>,
    /// Account of all jobs
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// Limit on the time of each job, as Slurm writes it; a shard that comes to it is queued again and goes
    /// on, so it has to be longer than a chunk of generations takes
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
    /// Memory of each job, as Slurm writes it, such as `8G`
    #[arg(long, value_name = "SIZE")]
    pub(crate) mem: Option<String>,
    /// Cores of each job, and threads of `evol` in it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) cpus_per_task: Option<u32>,
    /// Shards that run at once, at most [default: as many as there is room for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_running: Option<u32>,
    /// A further option of `sbatch` for every job; may be given more than once
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub(crate) sbatch: Vec<String>,
    /// A further option of `sbatch` for the jobs that train and evaluate, such as `--gres=gpu:1`; may be
    /// given more than once
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    pub(crate) train_sbatch: Vec<String>,
    /// Folder on each node's own disk, or a variable that names it there, such as '$TMPDIR': a shard works
    /// there, and its journal is copied to OUT when it ends, is stopped or is killed
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<String>,
    /// The program that the jobs run [default: this one]
    #[arg(long, value_name = "FILE")]
    pub(crate) evol: Option<PathBuf>,
    /// Submit the jobs with `sbatch`
    #[arg(long)]
    pub(crate) submit: bool,
}
