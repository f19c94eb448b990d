//! Asking all contestants, and keeping what they said.
//!
//! Files in the folder: `settings.json` (what decided the rest), `generations-NAME.jsonl`, `held-out-NAME.json`,
//! `preferences.jsonl`, and `eval.json` (the result, written last).
//!
//! **Invariant:** responses are kept after every wave of items, whole files at a time; what is there is never asked again,
//! so the process may be killed at any instant and the result is the same.

use super::{BASE, EvalPlan, JudgeChoice};
use crate::cli::error::Error;
use crate::cli::plan::Session;
use crate::cli::run_dir::RunDir;
use crate::dataset;
use crate::eval::result::{Evaluation, Generation, Judge, Pooled, SuiteInfo};
use crate::eval::{self, Kind, Margins, Measured, Pair, RecordLikelihood, Side, Task};
use crate::gguf::Gguf;
use crate::llm::{self, Determinism, Engine, EngineOptions, ScoredTokens, Tokenizer};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// The result, and what makes an evaluation finished.
const FILE_NAME: &str = "eval.json";

/// What decided the rest; the mark of a folder that this command made.
pub(super) const SETTINGS: &str = "settings.json";

const PREFERENCES: &str = "preferences.jsonl";

/// Items that are asked at a time: the batch stays full for most of it, and a killed process loses less than that.
const WAVE: usize = 96;

/// Longest held-out record, in tokens, as the trainer's default row.
const MAX_SEQ_LEN: usize = 2048;

/// How often progress is shown while a wave is generated.
const TICK: Duration = Duration::from_secs(1);

/// What decides the bytes of everything in the folder, but for the contestants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Settings {
    suite: String,
    suite_sha256: String,
    items: Vec<usize>,
    seed: u64,
    max_tokens: usize,
    temperature: f32,
    model_sha256: String,
    determinism: String,
    validation_sha256: Option<String>,
    judge_sha256: Option<String>,
    /// SHA-256 of each adapter; more may come later.
    adapters: BTreeMap<String, String>,
}

/// A contestant with what it said.
struct Asked {
    name: String,
    adapter_sha256: Option<String>,
    responses: Vec<Generation>,
    held_out: Vec<RecordLikelihood>,
}

/// Asks what is not kept yet, and sums up. `tick` is called every second.
///
/// # Errors
/// A model or an adapter is unusable, the folder has other settings, or the command was interrupted.
pub(crate) fn stage(
    plan: &EvalPlan,
    dir: &RunDir,
    session: &Session,
    tick: &mut (dyn FnMut() + Send),
) -> Result<Evaluation> {
    let gguf = Gguf::open(&plan.model)?;
    gguf.check_for_llama_cpp()?;
    let (determinism, reason) = Determinism::Exact.resolve(&plan.model, 0)?;
    if let Some(reason) = reason {
        session.output.warn(&format!("responses depend on threads and batch width: {reason}"));
    }
    let settings = settings(plan, &gguf, determinism)?;
    keep_settings(dir, &settings)?;
    let held_out = held_out(plan)?;
    let mut engine = Engine::load(engine_options(&plan.model, determinism, session))?;
    let mut asked = Vec::new();
    let adapters = plan.adapters.iter().map(|(name, path)| (name.as_str(), Some(path.as_path())));
    for (name, adapter) in std::iter::once((BASE, None)).chain(adapters) {
        let mut ask =
            Ask { plan, dir, session, engine: &mut engine, name, adapter, has_adapter: false, tick };
        let (responses, held_out) = ask.contestant(&held_out)?;
        let adapter_sha256 = settings.adapters.get(name).cloned();
        asked.push(Asked { name: name.to_owned(), adapter_sha256, responses, held_out });
        // The next one begins with its own weights.
        engine.set_adapter(None)?;
    }
    let judged = judged(plan, dir, session, &mut engine, &settings, &asked)?;
    let evaluation = sum_up(plan, &settings, &asked, judged);
    dir.write_json(FILE_NAME, &evaluation)?;
    Ok(evaluation)
}

fn engine_options<'p>(model: &'p Path, determinism: Determinism, session: &Session) -> EngineOptions<'p> {
    let mut options = EngineOptions::new(model, session.threads);
    options.determinism = determinism;
    options.interrupt = Arc::clone(session.interrupt.flag());
    options
}

fn sha256(path: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(crate::eval::hex(&Sha256::digest(bytes)))
}

fn settings(plan: &EvalPlan, gguf: &Gguf, determinism: Determinism) -> Result<Settings> {
    let adapters = plan.adapters.iter().map(|(name, path)| Ok((name.clone(), sha256(path)?)));
    let model_sha256 = gguf.sha256()?;
    let judge_sha256 = match &plan.judge {
        JudgeChoice::Never => None,
        JudgeChoice::Base => Some(model_sha256.clone()),
        JudgeChoice::Model(path) => Some(Gguf::open(path)?.sha256()?),
    };
    Ok(Settings {
        suite: plan.suite.name.clone(),
        suite_sha256: plan.suite.sha256.clone(),
        items: plan.items.clone(),
        seed: plan.options.seed,
        max_tokens: plan.options.max_tokens,
        temperature: plan.options.temperature,
        model_sha256,
        determinism: determinism.name().to_owned(),
        validation_sha256: plan.validation.as_deref().map(sha256).transpose()?,
        judge_sha256,
        adapters: adapters.collect::<Result<_, Error>>()?,
    })
}

/// Writes the settings, or compares them with those in the folder; adapters that are not known there are added.
fn keep_settings(dir: &RunDir, settings: &Settings) -> Result<(), Error> {
    let Some(mut earlier) = dir.read_json::<Settings>(SETTINGS)? else {
        return dir.write_json(SETTINGS, settings);
    };
    let known = earlier.adapters.clone();
    for (name, hash) in &settings.adapters {
        earlier.adapters.entry(name.clone()).or_insert_with(|| hash.clone());
    }
    // The suite may lie elsewhere now; its bytes count. Adapters that are not asked this time stay.
    let comparable = |settings: &Settings, adapters: &BTreeMap<String, String>| {
        let settings = Settings { suite: String::new(), adapters: adapters.clone(), ..settings.clone() };
        serde_json::to_value(settings).expect("text keys")
    };
    let asked: BTreeMap<_, _> =
        earlier.adapters.iter().filter(|(name, _)| settings.adapters.contains_key(*name)).collect();
    let asked = asked.into_iter().map(|(name, hash)| (name.clone(), hash.clone())).collect();
    let (old, new) = (comparable(&earlier, &asked), comparable(settings, &settings.adapters));
    let (old, new) = (old.as_object().expect("a struct"), new.as_object().expect("a struct"));
    let differs = |(key, value): &(&String, &serde_json::Value)| new.get(*key) != Some(value);
    let changes: Vec<String> = old
        .iter()
        .filter(differs)
        .map(|(key, value)| format!("`{key}` was {value}, is {}", new[key]))
        .collect();
    if !changes.is_empty() {
        return Err(Error::OtherEvaluation { dir: dir.path().to_owned(), changes });
    }
    if known == earlier.adapters { Ok(()) } else { dir.write_json(SETTINGS, &earlier) }
}

fn held_out(plan: &EvalPlan) -> Result<Vec<ScoredTokens>> {
    let Some(path) = &plan.validation else { return Ok(Vec::new()) };
    let tokenizer = Tokenizer::load(&plan.model)?;
    let examples = dataset::read_examples(path)?.examples;
    eval::encode_held_out(&tokenizer, &examples, MAX_SEQ_LEN)
        .with_context(|| format!("cannot use `{}`", path.display()))
}

/// The evaluation that `dir` holds; `None`: there is none, or it is of another version of this program.
pub(crate) fn read(dir: &Path) -> Option<Evaluation> {
    serde_json::from_slice(&std::fs::read(dir.join(FILE_NAME)).ok()?).ok()
}

/// Name of the file with what a contestant said.
fn generations(name: &str) -> String {
    format!("generations-{name}.jsonl")
}

/// Reads it; lines that are not whole are left out.
///
/// # Errors
/// [`Error::Read`].
pub(crate) fn read_generations(dir: &Path, name: &str) -> Result<Vec<Generation>, Error> {
    let path = dir.join(generations(name));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// One contestant at work.
struct Ask<'a> {
    plan: &'a EvalPlan,
    dir: &'a RunDir,
    session: &'a Session,
    engine: &'a mut Engine,
    name: &'a str,
    adapter: Option<&'a Path>,
    /// Whether the engine has it already: one that has nothing left to say is not loaded.
    has_adapter: bool,
    tick: &'a mut (dyn FnMut() + Send),
}

impl Ask<'_> {
    fn contestant(&mut self, held_out: &[ScoredTokens]) -> Result<(Vec<Generation>, Vec<RecordLikelihood>)> {
        let responses = self.responses()?;
        let file = format!("held-out-{}.json", self.name);
        let kept = self.dir.read_json::<Vec<(f64, usize)>>(&file)?;
        let likelihoods = match kept {
            Some(kept) => kept,
            None if held_out.is_empty() => Vec::new(),
            None => {
                self.use_adapter()?;
                let found = interruptible(eval::likelihoods(self.engine, held_out))?;
                let pairs: Vec<_> =
                    found.iter().map(|record| (record.log_likelihood, record.tokens)).collect();
                self.dir.write_json(&file, &pairs)?;
                pairs
            }
        };
        let record = |(log_likelihood, tokens)| RecordLikelihood { log_likelihood, tokens };
        Ok((responses, likelihoods.into_iter().map(record).collect()))
    }

    fn responses(&mut self) -> Result<Vec<Generation>> {
        let mut kept: HashMap<usize, Generation> =
            read_generations(self.dir.path(), self.name)?.into_iter().map(|kept| (kept.item, kept)).collect();
        let total = self.plan.items.len();
        let mut progress = self.session.output.progress(&format!("eval {}", self.name));
        for wave in self.plan.items.chunks(WAVE) {
            if wave.iter().all(|item| kept.contains_key(item)) {
                continue;
            }
            self.use_adapter()?;
            // As a whole: under `scheduled` a response depends on what is asked beside it.
            let said = self.wave(wave, kept.len(), total, &mut progress)?;
            kept.extend(said.into_iter().map(|response| (response.item, response)));
            let lines: Vec<String> = (self.plan.items.iter().filter_map(|item| kept.get(item)))
                .map(|response| serde_json::to_string(response).expect("text keys") + "\n")
                .collect();
            self.dir.write(&generations(self.name), &lines.concat())?;
        }
        progress.finish();
        Ok(self.plan.items.iter().filter_map(|item| kept.remove(item)).collect())
    }

    fn wave(
        &mut self,
        wave: &[usize],
        done: usize,
        total: usize,
        progress: &mut crate::cli::output::Progress,
    ) -> Result<Vec<Generation>> {
        let counters = self.engine.progress();
        let before = counters.stats().finished;
        let (stop, stopped) = mpsc::channel::<()>();
        let (engine, tick) = (&mut *self.engine, &mut *self.tick);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    tick();
                    let finished = counters.stats().finished - before;
                    progress.update(done as u64 + finished, total as u64, "");
                }
            });
            let said = interruptible(eval::respond(engine, &self.plan.suite, wave, &self.plan.options));
            drop(stop);
            said
        })
    }

    fn use_adapter(&mut self) -> Result<()> {
        self.session.check_interrupt()?;
        if let Some(adapter) = self.adapter.filter(|_| !self.has_adapter) {
            self.engine.set_adapter(Some((adapter, 1.0)))?;
            self.has_adapter = true;
        }
        Ok(())
    }
}

/// Ctrl-C is no failure of the model.
fn interruptible<T>(result: Result<T, eval::Error>) -> Result<T> {
    match result {
        Err(eval::Error::Llm(llm::Error::Interrupted)) => Err(Error::Interrupted.into()),
        other => Ok(other?),
    }
}

/// What the judge said: who it is, and the margins of each pair of contestants in the order of [`pairs`].
type Judged = Option<(Judge, Vec<Vec<Margins>>)>;

/// Every later contestant against every earlier one.
fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (1..count).flat_map(|side| (0..side).map(move |against| (side, against)))
}

#[derive(Serialize, Deserialize)]
struct KeptMargins {
    name: String,
    against: String,
    margins: Vec<Margins>,
}

fn judged(
    plan: &EvalPlan,
    dir: &RunDir,
    session: &Session,
    engine: &mut Engine,
    settings: &Settings,
    asked: &[Asked],
) -> Result<Judged> {
    if plan.judge == JudgeChoice::Never || asked.len() < 2 {
        return Ok(None);
    }
    let mut other;
    let (judge, same_family) = match &plan.judge {
        JudgeChoice::Model(path) => {
            let determinism = Determinism::Exact.resolve(path, 0)?.0;
            other = Engine::load(engine_options(path, determinism, session))?;
            (&mut other, same_family(path, &plan.model)?)
        }
        _ => (engine, true),
    };
    session.output.note("trying the judge on pairs with a known better response");
    let Some(calibration) = interruptible(eval::calibrate(judge))? else { return Ok(None) };
    let trusted = calibration.is_trusted();
    let described = Judge {
        model_sha256: settings.judge_sha256.clone().unwrap_or_default(),
        same_family,
        calibration_pairs: calibration.pairs,
        calibration_accuracy: calibration.accuracy,
        calibration_flip_rate: calibration.flip_rate,
        trusted,
    };
    if !trusted {
        return Ok(Some((described, Vec::new())));
    }
    if same_family {
        session.output.warn("judge and contestants are one family: it may prefer what it would say itself");
    }
    let text = dir.read(PREFERENCES)?.unwrap_or_default();
    let mut kept: Vec<KeptMargins> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut margins = Vec::new();
    for (side, against) in pairs(asked.len()) {
        let (side, against) = (&asked[side], &asked[against]);
        let known = kept.iter().find(|kept| kept.name == side.name && kept.against == against.name);
        if let Some(known) = known.filter(|known| known.margins.len() == side.responses.len()) {
            margins.push(known.margins.clone());
            continue;
        }
        session.check_interrupt()?;
        session.output.note(&format!("judging {} against {}", side.name, against.name));
        let both = side.responses.iter().zip(&against.responses);
        let pairs: Vec<Pair<'_>> = both
            .map(|(one, other)| Pair {
                instruction: &one.instruction,
                first: &one.response,
                second: &other.response,
            })
            .collect();
        let found = interruptible(eval::judge(judge, &pairs))?;
        margins.push(found.clone());
        kept.push(KeptMargins { name: side.name.clone(), against: against.name.clone(), margins: found });
        let lines = kept.iter().map(|kept| serde_json::to_string(kept).expect("text keys") + "\n");
        dir.write(PREFERENCES, &lines.collect::<String>())?;
    }
    Ok(Some((described, margins)))
}

/// Whether two model files say that they are of one family.
fn same_family(one: &Path, other: &Path) -> Result<bool> {
    let family = |path: &Path| -> Result<Option<String>> {
        let gguf = Gguf::open(path)?;
        let name = gguf.optional_string("general.basename")?.or(gguf.optional_string("general.name")?);
        // `Llama-3.2-1B` and `Llama-3.2-8B`.
        Ok(name.and_then(|name| name.split(['-', '_', ' ']).next()).map(str::to_lowercase))
    };
    let one = family(one)?;
    Ok(one.is_some() && one == family(other)?)
}

fn sum_up(plan: &EvalPlan, settings: &Settings, asked: &[Asked], judged: Judged) -> Evaluation {
    let seed = plan.options.seed;
    let is_choice = |item: usize| matches!(plan.suite.items[item].task, Task::Choice { .. });
    let contestants = asked.iter().map(|asked| {
        eval::contestant(Measured {
            name: &asked.name,
            adapter_sha256: asked.adapter_sha256.as_deref(),
            responses: &asked.responses,
            is_choice: &is_choice,
            held_out: &asked.held_out,
            seed,
        })
    });
    let side = |at: usize| Side {
        name: &asked[at].name,
        responses: &asked[at].responses,
        held_out: &asked[at].held_out,
    };
    let (judge, margins) = judged.unzip();
    let margins = margins.unwrap_or_default();
    let comparisons = pairs(asked.len()).enumerate().map(|(number, (one, other))| {
        let mut comparison = eval::compare(side(one), side(other), &is_choice, seed);
        comparison.preference = margins.get(number).and_then(|margins| {
            eval::preference(&asked[one].responses, &asked[other].responses, margins, seed)
        });
        comparison
    });
    Evaluation {
        evol_version: env!("CARGO_PKG_VERSION").to_owned(),
        suite: suite_info(plan),
        seed,
        max_tokens: plan.options.max_tokens,
        temperature: plan.options.temperature,
        model_sha256: settings.model_sha256.clone(),
        contestants: contestants.collect(),
        comparisons: comparisons.collect(),
        judge,
        pooled: pooled(plan, asked),
    }
}

/// Every later kind against every earlier one and the base.
fn pooled(plan: &EvalPlan, asked: &[Asked]) -> Vec<Pooled> {
    let base = (BASE.to_owned(), vec![BASE.to_owned()]);
    let kinds: Vec<Kind<'_>> = if plan.kinds.is_empty() { &[][..] } else { std::slice::from_ref(&base) }
        .iter()
        .chain(&plan.kinds)
        .map(|(name, trainings)| {
            let of_kind = asked.iter().filter(|asked| trainings.contains(&asked.name));
            Kind { name, trainings: of_kind.map(|asked| asked.responses.as_slice()).collect() }
        })
        .collect();
    pairs(kinds.len())
        .filter_map(|(kind, against)| eval::pool(&kinds[kind], &kinds[against], plan.options.seed))
        .collect()
}

fn suite_info(plan: &EvalPlan) -> SuiteInfo {
    let mut info = SuiteInfo {
        name: plan.suite.name.clone(),
        sha256: plan.suite.sha256.clone(),
        items: plan.items.len(),
        verifiable: 0,
        constraints: 0,
        exact: 0,
        choice: 0,
        contaminated: plan.contaminated,
    };
    for &item in &plan.items {
        match &plan.suite.items[item].task {
            Task::Open => {}
            Task::Constraints(list) => {
                (info.verifiable, info.constraints) = (info.verifiable + 1, info.constraints + list.len());
            }
            Task::Ifeval(list) => {
                (info.verifiable, info.constraints) = (info.verifiable + 1, info.constraints + list.len());
            }
            Task::Exact(_) => info.exact += 1,
            Task::Choice { .. } => info.choice += 1,
        }
    }
    info
}
