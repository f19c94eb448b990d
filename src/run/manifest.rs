//! `RUN/manifest.json`: what a run was made from.
//!
//! Where in the flow: written when a run starts, and again when its evolution is finished. `evol verify`, the
//! card of an export and the report read it. The journal records what decides the results, and is compared
//! before a run resumes; the manifest describes the same for a reader, and adds licences and the machine.
//!
//! **Invariant:** one type writes and reads the file, and [`FORMAT`] is the version of its layout. Model,
//! seeds and prompts are identified by hashes, never by a path or a time.

use super::compute::ComputeEntry;
use super::dir::RunDir;
use super::error::{Error, Result};
use super::machine::Machine;
use super::{files, known_models};
use crate::dataset::{Card, Seed};
use crate::evolve::{self, Calibration, Policy};
use crate::gguf::{self, Gguf};
use crate::identity::{Difference, Identity};
use crate::llm;
use crate::store::Store;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Version of the file's layout. Increase it whenever a field changes its name or meaning.
const FORMAT: u32 = 3;

/// Licence of the built-in seeds: that of the program.
const BUILTIN_SEEDS_LICENCE: &str = env!("CARGO_PKG_LICENSE");

/// What a run was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the file's layout.
    pub format: u32,
    /// Name of the program, which marks the directory as made by it.
    pub made_by: String,
    /// Version of the program.
    pub evol_version: String,
    /// Seed of the run.
    pub seed: u64,
    /// The model.
    pub model: ModelEntry,
    /// The file that the engine loaded, and how it was run.
    pub compute: ComputeEntry,
    /// The seeds.
    pub seeds: SeedsEntry,
    /// The identity in the journal; empty until it is recorded.
    pub journal: Identity,
    /// How the run evolves and why, with the differences from the paper; absent until it is decided.
    pub policy: Option<Policy>,
    /// How well the judge tells same from different instructions; absent until it is calibrated.
    pub calibration: Option<Calibration>,
    /// The model that judges; `None` if the model itself does.
    pub judge_model: Option<ModelEntry>,
    /// Instruction sets and options of the llama.cpp that generates. Results are bit-identical only with the
    /// same ones.
    pub llama_cpp: Vec<String>,
    /// The machine that started the run.
    pub machine: Machine,
}

/// The parts of a manifest that are known when a run starts.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Seed of the run.
    pub seed: u64,
    /// The model.
    pub model: ModelEntry,
    /// The file that the engine loads, and how it is run.
    pub compute: ComputeEntry,
    /// The seeds.
    pub seeds: SeedsEntry,
    /// The model that judges; `None` if the model itself does.
    pub judge_model: Option<ModelEntry>,
}

impl Manifest {
    /// Describes a run on this machine, with what the journal has recorded so far.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn new(origin: Origin, store: &Store) -> Result<Self> {
        let Origin { seed, model, compute, seeds, judge_model } = origin;
        let mut manifest = Self {
            format: FORMAT,
            made_by: env!("CARGO_PKG_NAME").to_owned(),
            evol_version: env!("CARGO_PKG_VERSION").to_owned(),
            seed,
            model,
            compute,
            seeds,
            journal: Identity::default(),
            policy: None,
            calibration: None,
            judge_model,
            llama_cpp: llm::system_info(),
            machine: Machine::detect(),
        };
        manifest.take_journal(store)?;
        Ok(manifest)
    }

    fn take_journal(&mut self, store: &Store) -> Result<()> {
        self.journal = store.identity()?;
        self.policy = evolve::policy(store)?;
        self.calibration = evolve::calibration(store)?;
        Ok(())
    }

    /// Reads the manifest of the run in `dir`; `None` if it has none.
    ///
    /// # Errors
    /// [`Error::Read`]; [`Error::OtherVersion`] if its layout is not this version's.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        #[derive(Deserialize)]
        struct Layout {
            #[serde(default)]
            format: u32,
        }
        let path = dir.join(files::MANIFEST);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Read { path, source }),
        };
        let other_version = |reason| Error::OtherVersion { path: path.clone(), reason };
        let broken = |error: serde_json::Error| other_version(error.to_string());
        let Layout { format } = serde_json::from_slice(&text).map_err(broken)?;
        if format != FORMAT {
            return Err(other_version(format!("its `format` is {format}, expected {FORMAT}")));
        }
        serde_json::from_slice(&text).map(Some).map_err(broken)
    }

    /// Writes the manifest to `dir`.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write(&self, dir: &RunDir) -> Result<()> {
        dir.write_json(files::MANIFEST, self)
    }

    /// Updates the parts that come from the journal, for a merged run, or if the process was killed before it
    /// wrote the final manifest.
    ///
    /// # Errors
    /// As [`Self::read`] and [`Self::write`]; the journal cannot be read.
    pub fn complete(dir: &RunDir, store: &Store) -> Result<()> {
        let Some(mut manifest) = Self::read(dir.path())? else { return Ok(()) };
        manifest.take_journal(store)?;
        manifest.write(dir)
    }

    /// The differences between the build and machine that started the run and the current ones.
    pub fn build_differences(&self) -> Vec<Difference> {
        #[derive(Serialize)]
        struct Build<'a> {
            evol: &'a str,
            #[serde(rename = "llama-cpp-2")]
            llama_cpp_2: &'a str,
            #[serde(rename = "llama-cpp-sys-2")]
            llama_cpp_sys_2: &'a str,
            #[serde(rename = "llama.cpp's build")]
            llama_cpp: String,
            platform: &'a str,
            processor: &'a str,
        }
        let processor = |machine: &Machine| machine.cpu.clone().unwrap_or_else(|| "unknown".to_owned());
        let here = Machine::detect();
        let was = Build {
            evol: &self.evol_version,
            llama_cpp_2: &self.compute.llama_cpp_2,
            llama_cpp_sys_2: &self.compute.llama_cpp_sys_2,
            llama_cpp: self.llama_cpp.join(" "),
            platform: &self.machine.platform,
            processor: &processor(&self.machine),
        };
        let is = Build {
            evol: env!("CARGO_PKG_VERSION"),
            llama_cpp_2: llm::BINDINGS.0,
            llama_cpp_sys_2: llm::BINDINGS.1,
            llama_cpp: llm::system_info().join(" "),
            platform: &here.platform,
            processor: &processor(&here),
        };
        Identity::of(&was).diff(&Identity::of(&is))
    }

    /// Name of the model: the known name, or else the one in the file's metadata.
    pub fn model_name(&self) -> Option<&str> {
        self.model.known_as.as_deref().or(self.model.name.as_deref())
    }
}

/// What an export's card says about the run; only the version if the run has no manifest.
pub(super) fn card(manifest: Option<&Manifest>) -> Card {
    let Some(manifest) = manifest else {
        return Card { evol_version: env!("CARGO_PKG_VERSION").to_owned(), ..Card::default() };
    };
    // Only the file name of the seeds: a card is shared with others, and a path is private.
    let file_name = |path: &str| {
        Path::new(path).file_name().map_or(path.to_owned(), |name| name.to_string_lossy().into_owned())
    };
    Card {
        evol_version: manifest.evol_version.clone(),
        profile: manifest.policy.as_ref().map(|policy| policy.profile.name().to_owned()),
        model: manifest.model_name().map(str::to_owned),
        model_sha256: Some(manifest.model.sha256.clone()),
        model_licence: manifest.model.licence.clone(),
        seeds: Some(file_name(&manifest.seeds.source)),
        seeds_licence: manifest.seeds.licence.clone(),
    }
}

/// A model file, identified by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// Path of the file when the run started.
    pub path: PathBuf,
    /// Name of its manifest under `models/`, if it is a known model.
    pub known_as: Option<String>,
    /// `general.name` of the file.
    pub name: Option<String>,
    /// `general.architecture` of the file.
    pub architecture: Option<String>,
    /// Lowercase hex SHA-256 of the file.
    pub sha256: String,
    /// Licence in the known model's manifest, or else `general.license` of the file.
    pub licence: Option<String>,
}

impl ModelEntry {
    /// Describes `gguf`, whose hash is `sha256`.
    pub fn new(gguf: &Gguf, sha256: &str) -> Self {
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

/// The seeds of a run, identified by their hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedsEntry {
    /// `built-in`, or the path of the file.
    pub source: String,
    /// Number of seeds in the run.
    pub count: usize,
    /// Lowercase hex BLAKE3 of these seeds as JSON lines.
    pub blake3: String,
    /// Licence of the built-in seeds, or the one that the user gave for the file.
    pub licence: Option<String>,
}

impl SeedsEntry {
    /// Describes `seeds`, which came from `file` or are built in.
    ///
    /// # Panics
    /// Never: seeds are text under text keys.
    pub fn new(file: Option<&Path>, licence: Option<&str>, seeds: &[Seed]) -> Self {
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
