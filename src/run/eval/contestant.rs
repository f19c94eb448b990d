//! One contestant: its responses, and its likelihoods of held-out answers.
//!
//! Where in the flow: [`super::stage`] runs one contestant after the other.
//!
//! **Invariant:** responses are saved after every wave of items, by replacing the whole file. A saved
//! response is never generated again.

use super::plan::EvalPlan;
use crate::eval::result::Generation;
use crate::eval::{self, RecordLikelihood};
use crate::llm::{self, Engine, ScoredTokens};
use crate::run::dir::RunDir;
use crate::run::error::{Error, Result};
use crate::run::host::{Context, Progress};
use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// A contestant with its results.
pub(super) struct Answered {
    pub(super) name: String,
    pub(super) adapter_sha256: Option<String>,
    pub(super) responses: Vec<Generation>,
    pub(super) held_out: Vec<RecordLikelihood>,
}

/// Turns an interruption inside `eval` into [`Error::Interrupted`].
pub(super) fn interruptible<T>(result: Result<T, eval::Error>) -> Result<T> {
    match result {
        Err(eval::Error::Llm(llm::Error::Interrupted)) => Err(Error::Interrupted),
        other => Ok(other?),
    }
}

/// Items per wave: enough to keep the batch full, and few enough that a killed process loses little.
const WAVE: usize = 96;

/// How often progress is shown while a wave is generated.
const TICK: Duration = Duration::from_secs(1);

/// Name of the file with a contestant's responses.
fn generations(name: &str) -> String {
    format!("generations-{name}.jsonl")
}

/// Reads the saved responses of contestant `name`. Skips broken lines.
///
/// # Errors
/// [`Error::Read`].
pub fn read_generations(dir: &Path, name: &str) -> Result<Vec<Generation>> {
    let path = dir.join(generations(name));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// A contestant that is being evaluated.
pub(super) struct Contestant<'a> {
    pub(super) plan: &'a EvalPlan,
    pub(super) dir: &'a RunDir,
    pub(super) context: Context<'a>,
    pub(super) engine: &'a mut Engine,
    pub(super) name: &'a str,
    pub(super) adapter: Option<&'a Path>,
    /// Whether the engine has loaded the adapter. It is loaded only if something is left to generate.
    pub(super) has_adapter: bool,
}

impl Contestant<'_> {
    /// Returns the contestant's responses and likelihoods, and generates those that are not saved yet.
    pub(super) fn answer(
        &mut self,
        held_out: &[ScoredTokens],
    ) -> Result<(Vec<Generation>, Vec<RecordLikelihood>)> {
        let responses = self.responses()?;
        let file = format!("held-out-{}.json", self.name);
        let kept =
            self.dir.read_json::<Vec<(f64, usize)>>(&file)?.filter(|kept| kept.len() <= held_out.len());
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
        let mut kept: HashMap<usize, Generation> = HashMap::new();
        for mut response in read_generations(self.dir.path(), self.name)? {
            // Another version may have saved the response, so its verdicts are computed again.
            let Some(item) = self.plan.suite.items.get(response.item) else { continue };
            response.checks = eval::checks(&item.task, &response.response);
            response.right = eval::is_right(&item.task, &response.response);
            kept.insert(response.item, response);
        }
        let total = self.plan.items.len();
        for wave in self.plan.items.chunks(WAVE) {
            if wave.iter().all(|item| kept.contains_key(item)) {
                continue;
            }
            self.use_adapter()?;
            // The whole wave: with `scheduled`, a response depends on the others in its wave.
            let responses = self.wave(wave, kept.len(), total)?;
            kept.extend(responses.into_iter().map(|response| (response.item, response)));
            let lines: Vec<String> = (self.plan.items.iter().filter_map(|item| kept.get(item)))
                .map(|response| serde_json::to_string(response).expect("text keys") + "\n")
                .collect();
            self.dir.write(&generations(self.name), &lines.concat())?;
            // A wave can be over before the first tick.
            let (stage, done, total) = (self.stage(), kept.len() as u64, total as u64);
            self.context.host.progress(&Progress { stage: &stage, done, total, ..Progress::default() });
        }
        self.context.host.progress_done();
        Ok(self.plan.items.iter().filter_map(|item| kept.remove(item)).collect())
    }

    fn stage(&self) -> String {
        format!("eval {}", self.name)
    }

    fn wave(&mut self, wave: &[usize], done: usize, total: usize) -> Result<Vec<Generation>> {
        let counters = self.engine.progress();
        let before = counters.stats().finished;
        let (stop, stopped) = mpsc::channel::<()>();
        let stage = self.stage();
        let (engine, host) = (&mut *self.engine, self.context.host);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    let done = done as u64 + counters.stats().finished - before;
                    let (total, stage) = (total as u64, stage.as_str());
                    host.progress(&Progress { stage, done, total, ..Progress::default() });
                }
            });
            let responses = interruptible(eval::respond(engine, &self.plan.suite, wave, &self.plan.options));
            drop(stop);
            responses
        })
    }

    fn use_adapter(&mut self) -> Result<()> {
        self.context.check_interrupt()?;
        if let Some(adapter) = self.adapter.filter(|_| !self.has_adapter) {
            self.engine.set_adapter(Some((adapter, 1.0)))?;
            self.has_adapter = true;
        }
        Ok(())
    }
}
