//! `RUN/manifest.json`: what a run was made from.
//!
//! The journal keeps what decides the results (and refuses to go on with anything else); the manifest says
//! the same to a reader, with licences and the machine, which decide nothing.
//!
//! **Invariant:** no clock and no path decides what it says about content: model, seeds and prompts are
//! hashes.

use super::compute::ComputeEntry;
use super::error::Error;
use super::known_models;
use super::machine::Machine;
use super::run_dir::RunDir;
use crate::dataset::{Card, Seed};
use crate::evolve::{self, Calibration, Policy};
use crate::gguf::{self, Gguf};
use crate::llm;
use crate::store::Store;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// File name in the run directory.
pub(crate) const FILE_NAME: &str = "manifest.json";

/// Licence of the built-in seeds: the program's own.
const BUILTIN_SEEDS_LICENCE: &str = env!("CARGO_PKG_LICENSE");

/// What a run was made from.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Manifest {
    /// Name of the program: marks the directory as its own.
    pub(crate) made_by: &'static str,
    /// Version of the program.
    pub(crate) evol_version: &'static str,
    /// Seed of the run.
    pub(crate) seed: u64,
    /// The model.
    pub(crate) model: ModelEntry,
    /// What the engine computed with, and what that promises.
    pub(crate) compute: ComputeEntry,
    /// The seeds.
    pub(crate) seeds: SeedsEntry,
    /// What the journal is bound to: settings, and hashes of model, seeds and prompts. Empty until it is.
    pub(crate) journal: BTreeMap<String, String>,
    /// How the run evolves, why, and where that is not what the paper did; absent until it is settled.
    pub(crate) policy: Option<Policy>,
    /// How well the judge can tell the same from different; absent until it was asked.
    pub(crate) calibration: Option<Calibration>,
    /// The model that judges, if it is another one.
    pub(crate) judge_model: Option<ModelEntry>,
    /// Instruction sets and options of the llama.cpp that generates: results are the same bit by bit only
    /// with the same ones.
    pub(crate) llama_cpp: Vec<String>,
    /// Where the run was begun.
    pub(crate) machine: Machine,
}

/// Brings what the manifest in `dir` takes from the journal up to date with it: that of a run whose process
/// was killed between the two, or of a run that was merged. One of another version of this program is left as
/// it is.
///
/// # Errors
/// [`Error::Read`], [`Error::Write`], or the journal cannot be read.
pub(crate) fn complete(dir: &RunDir, store: &Store) -> Result<(), Error> {
    let Some(Value::Object(mut manifest)) = dir.read_json(FILE_NAME)? else { return Ok(()) };
    let bound: BTreeMap<String, String> = store.fingerprint()?.into_iter().collect();
    let entries = [
        ("journal", serde_json::to_value(bound)),
        ("policy", serde_json::to_value(evolve::policy(store)?)),
        ("calibration", serde_json::to_value(evolve::calibration(store)?)),
    ];
    for (name, value) in entries {
        manifest.insert(name.to_owned(), value.expect("plain data serialises"));
    }
    dir.write_json(FILE_NAME, &manifest)
}

/// What a manifest takes from the journal, and who judged.
#[derive(Debug)]
pub(crate) struct Journal {
    /// What it is bound to.
    pub(crate) bound: BTreeMap<String, String>,
    /// See [`Manifest::policy`].
    pub(crate) policy: Option<Policy>,
    /// See [`Manifest::calibration`].
    pub(crate) calibration: Option<Calibration>,
    /// See [`Manifest::judge_model`].
    pub(crate) judge: Option<ModelEntry>,
}

impl Manifest {
    /// Describes a run on this machine.
    pub(crate) fn new(
        seed: u64,
        model: ModelEntry,
        compute: ComputeEntry,
        seeds: SeedsEntry,
        journal: Journal,
    ) -> Self {
        let Journal { bound, policy, calibration, judge } = journal;
        Self {
            made_by: env!("CARGO_PKG_NAME"),
            evol_version: env!("CARGO_PKG_VERSION"),
            seed,
            model,
            compute,
            seeds,
            journal: bound,
            policy,
            calibration,
            judge_model: judge,
            llama_cpp: llm::system_info(),
            machine: Machine::detect(),
        }
    }
}

/// What a manifest says about where a run was begun, as far as bytes can depend on it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Begun {
    evol_version: String,
    model: BegunModel,
    compute: BegunCompute,
    llama_cpp: Vec<String>,
    machine: BegunMachine,
}

#[derive(Debug, Clone, Deserialize)]
struct BegunModel {
    path: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
struct BegunCompute {
    llama_cpp_2: String,
    llama_cpp_sys_2: String,
}

#[derive(Debug, Clone, Deserialize)]
struct BegunMachine {
    platform: String,
    cpu: Option<String>,
}

impl Begun {
    /// Reads the manifest of the run in `dir`; `None`: there is none, or it is of another version of this
    /// program.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(FILE_NAME);
        match std::fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    /// Where the model lay.
    pub(crate) fn model(&self) -> &Path {
        &self.model.path
    }

    /// What is different here and now, as `what: then, now`.
    pub(crate) fn differences(&self) -> Vec<String> {
        let machine = Machine::detect();
        let cpu = |name: Option<&String>| name.cloned().unwrap_or_else(|| "unknown".to_owned());
        let pairs = [
            ("evol", self.evol_version.clone(), env!("CARGO_PKG_VERSION").to_owned()),
            ("llama-cpp-2", self.compute.llama_cpp_2.clone(), llm::BINDINGS.0.to_owned()),
            ("llama-cpp-sys-2", self.compute.llama_cpp_sys_2.clone(), llm::BINDINGS.1.to_owned()),
            ("llama.cpp's build", self.llama_cpp.join(" "), llm::system_info().join(" ")),
            ("platform", self.machine.platform.clone(), machine.platform),
            ("processor", cpu(self.machine.cpu.as_ref()), cpu(machine.cpu.as_ref())),
        ];
        let differ = pairs.into_iter().filter(|(_, then, now)| then != now);
        differ.map(|(what, then, now)| format!("{what} was `{then}`, is `{now}`")).collect()
    }
}

/// What the card of an export says about the run in `dir`, as far as its manifest does.
///
/// # Errors
/// [`Error::Read`].
pub(crate) fn card(dir: &Path) -> Result<Card, Error> {
    let path = dir.join(FILE_NAME);
    let manifest: Value = match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Value::Null,
        Err(source) => return Err(Error::Read { path, source }),
    };
    let text = |path: &str| manifest.pointer(path).and_then(|value| value.as_str()).map(str::to_owned);
    Ok(Card {
        evol_version: text("/evol_version").unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
        profile: text("/policy/profile"),
        model: text("/model/known_as").or_else(|| text("/model/name")),
        model_sha256: text("/model/sha256"),
        model_licence: text("/model/licence"),
        // The name of the file, not where it lay: a card is passed on.
        seeds: text("/seeds/source").map(|path| {
            Path::new(&path).file_name().map_or(path.clone(), |name| name.to_string_lossy().into_owned())
        }),
        seeds_licence: text("/seeds/licence"),
    })
}

/// A model file by its content.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ModelEntry {
    /// Where it lay.
    pub(crate) path: PathBuf,
    /// Name of the manifest under `models/`, if it is a known model.
    pub(crate) known_as: Option<String>,
    /// `general.name` of the file.
    pub(crate) name: Option<String>,
    /// `general.architecture` of the file.
    pub(crate) architecture: Option<String>,
    /// Lowercase hex.
    pub(crate) sha256: String,
    /// What the known model's manifest says, else `general.license` of the file.
    pub(crate) licence: Option<String>,
}

impl ModelEntry {
    /// Describes `gguf`, whose hash is `sha256`.
    pub(crate) fn new(gguf: &Gguf, sha256: &str) -> Self {
        let text = |key: &str| match gguf.value(key) {
            Some(gguf::Value::String(text)) => Some(text.clone()),
            _ => None,
        };
        let known = known_models::by_sha256(sha256);
        Self {
            path: gguf.path().to_owned(),
            name: text("general.name"),
            architecture: text("general.architecture"),
            sha256: sha256.to_owned(),
            licence: known.as_ref().map(|k| k.licence.clone()).or_else(|| text("general.license")),
            known_as: known.map(|k| k.name),
        }
    }
}

/// Seeds by their content.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SeedsEntry {
    /// `built-in`, or the file.
    pub(crate) source: String,
    /// How many are used.
    pub(crate) count: usize,
    /// BLAKE3 of those, as JSON lines.
    pub(crate) blake3: String,
    /// Of the built-in ones; of a file what the user says.
    pub(crate) licence: Option<String>,
}

impl SeedsEntry {
    /// Describes `seeds` that came from `file`, or were built in.
    pub(crate) fn new(file: Option<&Path>, licence: Option<&str>, seeds: &[Seed]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for seed in seeds {
            hasher.update(&serde_json::to_vec(seed).expect("text under text keys"));
            hasher.update(b"\n");
        }
        Self {
            source: file.map_or_else(|| "built-in".to_owned(), |file| file.display().to_string()),
            count: seeds.len(),
            blake3: hasher.finalize().to_hex().to_string(),
            licence: if file.is_none() { Some(BUILTIN_SEEDS_LICENCE) } else { licence }.map(str::to_owned),
        }
    }
}
