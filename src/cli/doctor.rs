//! `evol doctor`: checks the machine and a model file before they are used.
//!
//! Each check is a line of output, a [`Check`].
//!
//! **Invariant:** doctor reports problems and never fixes them.

use super::args::{DeviceArg, DoctorArgs};
use super::determinism;
use super::diagnosis::{Check, Verdict};
use super::session::Session;
use crate::dataset::{self, OnBadInput};
use crate::device::CpuPool;
use crate::device::cuda::{self, CudaDevice, CudaInfo};
use crate::evolve::{self, EvolveConfig, LongSeeds};
use crate::gguf::Gguf;
use crate::llm::{
    self, Engine, EngineOptions, Generate as _, Part, Perturbed, Prompt, Request, Restriction, Sampling,
    Tokenizer,
};
use crate::model::Llama;
use crate::run::{Error, Machine, ModelEntry, Result, resolve_model};
use crate::train::{self, Backend, TrainConfig};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Checks that can fail on a model that still generates.
const TEMPLATE: &str = "chat template";
const TRAINING: &str = "training";

/// Checks that need the loaded model.
const GENERATION: &str = "generation";
const SEEDS: &str = "seeds";

/// The whole report, as printed with `--json`.
#[derive(Debug, Serialize)]
struct Report {
    evol_version: &'static str,
    machine: Machine,
    llama_cpp: Vec<String>,
    model: Option<ModelEntry>,
    checks: Vec<Check>,
    /// The effect of each change, with `--determinism`.
    #[serde(skip_serializing_if = "Option::is_none")]
    determinism: Option<Vec<Perturbed>>,
}

/// Runs the command.
///
/// # Errors
/// [`Error::Doctor`] if a check failed.
pub(crate) fn run(args: &DoctorArgs, session: &Session) -> Result<()> {
    let machine = Machine::detect();
    let mut checks = machine_checks(&machine, session.threads);
    checks.push(cuda_check(&session.device));
    checks.extend(nccl_check(&session.device));
    let (mut model, mut matrix) = (None, None);
    if let Some(name) = &args.model {
        let path = resolve_model(name)?;
        model = model_checks(&path, args.seeds.as_deref(), &machine, session, &mut checks);
        if args.determinism && generates(&checks) {
            let (found, check) = determinism::matrix(&path, session)?;
            checks.push(check);
            matrix = Some(found);
        }
    }
    let failed = checks.iter().filter(|check| check.verdict == Verdict::Failed).count();
    let all = checks.len();
    let llama_cpp = llm::system_info();
    let (evol_version, determinism) = (env!("CARGO_PKG_VERSION"), matrix);
    let report = Report { evol_version, machine, llama_cpp, model, checks, determinism };
    if session.output.is_json() {
        session.output.document(&report)?;
    } else {
        session.output.data(&describe(&report))?;
    }
    if failed > 0 { Err(Error::Doctor { failed, all }) } else { Ok(()) }
}

/// The GPUs of this machine. Fails without a GPU only if `--device` names one.
fn cuda_check(device: &DeviceArg) -> Check {
    const NAME: &str = "cuda";
    let found = match cuda::devices() {
        Ok(devices) => devices,
        Err(error) => return Check::failed(NAME, error),
    };
    for &ordinal in device.ordinals() {
        if let Err(error) = CudaDevice::new(ordinal) {
            return Check::failed(NAME, error);
        }
    }
    let describe = |info: &CudaInfo| {
        let (major, minor) = info.capability;
        let mib = |bytes: u64| bytes >> 20;
        let CudaInfo { ordinal, name, free, total, .. } = info;
        format!(
            "cuda:{ordinal} {name}, capability {major}.{minor}, {} of {} MiB free",
            mib(*free),
            mib(*total)
        )
    };
    let all: Vec<String> = found.iter().map(describe).collect();
    let none = "no GPU; training uses the CPU".to_owned();
    Check::new(NAME, Verdict::Ok, if all.is_empty() { none } else { all.join("; ") })
}

/// NCCL, if `--device` names several GPUs.
fn nccl_check(device: &DeviceArg) -> Option<Check> {
    const NAME: &str = "nccl";
    let check = || match cuda::nccl_version() {
        Ok(version) => Check::new(NAME, Verdict::Ok, format!("version {version}")),
        Err(error) => Check::failed(NAME, error),
    };
    (device.ordinals().len() > 1).then(check)
}

fn machine_checks(machine: &Machine, threads: usize) -> Vec<Check> {
    let beyond = |sets: &[String], others: &[String]| -> Vec<String> {
        sets.iter().filter(|set| !others.contains(set)).cloned().collect()
    };
    let missing = beyond(&machine.compiled_for, &machine.instruction_sets);
    let unused = beyond(&machine.instruction_sets, &machine.compiled_for);
    let sets = if !missing.is_empty() {
        let found = format!(
            "this binary needs {}, which the processor does not have: rebuild it on this machine",
            missing.join(", ")
        );
        Check::new("instruction sets", Verdict::Failed, found)
    } else if !unused.is_empty() {
        let found = format!("built without {}: rebuild on this machine for more speed", unused.join(", "));
        Check::new("instruction sets", Verdict::Warning, found)
    } else {
        Check::new("instruction sets", Verdict::Ok, machine.compiled_for.join(" "))
    };
    let verdict = if threads <= machine.threads { Verdict::Ok } else { Verdict::Warning };
    let threads = Check::new("threads", verdict, format!("{threads} of {} available", machine.threads));
    let memory = match (machine.memory_available_bytes, machine.memory_bytes) {
        (Some(free), Some(all)) => format!("{} of {} available", gib(free), gib(all)),
        _ => "unknown".to_owned(),
    };
    vec![sets, threads, Check::new("memory", Verdict::Ok, memory)]
}

/// Checks the file with our own reader first, because llama.cpp aborts on some bad files.
fn model_checks(
    path: &Path,
    seeds: Option<&Path>,
    machine: &Machine,
    session: &Session,
    checks: &mut Vec<Check>,
) -> Option<ModelEntry> {
    let (gguf, entry) = match open(path) {
        Ok(opened) => opened,
        Err(error) => {
            checks.push(Check::failed("model file", error));
            return None;
        }
    };
    let known = entry.known_as.as_ref().map_or(String::new(), |name| format!(", known as {name}"));
    checks.push(Check::new("model file", Verdict::Ok, format!("valid, SHA-256 {}{known}", entry.sha256)));
    let architecture = entry.architecture.clone().unwrap_or_default();
    checks.push(match gguf.check_for_llama_cpp() {
        Ok(()) => {
            Check::new("metadata", Verdict::Ok, format!("architecture {architecture}, llama.cpp can load it"))
        }
        Err(error) => Check::failed("metadata", error),
    });
    checks.push(template_check(path));
    checks.push(match Llama::load(Arc::clone(&gguf)) {
        Ok(llama) => training_check(&llama, machine, session.threads)
            .unwrap_or_else(|error| Check::failed(TRAINING, error)),
        Err(error) => Check::failed(TRAINING, error),
    });
    if generates(checks) {
        generating_checks(path, seeds, session, checks);
    }
    Some(entry)
}

/// The checks that need the loaded model.
fn generating_checks(path: &Path, seeds: Option<&Path>, session: &Session, checks: &mut Vec<Check>) {
    let mut options = EngineOptions::new(path, session.threads);
    options.interrupt = Arc::clone(session.interrupt.flag());
    let mut engine = match Engine::load(options) {
        Ok(engine) => engine,
        Err(error) => {
            checks.push(Check::failed(GENERATION, error));
            return;
        }
    };
    if let Some(seeds) = seeds {
        checks.push(seeds_check(&engine, seeds).unwrap_or_else(|error| Check::failed(SEEDS, error)));
    }
    checks.push(speed_check(&mut engine).unwrap_or_else(|error| Check::failed(GENERATION, error)));
}

/// Whether seeds and their answers fit into the model's context, with the settings of a run by default.
fn seeds_check(engine: &Engine, file: &Path) -> Result<Check> {
    let seeds = dataset::read_seeds(file, OnBadInput::Skip)?.seeds;
    let config = EvolveConfig::default();
    let long = evolve::long_seeds(engine, Some(engine.info().n_params), &seeds, &config)?;
    let warnings = long.warnings();
    Ok(if warnings.is_empty() {
        let LongSeeds { seeds, context, max_answer_tokens, .. } = long;
        let found = format!(
            "{seeds}, all short enough for the context of {context} tokens and an answer of \
             {max_answer_tokens}"
        );
        Check::new(SEEDS, Verdict::Ok, found)
    } else {
        Check::new(SEEDS, Verdict::Warning, warnings.join("; "))
    })
}

/// Whether the model can generate. A failed check of training or the chat template does not prevent that.
fn generates(checks: &[Check]) -> bool {
    let harmless =
        |check: &Check| check.verdict != Verdict::Failed || [TEMPLATE, TRAINING].contains(&check.name);
    checks.iter().all(harmless)
}

fn open(path: &Path) -> Result<(Arc<Gguf>, ModelEntry)> {
    let gguf = Gguf::open(path)?;
    let entry = ModelEntry::new(&gguf, &gguf.sha256()?);
    Ok((Arc::new(gguf), entry))
}

fn template_check(path: &Path) -> Check {
    let name = TEMPLATE;
    match Tokenizer::load(path).and_then(|tokenizer| tokenizer.chat_template()) {
        Ok(Some(_)) => Check::new(name, Verdict::Ok, "present and valid"),
        Ok(None) => Check::new(
            name,
            Verdict::Failed,
            "none (a base model): evolving works with completion prompts, but answering and training do not",
        ),
        Err(error) => Check::failed(name, error),
    }
}

/// Whether training on the CPU with the default settings fits into memory. The estimate is the one that
/// `evol train --dry-run` gives for data that fills a row.
fn training_check(llama: &Llama, machine: &Machine, threads: usize) -> Result<Check> {
    let settings = TrainConfig::default();
    let tokens = settings.max_seq_len.min(llama.config().max_position_embeddings);
    let pool = CpuPool::new(threads)?;
    let needed = train::memory(llama, &settings, tokens, Backend::Cpu(&pool)).total();
    let (mib, r) = (needed >> 20, settings.r);
    let found =
        format!("all tensors can be read; needs {mib} MiB of memory for rows of {tokens} tokens and r = {r}");
    let fits = machine.memory_available_bytes.is_none_or(|available| needed <= available);
    Ok(Check::new(TRAINING, if fits { Verdict::Ok } else { Verdict::Failed }, found))
}

/// Measures generation for a few seconds, with many sequences in a batch, as evolve does.
fn speed_check(engine: &mut Engine) -> Result<Check> {
    const SEQUENCES: u64 = 16;
    const TOKENS: usize = 24;
    let requests: Vec<Request> = (0..SEQUENCES)
        .map(|id| Request {
            id,
            prompt: Prompt {
                parts: vec![Part { text: format!("Story {id}. Once"), special: false }],
                shared: 0,
            },
            sampling: Sampling::default(),
            stop: Vec::new(),
            max_tokens: TOKENS,
            key: id,
            sample: 0,
            restriction: Restriction::None,
        })
        .collect();
    let started = Instant::now();
    let completions = engine.generate(&requests)?;
    let tokens: usize = completions.iter().map(|completion| completion.completion_tokens).sum();
    let speed = tokens as f64 / started.elapsed().as_secs_f64();
    let found =
        format!("{speed:.0} tokens/s in a batch of {SEQUENCES} (short sequences; long ones are slower)");
    Ok(Check::new(GENERATION, Verdict::Ok, found))
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

fn describe(report: &Report) -> String {
    use std::fmt::Write as _;
    let mut text = format!("evol {} on {}", report.evol_version, report.machine.platform);
    if let Some(cpu) = &report.machine.cpu {
        let _ = write!(text, ", {cpu}");
    }
    let _ = write!(text, "\nprocessor has        {}\n", report.machine.instruction_sets.join(" "));
    let _ = writeln!(text, "llama.cpp built with {}\n", report.llama_cpp.join(" "));
    for check in &report.checks {
        let mark = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "WARNING",
            Verdict::Failed => "FAILED",
        };
        let _ = writeln!(text, "{mark:<8} {:<17} {}", check.name, check.found);
    }
    if let Some(found) = &report.determinism {
        text += &determinism::describe(found);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_checks_of_training_and_template_do_not_prevent_generating() {
        let failed = |name| Check::new(name, Verdict::Failed, "");
        assert!(generates(&[failed(TRAINING), failed(TEMPLATE), Check::new("memory", Verdict::Warning, "")]));
        assert!(
            !generates(&[failed("metadata")]) && !generates(&[failed(TRAINING), failed("instruction sets")])
        );
    }
}
