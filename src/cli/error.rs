//! What can be wrong with what was typed, and how any failure becomes an exit code and a hint.
//!
//! The other modules return their own errors; commands add context with `anyhow`; here the chain is searched
//! for the innermost error that knows a hint, and for what decides the exit code.
//!
//! **Invariant:** exit 2 means that the same command fails again until the user changes something; exit 1
//! that it may go better next time.

use super::compute::{BUILD, RECIPE};
use super::interrupt::EXIT_INTERRUPTED;
use super::output::StdoutClosed;
use super::shell;
use crate::device::cuda::CudaError;
use crate::{bench, dataset, device, eval, evolve, gguf, llm, lora, merge, model, store, train};
use std::ffi::OsString;
use std::path::PathBuf;

/// Wrong usage, configuration or input.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("argument `{}` is not valid UTF-8", found.to_string_lossy())]
    Argument { found: OsString },
    #[error("path `{}` is not valid UTF-8, and has to be written to a file of text", path.display())]
    Path { path: PathBuf },
    #[error("`--gpu-layers` is {found}, and this build has no GPU backend: expected 0")]
    NoGpuLayers { found: u32 },
    #[error("`--threads` is {found}, expected 1 to {limit}")]
    Threads { found: usize, limit: usize },
    #[error("`{flag}` is {found}, expected {expected}")]
    Flag { flag: &'static str, found: String, expected: &'static str },
    #[error("model `{name}` is known, but its file `{}` is not there", path.display())]
    ModelNotFetched { name: String, path: PathBuf },
    #[error("there is no model file `{}`", path.display())]
    NoSuchModel { path: PathBuf },
    #[error("{lines} lines of `{}` cannot be used as seeds", path.display())]
    BadSeeds { path: PathBuf, lines: usize },
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot write `{}`", path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("`{}` line {line}, column {column}: {message}", path.display())]
    Config { path: PathBuf, line: usize, column: usize, message: String },
    #[error("key `{key}` in `{}` {message}", path.display())]
    ConfigValue { path: PathBuf, key: String, message: String },
    #[error("directory `{}` is not empty, and this command did not make it", dir.display())]
    NotOurs { dir: PathBuf },
    #[error("`{}` is a file, or lies in one: expected a directory", path.display())]
    NoDirectory { path: PathBuf },
    #[error("another process is using `{}`", dir.display())]
    InUse { dir: PathBuf },
    #[error("the run in `{}` was begun with another configuration: {}", dir.display(), changes.join("; "))]
    OtherConfig { dir: PathBuf, changes: Vec<String> },
    #[error("`{}` could not submit everything: {reason}{}{said}", script.display(), if said.is_empty() { "" } else { "; submitted were: " })]
    Submit { script: PathBuf, said: String, reason: String },
    #[error("the evaluation in `{}` was begun with other settings: {}", dir.display(), changes.join("; "))]
    OtherEvaluation { dir: PathBuf, changes: Vec<String> },
    #[error("there is no node {id} in `{}`", run.display())]
    NoSuchNode { id: u64, run: PathBuf },
    #[error("the model of this run is no longer at `{}`", path.display())]
    ModelMoved { path: PathBuf },
    #[error("there is no `{}`, which says where the model of this run is", path.display())]
    NoManifest { path: PathBuf },
    #[error("`{}` has SHA-256 `{found}`, the run was made with `{expected}`", path.display())]
    OtherModel { path: PathBuf, found: String, expected: String },
    #[error("{differing} of {compared} replayed generations are not as recorded")]
    Verify { differing: usize, compared: usize, elsewhere: bool },
    #[error("`{}` exists", path.display())]
    Exists { path: PathBuf },
    #[error("`{}` is the base: it is not overwritten", path.display())]
    OverBase { path: PathBuf },
    #[error("{found} is none that can be written; known: {known}")]
    FileType { found: String, known: String },
    #[error("{findings} findings in {rows} rows")]
    Check { findings: usize, rows: usize },
    #[error("{failed} of {all} checks failed")]
    Doctor { failed: usize, all: usize },
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Exists { .. } => "name another file, or replace it with `--force`".to_owned(),
            Self::OverBase { .. } => "name another file".to_owned(),
            Self::FileType { .. } => "name one with `--type`, such as q8_0 or f16".to_owned(),
            Self::Argument { .. } | Self::Path { .. } => {
                "rename it, or work in another folder: runs record their paths as text".to_owned()
            }
            Self::NoGpuLayers { .. } => {
                "build with `cargo build --release --features llama-cuda`, which needs the CUDA toolkit"
                    .to_owned()
            }
            Self::ModelNotFetched { name, .. } => format!("fetch it once: `models/fetch {name}`"),
            Self::NoSuchModel { .. } => {
                let names: Vec<String> = known_names();
                format!("give a GGUF file, or the name of a known model: {}", names.join(", "))
            }
            Self::Config { .. } | Self::ConfigValue { .. } => {
                "`examples/quickstart.toml` shows every section and key".to_owned()
            }
            Self::BadSeeds { .. } => "mend them, or go on without them: `--on-bad-input skip`".to_owned(),
            Self::NotOurs { .. } | Self::NoDirectory { .. } => {
                "choose a new or empty directory with `--out`".to_owned()
            }
            Self::InUse { .. } => "wait for the other evol to end, or stop it".to_owned(),
            Self::OtherConfig { .. } => {
                "undo the change to go on with this run, or begin another with `--out`".to_owned()
            }
            Self::Submit { .. } => {
                "it calls `sbatch`: run it where Slurm's commands are; what was submitted is cancelled with `scancel`".to_owned()
            }
            Self::OtherEvaluation { .. } => {
                "undo the change to go on with it, or begin another with `--out`".to_owned()
            }
            Self::NoSuchNode { run, .. } => {
                format!("`{}` lists every node", shell::evol(&["tree", &shell::word(run), "--json"]))
            }
            Self::ModelMoved { .. } | Self::NoManifest { .. } | Self::OtherModel { .. } => {
                "give the file that the run was made with: `--model FILE`".to_owned()
            }
            Self::Verify { elsewhere: true, .. } => {
                "machine or build are others than the run's (see the warnings), which explains it".to_owned()
            }
            Self::Verify { elsewhere: false, .. } => {
                "`evol doctor --determinism --model FILE` shows what the bytes depend on here".to_owned()
            }
            Self::Interrupted => "the same command goes on from here".to_owned(),
            _ => return None,
        };
        Some(hint)
    }
}

fn known_names() -> Vec<String> {
    super::known_models::all().into_iter().map(|m| m.name).collect()
}

/// What an exit code can be, besides 0.
const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// How the process ends after `error`: exit code and hint. `None`: it ends quietly, with success.
pub(crate) fn ending(error: &anyhow::Error) -> Option<(u8, Option<String>)> {
    if error.chain().any(<dyn std::error::Error>::is::<StdoutClosed>) {
        return None;
    }
    let disk = || error.chain().find_map(|cause| full_disk(cause.downcast_ref()?));
    let hint = error.chain().filter_map(hint_of).last().or_else(disk);
    Some((exit_code(error), hint))
}

fn hint_of(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    None.or_else(|| other_build(cause))
        .or_else(|| cause.downcast_ref::<Error>()?.hint())
        .or_else(|| cause.downcast_ref::<gguf::Error>()?.hint())
        .or_else(|| cause.downcast_ref::<device::Error>()?.hint())
        .or_else(|| cause.downcast_ref::<CudaError>()?.hint())
        .or_else(|| cause.downcast_ref::<llm::Error>()?.hint())
        .or_else(|| cause.downcast_ref::<store::Error>()?.hint())
        .or_else(|| cause.downcast_ref::<lora::Error>()?.hint())
        .or_else(|| cause.downcast_ref::<model::Error>()?.hint())
        .or_else(|| cause.downcast_ref::<dataset::Error>()?.hint())
        .or_else(|| cause.downcast_ref::<evolve::Error>()?.hint())
        .or_else(|| cause.downcast_ref::<bench::Error>()?.hint())
        .or_else(|| cause.downcast_ref::<eval::Error>()?.hint())
        .or_else(|| cause.downcast_ref::<train::Error>()?.hint())
        .or_else(|| cause.downcast_ref::<merge::Error>()?.hint())
}

/// Of whatever file it is that cannot be written, where nobody knows better.
fn full_disk(error: &std::io::Error) -> Option<String> {
    use std::io::ErrorKind as K;
    matches!(error.kind(), K::StorageFull | K::QuotaExceeded)
        .then(|| "make room on that disk, then give the same command again".to_owned())
}

/// Of a run that was begun with another build of llama.cpp and nothing else that is different: what the
/// journal itself advises does not say how a build can matter.
fn other_build(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    let error = match cause.downcast_ref() {
        Some(evolve::Error::Store(error)) => error,
        _ => cause.downcast_ref()?,
    };
    let store::Error::Changed { changes, .. } = error else { return None };
    changes.iter().all(|change| BUILD.contains(&change.name.as_str()) || change.name == RECIPE).then(|| {
        "another build of llama.cpp gives other bytes, so that the rest of the run would not be what the whole \
         would have been: go on with the build that began it, or begin another with `--out`"
            .to_owned()
    })
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let any = |test: fn(&(dyn std::error::Error + 'static)) -> bool| error.chain().any(test);
    if any(is_interruption) {
        EXIT_INTERRUPTED
    } else if any(is_users_to_change) {
        USAGE
    } else {
        FAILED
    }
}

fn is_interruption(cause: &(dyn std::error::Error + 'static)) -> bool {
    matches!(cause.downcast_ref(), Some(Error::Interrupted))
        || matches!(cause.downcast_ref(), Some(llm::Error::Interrupted))
        || matches!(cause.downcast_ref(), Some(evolve::Error::Llm(llm::Error::Interrupted)))
}

/// Whether the user has to change something before the same command can work. Everything that is not known to
/// be so counts as a failure of the run.
fn is_users_to_change(cause: &(dyn std::error::Error + 'static)) -> bool {
    let usage = None
        .or_else(|| cause.downcast_ref().map(own_usage))
        .or_else(|| cause.downcast_ref().map(gguf_usage))
        .or_else(|| cause.downcast_ref().map(llm_usage))
        .or_else(|| cause.downcast_ref().map(store_usage))
        .or_else(|| cause.downcast_ref().map(dataset_usage))
        .or_else(|| cause.downcast_ref().map(evolve_usage))
        .or_else(|| cause.downcast_ref().map(bench_usage))
        .or_else(|| cause.downcast_ref().map(eval_usage))
        .or_else(|| cause.downcast_ref().map(train_usage))
        .or_else(|| cause.downcast_ref().map(cuda_usage))
        .or_else(|| cause.downcast_ref().map(merge_usage))
        .or_else(|| cause.downcast_ref().map(lora_usage))
        .or_else(|| cause.downcast_ref().map(|_: &model::Error| true));
    usage.unwrap_or(false)
}

fn own_usage(error: &Error) -> bool {
    !matches!(
        error,
        Error::InUse { .. }
            | Error::Write { .. }
            | Error::Doctor { .. }
            | Error::Check { .. }
            | Error::Submit { .. }
            | Error::Verify { .. }
    )
}

fn gguf_usage(error: &gguf::Error) -> bool {
    !matches!(error, gguf::Error::Io { action, .. } if !is_reading(action))
}

fn llm_usage(error: &llm::Error) -> bool {
    use llm::Error as E;
    match error {
        E::Gguf(error) => gguf_usage(error),
        E::Interrupted
        | E::Backend { .. }
        | E::Context { .. }
        | E::Decode { .. }
        | E::NotANumber { .. }
        | E::Cache { .. } => false,
        _ => true,
    }
}

fn eval_usage(error: &eval::Error) -> bool {
    match error {
        eval::Error::Llm(error) => llm_usage(error),
        eval::Error::Encode(error) => train_usage(error),
        _ => true,
    }
}

fn store_usage(error: &store::Error) -> bool {
    use store::Error as E;
    !matches!(error, E::Busy { .. } | E::Directory { .. } | E::Sqlite { .. } | E::Unclosed { .. })
}

fn lora_usage(error: &lora::Error) -> bool {
    match error {
        lora::Error::Gguf(error) => gguf_usage(error),
        lora::Error::Io { .. } => false,
        _ => true,
    }
}

fn dataset_usage(error: &dataset::Error) -> bool {
    !matches!(error, dataset::Error::Io { action, .. } if !is_reading(action))
}

fn evolve_usage(error: &evolve::Error) -> bool {
    match error {
        evolve::Error::Llm(error) => llm_usage(error),
        evolve::Error::Store(error) => store_usage(error),
        _ => true,
    }
}

fn bench_usage(error: &bench::Error) -> bool {
    match error {
        bench::Error::Llm(error) => llm_usage(error),
        bench::Error::Evolve(error) => evolve_usage(error),
        bench::Error::Store(error) => store_usage(error),
        bench::Error::Train(error) => train_usage(error),
        _ => error.is_users_to_change(),
    }
}

fn train_usage(error: &train::Error) -> bool {
    use train::Error as E;
    match error {
        E::Llm(error) => llm_usage(error),
        E::Lora(error) => lora_usage(error),
        E::Cuda(error) | E::Rank { cause: error, .. } => cuda_usage(error),
        _ => !matches!(
            error,
            E::InUse { .. }
                | E::NotFinite { .. }
                | E::Io { .. }
                | E::RankThread { .. }
                | E::RanksDiffer { .. }
        ),
    }
}

fn cuda_usage(error: &CudaError) -> bool {
    use CudaError as E;
    matches!(
        error,
        E::NoDriver
            | E::NoBlas
            | E::NoNccl
            | E::OldNccl { .. }
            | E::NoDevice { .. }
            | E::Capability { .. }
            | E::NoBf16 { .. }
            | E::Kernels { .. }
    )
}

fn merge_usage(error: &merge::Error) -> bool {
    match error {
        merge::Error::Gguf(error) => gguf_usage(error),
        merge::Error::Llm(error) => llm_usage(error),
        merge::Error::TooLarge { .. } => true,
        _ => false,
    }
}

/// Input that cannot be opened is wrong input; output that cannot be written is bad luck.
fn is_reading(action: &str) -> bool {
    matches!(action, "open" | "read" | "map")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_explained_whatever_file_it_stops() {
        let full = || std::io::Error::from(std::io::ErrorKind::StorageFull);
        let (code, hint) =
            ending(&Error::Write { path: "run/manifest.json".into(), source: full() }.into()).unwrap();
        assert_eq!(code, FAILED);
        assert!(hint.is_some_and(|hint| hint.starts_with("make room on that disk")));
        let converting = llm::Error::Cache { path: "cache".into(), action: "write", source: full() };
        let own = converting.hint();
        assert!(own.is_some() && ending(&converting.into()).unwrap().1 == own, "who knows better is heard");
    }
}
