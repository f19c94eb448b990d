//! Why a command failed: what can be wrong with what was typed and with the files of a run, and every other
//! module's errors.
//!
//! Where in the flow: all commands return [`Error`]; `ending` turns one into an exit code and a hint.
//!
//! **Invariant:** every message names the file or the flag, what was found and what was expected.

use super::compute::{BUILD, RECIPE};
use super::shell;
use crate::device::cuda::CudaError;
use crate::explain::{Blame, Explain, Explanation};
use crate::{bench, dataset, device, eval, evolve, gguf, llm, lora, merge, model, store, train};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// What commands return.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("argument `{}` is not valid UTF-8", found.to_string_lossy())]
    Argument { found: OsString },
    #[error("path `{}` is not valid UTF-8", path.display())]
    Path { path: PathBuf },
    #[error("`--gpu-layers` is {found}, expected 0: this build has no GPU backend")]
    NoGpuLayers { found: u32 },
    #[error("`--threads` is {found}, expected 1 to {limit}")]
    Threads { found: usize, limit: usize },
    #[error("`{flag}` is {found}, expected {expected}")]
    Flag { flag: &'static str, found: String, expected: &'static str },
    #[error("model `{name}` is known, but its file `{}` does not exist", path.display())]
    ModelNotFetched { name: String, path: PathBuf },
    #[error("model file `{}` does not exist", path.display())]
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
    #[error("directory `{}` is not empty and was not created by this command", dir.display())]
    NotOurs { dir: PathBuf },
    #[error("`{}` is a file or inside one, expected a directory", path.display())]
    NoDirectory { path: PathBuf },
    #[error("another process is using `{}`", dir.display())]
    InUse { dir: PathBuf },
    #[error("the run in `{}` was started with another configuration: {}", dir.display(), changes.join("; "))]
    OtherConfig { dir: PathBuf, changes: Vec<String> },
    #[error(
        "`{}` could not submit everything: {reason}{}{said}",
        script.display(),
        if said.is_empty() { "" } else { "; already submitted: " }
    )]
    Submit { script: PathBuf, said: String, reason: String },
    #[error("the evaluation in `{}` was started with other settings: {}", dir.display(), changes.join("; "))]
    OtherEvaluation { dir: PathBuf, changes: Vec<String> },
    #[error("node {id} does not exist in `{}`", run.display())]
    NoSuchNode { id: u64, run: PathBuf },
    #[error("the model of this run is no longer at `{}`", path.display())]
    ModelMoved { path: PathBuf },
    #[error(
        "cannot find the model of this run: `{}` is missing or was written by another version of evol",
        path.display()
    )]
    NoManifest { path: PathBuf },
    #[error("`{}` has SHA-256 `{found}`, expected `{expected}`, the model of this run", path.display())]
    OtherModel { path: PathBuf, found: String, expected: String },
    #[error("{differing} of {compared} replayed generations differ from the journal")]
    Verify { differing: usize, compared: usize, elsewhere: bool },
    #[error("`{}` already exists", path.display())]
    Exists { path: PathBuf },
    #[error("`{}` is the base model, which is never overwritten", path.display())]
    OverBase { path: PathBuf },
    #[error("cannot write {found}; expected one of: {known}")]
    FileType { found: String, known: String },
    #[error("{findings} findings in {rows} rows")]
    Check { findings: usize, rows: usize },
    #[error("{failed} of {all} checks failed")]
    Doctor { failed: usize, all: usize },
    #[error("interrupted")]
    Interrupted,
    /// Nobody reads the results any more (`evol … | head`): nothing went wrong.
    #[error("the output is closed")]
    OutputClosed,
    /// The operating system refused something that is not about one of the run's files.
    #[error("{what}")]
    Io { what: String, source: io::Error },
    /// Another error, with what was being done.
    #[error("{what}")]
    Context { what: String, source: Box<Error> },
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    #[error(transparent)]
    Device(#[from] device::Error),
    #[error(transparent)]
    Cuda(#[from] CudaError),
    #[error(transparent)]
    Llm(#[from] llm::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Lora(#[from] lora::Error),
    #[error(transparent)]
    Merge(#[from] merge::Error),
    #[error(transparent)]
    Model(#[from] model::Error),
    #[error(transparent)]
    Dataset(#[from] dataset::Error),
    #[error(transparent)]
    Evolve(#[from] evolve::Error),
    #[error(transparent)]
    Train(#[from] train::Error),
    #[error(transparent)]
    Eval(#[from] eval::Error),
    #[error(transparent)]
    Bench(#[from] bench::Error),
}

impl Error {
    /// Says what could not be done, for an error of the operating system.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source }
    }

    /// The error without what was being done.
    pub(crate) fn without_context(&self) -> &Self {
        match self {
            Self::Context { source, .. } => source.without_context(),
            other => other,
        }
    }
}

/// Adds what was being done to an error.
pub(crate) trait Context<T> {
    /// The error says `what` first, then its own message; blame and hint stay its own.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Context { what: what(), source: Box::new(error.into()) })
    }
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
        match self {
            Self::Context { source, .. } => source.explain(),
            Self::Gguf(error) => error.explain(),
            Self::Device(error) => error.explain(),
            Self::Cuda(error) => error.explain(),
            Self::Llm(error) => error.explain(),
            Self::Store(error) | Self::Evolve(evolve::Error::Store(error)) => {
                other_program(error).unwrap_or_else(|| error.explain())
            }
            Self::Lora(error) => error.explain(),
            Self::Merge(error) => error.explain(),
            Self::Model(error) => error.explain(),
            Self::Dataset(error) => error.explain(),
            Self::Evolve(error) => error.explain(),
            Self::Train(error) => error.explain(),
            Self::Eval(error) => error.explain(),
            Self::Bench(error) => error.explain(),
            Self::Interrupted => Blame::Interrupted.hint("the same command resumes"),
            Self::Io { .. }
            | Self::OutputClosed
            | Self::Write { .. }
            | Self::Doctor { .. }
            | Self::Check { .. } => Blame::Run.no_hint(),
            Self::InUse { .. } => Blame::Run.hint("wait for the other evol to finish, or stop it"),
            Self::Submit { .. } => Blame::Run.hint(
                "run it where Slurm's `sbatch` is installed; to cancel what was submitted, use `scancel`",
            ),
            Self::Verify { elsewhere: true, .. } => {
                Blame::Run.hint("this machine or build is not the run's, which explains it: see the warnings")
            }
            Self::Verify { elsewhere: false, .. } => Blame::Run
                .hint("`evol doctor --determinism --model FILE` shows what the output depends on here"),
            Self::Threads { .. } | Self::Flag { .. } | Self::Read { .. } => Blame::Usage.no_hint(),
            Self::Exists { .. } => {
                Blame::Usage.hint("choose another file, or replace this one with `--force`")
            }
            Self::OverBase { .. } => Blame::Usage.hint("choose another file"),
            Self::FileType { .. } => Blame::Usage.hint("choose a file type, for example `--type q8_0`"),
            Self::Argument { .. } | Self::Path { .. } => {
                Blame::Usage.hint("rename it, or work in another folder: runs record paths as UTF-8 text")
            }
            Self::NoGpuLayers { .. } => Blame::Usage.hint(
                "for a GPU backend, install the CUDA toolkit and build evol with `cargo build --release \
                 --features llama-cuda`",
            ),
            Self::ModelNotFetched { name, .. } => {
                Blame::Usage.hint(format!("fetch it first: `models/fetch {name}`"))
            }
            Self::NoSuchModel { .. } => Blame::Usage.hint(format!(
                "give a GGUF file, or the name of a known model: {}",
                known_names().join(", ")
            )),
            Self::Config { .. } | Self::ConfigValue { .. } => {
                Blame::Usage.hint("`examples/quickstart.toml` shows every section and key")
            }
            Self::BadSeeds { .. } => Blame::Usage.hint("fix them, or skip them with `--on-bad-input skip`"),
            Self::NotOurs { .. } | Self::NoDirectory { .. } => {
                Blame::Usage.hint("choose a new or empty directory with `--out`")
            }
            Self::OtherConfig { .. } | Self::OtherEvaluation { .. } => {
                Blame::Usage.hint("undo the change to resume it, or start a new one with `--out`")
            }
            Self::NoSuchNode { run, .. } => Blame::Usage
                .hint(format!("`{}` lists every node", shell::evol(&["tree", &shell::word(run), "--json"]))),
            Self::ModelMoved { .. } | Self::NoManifest { .. } | Self::OtherModel { .. } => {
                Blame::Usage.hint("give the model file that the run was made with: `--model FILE`")
            }
        }
    }
}

fn known_names() -> Vec<String> {
    super::known_models::all().into_iter().map(|m| m.name).collect()
}

/// For a run that another version of evol, or the same one with another build of llama.cpp, started: the
/// journal's own hint advises to undo a change that the user did not make.
fn other_program(error: &store::Error) -> Option<Explanation> {
    let store::Error::Changed { changes, .. } = error else { return None };
    let is_version = |name: &str| ["prompts.blake3", "guards.blake3", "rules.version"].contains(&name);
    let is_build = |name: &str| BUILD.contains(&name) || name == RECIPE;
    if changes.iter().any(|change| is_version(&change.name)) {
        return Some(Blame::Usage.hint(
            "another version of evol started this run: resume it with that version, or start a new run with \
             `--out`",
        ));
    }
    changes.iter().all(|change| is_build(&change.name)).then(|| {
        Blame::Usage.hint(
            "another build of llama.cpp computes other bytes, so the rest of the run would not match its \
             start: resume it with the build that started it, or start a new run with `--out`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Change;

    #[test]
    fn a_run_that_another_program_started_gets_a_hint_of_its_own() {
        let hint = |names: &[&str]| {
            let change = |name: &&str| Change { name: (*name).to_owned(), old: None, new: None };
            let changed =
                store::Error::Changed { path: "run".into(), changes: names.iter().map(change).collect() };
            Error::from(evolve::Error::from(changed)).hint().unwrap()
        };
        assert!(hint(&["rules.version"]).starts_with("another version of evol"));
        assert!(hint(&["config.rounds", "prompts.blake3"]).starts_with("another version of evol"));
        assert!(hint(BUILD.as_slice()).starts_with("another build of llama.cpp"));
        assert!(hint(&["config.rounds", BUILD[0]]).starts_with("a run resumes only"));
    }
}
