//! One contestant: what it says, and how likely it finds held-out answers.
//!
//! **Invariant:** responses are kept after every wave of items, whole files at a time; what is there is never
//! asked again.

use super::EvalPlan;
use super::stage::interruptible;
use crate::cli::error::{Error, Result};
use crate::cli::output::Progress;
use crate::cli::plan::Session;
use crate::cli::run_dir::RunDir;
use crate::eval::result::Generation;
use crate::eval::{self, RecordLikelihood};
use crate::llm::{Engine, ScoredTokens};
use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Items that are asked at a time: the batch stays full for most of it, and a killed process loses less than
/// that.
const WAVE: usize = 96;

/// How often progress is shown while a wave is generated.
const TICK: Duration = Duration::from_secs(1);

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
pub(super) struct Ask<'a> {
    pub(super) plan: &'a EvalPlan,
    pub(super) dir: &'a RunDir,
    pub(super) session: &'a Session,
    pub(super) engine: &'a mut Engine,
    pub(super) name: &'a str,
    pub(super) adapter: Option<&'a Path>,
    /// Whether the engine has it already: one that has nothing left to say is not loaded.
    pub(super) has_adapter: bool,
    pub(super) tick: &'a mut (dyn FnMut() + Send),
}

impl Ask<'_> {
    pub(super) fn contestant(
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
        for mut said in read_generations(self.dir.path(), self.name)? {
            // Verdicts are this program's, whichever version asked.
            let Some(item) = self.plan.suite.items.get(said.item) else { continue };
            said.checks = eval::checks(&item.task, &said.response);
            said.right = eval::is_right(&item.task, &said.response);
            kept.insert(said.item, said);
        }
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
        progress: &mut Progress,
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
