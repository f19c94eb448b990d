//! `evol slurm`: writes the jobs of a run on a Slurm cluster.
//!
//! Where in the flow: writes scripts that call `evol evolve --shard`, `evol merge-runs` and
//! `evol run --until`, and submits them with `--submit`. Slurm does the scheduling. Shards do not
//! communicate; their results are merged as files on a shared file system.
//!
//! **Invariant:** the jobs use a copy of the configuration (`OUT/slurm/config.toml`), so later changes to the
//! file have no effect. A second call with another configuration is refused. **Invariant:** every job can be
//! killed at any instant and requeued.

mod script;

use super::args::{DeviceArg, SlurmArgs};
use super::session::Session;
use crate::identity::Difference;
use crate::llm::Determinism;
use crate::run::{self, Error, FormatChoice, Overrides, Result, RunConfig, RunDir, files, shell};
use script::{Cluster, Jobs};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folder of the scripts, the logs and the configuration, in the run directory.
const DIR: &str = "slurm";

/// File in that folder that records what was submitted.
const JOBS: &str = "jobs.json";

#[derive(Debug, Serialize, Deserialize)]
struct Submitted {
    shards: u32,
    /// A line for each job; `None` if nothing was submitted.
    jobs: Option<String>,
}

/// Number of shards that `evol slurm` divided the run in `dir` into; `None` if it did not.
pub(crate) fn shards_of(dir: &Path) -> Option<u32> {
    let text = std::fs::read(dir.join(DIR).join(JOBS)).ok()?;
    serde_json::from_slice::<Submitted>(&text).ok().map(|submitted| submitted.shards)
}

/// Runs the command.
///
/// # Errors
/// The configuration is unusable or differs from an earlier call's, a file cannot be written, or `sbatch`
/// fails.
pub(crate) fn run(args: &SlurmArgs, session: &Session) -> Result<()> {
    let config = read(args, session)?;
    let run = RunDir::claim(&config.out)?;
    let dir = RunDir::claim(&run.path().join(DIR))?;
    if let Some(earlier) = dir.read(files::CONFIG)? {
        let differences = config.differences(&earlier);
        if !differences.is_empty() {
            return Err(Error::OtherConfig { dir: dir.path().to_owned(), differences });
        }
    }
    let before: Option<Submitted> = dir.read_json(JOBS)?;
    if let Some(Submitted { shards, .. }) = before.as_ref().filter(|before| before.shards != args.shards) {
        let (was, is) = (Some(shards.to_string()), Some(args.shards.to_string()));
        let differences = vec![Difference { name: "--shards".to_owned(), was, is }];
        return Err(Error::OtherConfig { dir: dir.path().to_owned(), differences });
    }
    dir.write(files::CONFIG, &config.to_toml())?;
    let jobs =
        Jobs { out: run.path().to_owned(), dir: dir.path().to_owned(), cluster: cluster(args, session)? };
    let scripts = jobs.scripts();
    for (name, text) in &scripts {
        dir.write(name, text)?;
    }
    let submit = dir.path().join(script::SUBMIT);
    let mut record = Submitted { shards: args.shards, jobs: before.and_then(|before| before.jobs) };
    dir.write_json(JOBS, &record)?;
    let submitted = if args.submit {
        if let Some(jobs) = &record.jobs {
            session
                .output
                .warn(&format!("this run was submitted before: {}", jobs.trim().replace('\n', ", ")));
        }
        record.jobs = Some(submit_with(&submit)?);
        dir.write_json(JOBS, &record)?;
        record.jobs
    } else {
        None
    };
    if session.output.is_json() {
        let names: Vec<PathBuf> = scripts.iter().map(|(name, _)| dir.path().join(name)).collect();
        return session.output.document(&json!({
            "run": run.path(), "shards": args.shards, "scripts": names, "submit": submit, "jobs": submitted,
        }));
    }
    let status = shell::evol(&["status", &shell::word(run.path())]);
    if let Some(submitted) = submitted {
        session.output.data(&submitted)?;
        session.output.note(&format!("\nShow its state: {status}"));
        return Ok(());
    }
    session.output.data(&jobs.submit())?;
    session.output.note(&format!(
        "\nNothing was submitted. Rerun with `--submit`, or: bash {}\nThen show its state: {status}",
        shell::quoted(&submit.display().to_string())
    ));
    Ok(())
}

/// Reads the experiment, and checks settings that matter only on a cluster.
fn read(args: &SlurmArgs, session: &Session) -> Result<RunConfig> {
    let path = &args.config;
    // Fail here if the model does not exist, not in 64 jobs.
    let out = args.out.as_deref();
    let config = run::load_config(path, Overrides { seed: session.seed, out, ..Overrides::default() })?;
    if config.compute_format == FormatChoice::Auto {
        return Err(Error::ConfigValue {
            path: path.clone(),
            key: "compute_format".to_owned(),
            message: "is `auto`, which each node may resolve differently: expected `as-is`, `q8_0` or `f16`"
                .to_owned(),
        });
    }
    let is_scheduled = config.determinism == Determinism::Scheduled || config.gpu_layers > 0;
    if is_scheduled && (config.batch_width.is_none() || args.cpus_per_task.is_none()) {
        return Err(Error::ConfigValue {
            path: path.clone(),
            key: "determinism".to_owned(),
            message:
                "is `scheduled`, or will be because of `gpu_layers`, so threads and batch width must be the \
                      same on every node: set `batch_width` and give `--cpus-per-task`"
                    .to_owned(),
        });
    }
    Ok(config)
}

fn cluster(args: &SlurmArgs, session: &Session) -> Result<Cluster> {
    let evol = match &args.evol {
        Some(evol) => {
            std::path::absolute(evol).map_err(Error::io(format!("cannot use `{}`", evol.display())))?
        }
        None => std::env::current_exe()
            .map_err(Error::io("cannot find the path of this program: give it with `--evol`"))?,
    };
    let named = [
        ("partition", &args.partition),
        ("account", &args.account),
        ("time", &args.time),
        ("mem", &args.mem),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?)));
    let cores = args.cpus_per_task.map(|cores| format!("--cpus-per-task={cores}"));
    let options: Vec<String> = named.chain(cores).chain(args.sbatch.iter().cloned()).collect();
    if let Some(found) = options.iter().chain(&args.train_sbatch).find(|option| option.contains('\n')) {
        let (flag, found) = ("--sbatch", format!("{found:?}"));
        return Err(Error::Flag { flag, found, expected: "one option on one line" });
    }
    Ok(Cluster {
        evol,
        shards: args.shards,
        max_running: args.max_running,
        options,
        train_options: args.train_sbatch.clone(),
        threads: args.cpus_per_task,
        device: (session.device != DeviceArg::Cpu).then(|| session.device.to_string()),
        scratch: args.scratch.as_deref().map(scratch).transpose()?,
    })
}

/// The folder of `--scratch` as a word in the scripts: a path, or a variable that is set on the node, such as
/// `$TMPDIR`.
fn scratch(typed: &str) -> Result<String> {
    let variable = typed.strip_prefix('$');
    if let Some(name) = variable.map(|name| name.trim_matches(['{', '}'])) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            let (flag, found) = ("--scratch", typed.to_owned());
            return Err(Error::Flag { flag, found, expected: "a folder, or a variable such as `$TMPDIR`" });
        }
        return Ok(format!("\"${{{name}:?}}\""));
    }
    let path = std::path::absolute(typed).map_err(Error::io(format!("cannot use `{typed}`")))?;
    Ok(shell::quoted(&path.display().to_string()))
}

/// Runs the script that submits the jobs, and returns its output.
fn submit_with(script: &Path) -> Result<String> {
    let output = Command::new("bash").arg(script).output().map_err(Error::io("cannot run `bash`"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let reason = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Submit { script: script.to_owned(), said, reason })
}
