//! Why a command or a stage failed: what can be wrong with what was typed and with the files of a run, and
//! every other module's errors.
//!
//! Where in the flow: stages and commands return [`Error`]; `cli` makes an exit code and a hint of it.
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
    /// An argument is not text.
    #[error("argument `{}` is not valid UTF-8", found.to_string_lossy())]
    Argument {
        /// The argument.
        found: OsString,
    },
    /// A path that cannot be recorded as text.
    #[error("path `{}` is not valid UTF-8, and has to be written to a file of text", path.display())]
    Path {
        /// The path.
        path: PathBuf,
    },
    /// Layers on a GPU, in a build without a backend for it.
    #[error("`--gpu-layers` is {found}, and this build has no GPU backend: expected 0")]
    NoGpuLayers {
        /// The number that was given.
        found: u32,
    },
    /// A number of threads out of range.
    #[error("`--threads` is {found}, expected 1 to {limit}")]
    Threads {
        /// The number that was given.
        found: usize,
        /// The largest that llama.cpp takes.
        limit: usize,
    },
    /// A flag, or the key of the same name, out of range.
    #[error("`{flag}` is {found}, expected {expected}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// Its value.
        found: String,
        /// The range.
        expected: &'static str,
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
    /// Lines of a seed file that are no seeds; each was reported.
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
    /// A directory that holds files of somebody else.
    #[error("directory `{}` is not empty and was not created by this command", dir.display())]
    NotOurs {
        /// The directory.
        dir: PathBuf,
    },
    /// A path that cannot be a directory.
    #[error("`{}` is a file or inside one, expected a directory", path.display())]
    NoDirectory {
        /// The path.
        path: PathBuf,
    },
    /// Another process has the directory.
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
    /// A run was started with another build of llama.cpp, and is the same otherwise.
    #[error(
        "the run in `{}` was started with another build of llama.cpp: {}",
        path.display(),
        join(differences)
    )]
    OtherBuild {
        /// The journal.
        path: PathBuf,
        /// What differs between the builds.
        differences: Vec<Difference>,
    },
    /// A run or a file of it was written by another version of this program.
    #[error("`{}` was written by another version of evol: {reason}", path.display())]
    OtherVersion {
        /// The run or the file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// Slurm did not take a job.
    #[error("`{}` could not submit everything: {reason}{}{said}",
        script.display(),
        if said.is_empty() { "" } else { "; already submitted: " }
    )]
    Submit {
        /// The script that submits.
        script: PathBuf,
        /// What it printed: the jobs that were submitted.
        said: String,
        /// Its error.
        reason: String,
    },
    /// A node that the run does not have.
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
    /// Another model than that of the run.
    #[error("`{}` has SHA-256 `{found}`, expected `{expected}`, the model of this run", path.display())]
    OtherModel {
        /// The model file.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
        /// The recorded one.
        expected: String,
    },
    /// A replay that gave other bytes.
    #[error("{differing} of {compared} replayed generations differ from the journal")]
    Verify {
        /// Generations that differ.
        differing: usize,
        /// Generations that were replayed.
        compared: usize,
        /// Whether machine or build are others than the run's.
        elsewhere: bool,
    },
    /// A file in the way of a result.
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
        /// The type, and who asked for it.
        found: String,
        /// The types that can be written.
        known: String,
    },
    /// An export with rows that fail a check; each was reported.
    #[error("{findings} findings in {rows} rows")]
    Check {
        /// How many.
        findings: usize,
        /// Rows that were checked.
        rows: usize,
    },
    /// Failed checks of the machine or a model; each was reported.
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
    /// Nobody reads the results any more (`evol … | head`): nothing went wrong.
    #[error("the output is closed")]
    OutputClosed,
    /// The operating system refused something that is not about a file of the run.
    #[error("{what}")]
    Io {
        /// What could not be done.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// Another error, with what was being done.
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
    /// Says what could not be done, for an error of the operating system.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source }
    }

    /// The error itself, without what was being done.
    pub fn without_context(&self) -> &Self {
        match self {
            Self::Context { source, .. } => source.without_context(),
            other => other,
        }
    }
}

/// Adds what was being done to an error.
pub trait ErrorContext<T> {
    /// The error says `what` first, then its own message; blame and hint stay its own.
    ///
    /// # Errors
    /// The error itself, in [`Error::Context`].
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Error>> ErrorContext<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::Context { what: what(), source: Box::new(error.into()) })
    }
}

/// Differences on one line.
pub(super) fn join(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Explain for Error {
    fn explain(&self) -> Explanation {
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
            Self::NoSuchModel { known, .. } => {
                Blame::Usage.hint(format!("give a GGUF file, or the name of a known model: {known}"))
            }
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
            Self::OtherBuild { .. } => Blame::Usage.hint(
                "another build of llama.cpp computes other bytes, so the rest of the run would not match its \
                 start: resume it with the build that started it, or start a new run with `--out`",
            ),
            Self::OtherVersion { .. } => {
                Blame::Usage.hint("resume it with that version, or start a new run with `--out`")
            }
            Self::NoSuchNode { run, .. } => Blame::Usage
                .hint(format!("`{}` lists every node", shell::evol(&["tree", &shell::word(run), "--json"]))),
            Self::ModelMoved { .. } | Self::NoManifest { .. } | Self::OtherModel { .. } => {
                Blame::Usage.hint("give the model file that the run was made with: `--model FILE`")
            }
        }
    }
}
