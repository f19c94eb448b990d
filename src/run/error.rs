//! Why a command or a stage failed: problems with arguments and with a run's files, and the errors of all
//! other modules.
//!
//! Where in the flow: stages and commands return [`Error`]; `cli` turns it into an exit code and a hint.
//!
//! **Invariant:** every message names the file or the flag, what was found and what was expected.

use super::shell;
use crate::device::cuda::CudaError;
use crate::explain::{Blame, Explain, Explanation};
use crate::identity::Difference;
use crate::{bench, dataset, device, eval, evolve, gguf, llm, lora, merge, model, store, train};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

/// The result of a stage or a command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command or a stage failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument is not valid UTF-8.
    #[error("argument `{}` is not valid UTF-8", found.to_string_lossy())]
    Argument {
        /// The argument.
        found: OsString,
    },
    /// A path is not valid UTF-8, so it cannot be recorded.
    #[error("path `{}` is not valid UTF-8, but must be recorded in a text file", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// `--gpu-layers` in a build without a GPU backend.
    #[error("`--gpu-layers` is {found}, expected 0: this build has no GPU backend")]
    NoGpuLayers {
        /// The number that was given.
        found: u32,
    },
    /// The number of threads is out of range.
    #[error("`--threads` is {found}, expected 1 to {limit}")]
    Threads {
        /// The number that was given.
        found: usize,
        /// The largest that llama.cpp takes.
        limit: usize,
    },
    /// The value of a flag, or of the key of the same name, is out of range.
    #[error("`{flag}` is {found}, expected {expected}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// Its value.
        found: String,
        /// The range.
        expected: &'static str,
    },
    /// A prompt file has a mistake.
    #[error("`{}`, line {}: {}", .path.display(), .error.line, .error.problem)]
    Prompt {
        /// The file.
        path: PathBuf,
        /// The mistake.
        error: crate::evolve::PromptError,
    },
    /// A file of labelled tasks has a line that is none.
    #[error("`{}`, line {line}: {problem}", .path.display())]
    Labelled {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong, in words.
        problem: String,
    },
    /// A folder of prompts has none for any operator.
    #[error("`{}` has no prompt: expected files such as `deepening/short.txt` in it", .path.display())]
    NoPrompts {
        /// The folder.
        path: PathBuf,
    },
    /// A known model whose file was not fetched.
    #[error("model `{name}` is known, but its file `{}` does not exist", path.display())]
    ModelNotFetched {
        /// Its name.
        name: String,
        /// Where the file is expected.
        path: PathBuf,
    },
    /// A model file that does not exist.
    #[error("model file `{}` does not exist", path.display())]
    NoSuchModel {
        /// The file.
        path: PathBuf,
        /// Names of the known models.
        known: String,
    },
    /// Unusable lines of a seed file; each was reported as a warning.
    #[error("{lines} lines of `{}` cannot be used as seeds", path.display())]
    BadSeeds {
        /// The file.
        path: PathBuf,
        /// How many.
        lines: usize,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// An experiment file that does not parse.
    #[error("`{}` line {line}, column {column}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// A key of an experiment file with an unusable value.
    #[error("key `{key}` in `{}` {message}", path.display())]
    ConfigValue {
        /// The file.
        path: PathBuf,
        /// The key, with its section.
        key: String,
        /// What was found, and what was expected.
        message: String,
    },
    /// A directory contains files that this command did not create.
    #[error("directory `{}` is not empty and was not created by this command", dir.display())]
    NotOurs {
        /// The directory.
        dir: PathBuf,
    },
    /// A path that should be a directory is a file, or is inside one.
    #[error("`{}` is a file or inside one, expected a directory", path.display())]
    NoDirectory {
        /// The path.
        path: PathBuf,
    },
    /// Another process has locked the directory.
    #[error("another process is using `{}`", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// A run was started with another configuration.
    #[error("the run in `{}` was started with another configuration: {}", dir.display(), join(differences))]
    OtherConfig {
        /// The run.
        dir: PathBuf,
        /// Every key that differs.
        differences: Vec<Difference>,
    },
    /// An evaluation was started with other settings.
    #[error("the evaluation in `{}` was started with other settings: {}", dir.display(), join(differences))]
    OtherEvaluation {
        /// Its folder.
        dir: PathBuf,
        /// Every setting that differs.
        differences: Vec<Difference>,
    },
    /// A run was started with another build of llama.cpp; nothing else differs.
    #[error(
        "the run in `{}` was started with another build of llama.cpp: {}",
        path.display(),
        join(differences)
    )]
    OtherBuild {
        /// The journal.
        path: PathBuf,
        /// The differences between the builds.
        differences: Vec<Difference>,
    },
    /// A run, or one of its files, was written by another version of evol.
    #[error("`{}` was written by another version of evol: {reason}", path.display())]
    OtherVersion {
        /// The run or the file.
        path: PathBuf,
        /// What is unexpected about it.
        reason: String,
    },
    /// Slurm rejected a job.
    #[error("`{}` did not submit all jobs: {reason}{}{said}",
        script.display(),
        if said.is_empty() { "" } else { "; already submitted: " }
    )]
    Submit {
        /// The script that submits.
        script: PathBuf,
        /// Its standard output, which lists the submitted jobs.
        said: String,
        /// Its standard error.
        reason: String,
    },
    /// A node id that does not exist in the run.
    #[error("node {id} does not exist in `{}`", run.display())]
    NoSuchNode {
        /// Its id.
        id: u64,
        /// The run.
        run: PathBuf,
    },
    /// The model of a run was moved or deleted.
    #[error("the model of this run is no longer at `{}`", path.display())]
    ModelMoved {
        /// Where it was.
        path: PathBuf,
    },
    /// A run without a manifest, which names its model.
    #[error("cannot find the model of this run: `{}` is missing", path.display())]
    NoManifest {
        /// The manifest.
        path: PathBuf,
    },
    /// A model file that is not the run's.
    #[error("`{}` has SHA-256 `{found}`, expected `{expected}`, the model of this run", path.display())]
    OtherModel {
        /// The model file.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
        /// The recorded one.
        expected: String,
    },
    /// A replay that gave different bytes.
    #[error("{differing} of {compared} replayed generations differ from the journal")]
    Verify {
        /// Generations that differ.
        differing: usize,
        /// Generations that were replayed.
        compared: usize,
        /// Whether the machine or build differs from the run's.
        elsewhere: bool,
    },
    /// The output file already exists.
    #[error("`{}` already exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A result that would overwrite its own base.
    #[error("`{}` is the base model, which is never overwritten", path.display())]
    OverBase {
        /// The file.
        path: PathBuf,
    },
    /// A file type that cannot be written.
    #[error("cannot write {found}; expected one of: {known}")]
    FileType {
        /// The type, and where it came from.
        found: String,
        /// The types that can be written.
        known: String,
    },
    /// Rows of an export that fail a check; each was printed.
    #[error("{findings} findings in {rows} rows")]
    Check {
        /// How many.
        findings: usize,
        /// Rows that were checked.
        rows: usize,
    },
    /// Failed checks of the machine or a model; each was printed.
    #[error("{failed} of {all} checks failed")]
    Doctor {
        /// How many.
        failed: usize,
        /// Checks in all.
        all: usize,
    },
    /// The user stopped the work.
    #[error("interrupted")]
    Interrupted,
    /// stdout was closed by its reader (`evol … | head`), which is not a failure.
    #[error("the output is closed")]
    OutputClosed,
    /// An error of the operating system that is not about a file of the run.
    #[error("{what}")]
    Io {
        /// What could not be done.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// Another error, with what failed because of it.
    #[error("{what}")]
    Context {
        /// What could not be done.
        what: String,
        /// Why not.
        source: Box<Self>,
    },
    /// A model file.
    #[error(transparent)]
    Gguf(#[from] gguf::Error),
    /// The CPU pool.
    #[error(transparent)]
    Device(#[from] device::Error),
    /// A GPU.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// llama.cpp.
    #[error(transparent)]
    Llm(#[from] llm::Error),
    /// The journal.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// An adapter.
    #[error(transparent)]
    Lora(#[from] lora::Error),
    /// A merge.
    #[error(transparent)]
    Merge(#[from] merge::Error),
    /// A base that cannot be trained.
    #[error(transparent)]
    Model(#[from] model::Error),
    /// Seeds, data or an export.
    #[error(transparent)]
    Dataset(#[from] dataset::Error),
    /// An evolution.
    #[error(transparent)]
    Evolve(#[from] evolve::Error),
    /// A training.
    #[error(transparent)]
    Train(#[from] train::Error),
    /// An evaluation.
    #[error(transparent)]
    Eval(#[from] eval::Error),
    /// A measurement.
    #[error(transparent)]
    Bench(#[from] bench::Error),
}

impl Error {
    /// Wraps an error of the operating system with a message about what failed.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source }
    }

    /// The innermost error, without its contexts.
    pub fn without_context(&self) -> &Self {
        match self {
            Self::Context { source, .. } => source.without_context(),
            other => other,
        }
    }
}

/// Adds context to an error.
pub trait ErrorContext<T> {
    /// Adds `what` before the error's message. Blame and hint stay the same.
    ///
    /// # Errors
    /// The same error, wrapped in [`Error::Context`].
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> ErrorContext<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Context { what: what(), source: Box::new(error.into()) })
    }
}

/// Formats differences on one line.
pub(super) fn join(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// What to give as a model; `known` are the names of the known ones.
fn instead_of_a_missing_file(known: &str) -> String {
    format!(
        "give a GGUF file, or the name of a known model ({known}) after `models/fetch NAME` in evol's source \
         folder"
    )
}

/// Where to look when a file for `evol bench prompts` or `evol bench questions` is refused.
const PROMPT_FILES: &str = "docs/evolution.md describes the files";

impl Explain for Error {
    fn explain(&self) -> Explanation {
        use Blame::{Run, Usage};
        match self {
            Self::Context { source, .. } => source.explain(),
            Self::Gguf(error) => error.explain(),
            Self::Device(error) => error.explain(),
            Self::Cuda(error) => error.explain(),
            Self::Llm(error) => error.explain(),
            Self::Store(error) => error.explain(),
            Self::Lora(error) => error.explain(),
            Self::Merge(error) => error.explain(),
            Self::Model(error) => error.explain(),
            Self::Dataset(error) => error.explain(),
            Self::Evolve(error) => error.explain(),
            Self::Train(error) => error.explain(),
            Self::Eval(error) => error.explain(),
            Self::Bench(error) => error.explain(),
            Self::Interrupted => Blame::Interrupted.hint("rerun the same command to resume"),
            Self::Io { .. }
            | Self::OutputClosed
            | Self::Write { .. }
            | Self::Doctor { .. }
            | Self::Check { .. } => Run.no_hint(),
            Self::InUse { .. } => Run.hint("wait for the other evol to finish, or stop it"),
            Self::Submit { .. } => {
                Run.hint("run it where Slurm's `sbatch` is installed; use `scancel` to cancel submitted jobs")
            }
            Self::Verify { elsewhere: true, .. } => Run.hint("this machine or build differs: see warnings"),
            Self::Verify { elsewhere: false, .. } => Run
                .hint("run `evol doctor --determinism --model FILE` to see what the output depends on here"),
            Self::Threads { .. } | Self::Flag { .. } | Self::Read { .. } => Usage.no_hint(),
            Self::Labelled { .. } | Self::Prompt { .. } | Self::NoPrompts { .. } => Usage.hint(PROMPT_FILES),
            Self::Exists { .. } => Usage.hint("choose another file, or replace this one with `--force`"),
            Self::OverBase { .. } => Usage.hint("choose another file"),
            Self::FileType { .. } => Usage.hint("choose a file type, for example `--type q8_0`"),
            Self::Argument { .. } | Self::Path { .. } => {
                Usage.hint("rename it, or work in another folder: runs record paths as UTF-8")
            }
            Self::NoGpuLayers { .. } => {
                Usage.hint("install the CUDA toolkit, then `cargo build --release --features llama-cuda`")
            }
            Self::ModelNotFetched { name, .. } => {
                Usage.hint(format!("fetch it first, in evol's source folder: `models/fetch {name}`"))
            }
            Self::NoSuchModel { known, .. } => Usage.hint(instead_of_a_missing_file(known)),
            Self::Config { .. } | Self::ConfigValue { .. } => {
                Usage.hint("`examples/quickstart.toml` shows every section and key")
            }
            Self::BadSeeds { .. } => Usage.hint("fix them, or skip them with `--on-bad-input skip`"),
            Self::NotOurs { .. } | Self::NoDirectory { .. } => {
                Usage.hint("choose a new or empty directory with `--out`")
            }
            Self::OtherConfig { .. } | Self::OtherEvaluation { .. } => {
                Usage.hint("undo the change to resume it, or start a new one with `--out`")
            }
            Self::OtherBuild { .. } => Usage.hint(
                "another build of llama.cpp computes other bytes, so the rest of the run would not match its \
                 start: resume it with the build that started it, or start a new run with `--out`",
            ),
            Self::OtherVersion { .. } => {
                Usage.hint("resume it with that version, or start a new run with `--out`")
            }
            Self::NoSuchNode { run, .. } => Usage
                .hint(format!("`{}` lists every node", shell::evol(&["tree", &shell::word(run), "--json"]))),
            Self::ModelMoved { .. } | Self::NoManifest { .. } | Self::OtherModel { .. } => {
                Usage.hint("give the model file that the run was made with: `--model FILE`")
            }
        }
    }
}
