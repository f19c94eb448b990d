//! Reports the progress of an evolution: after each chunk from events, in between from the engine's counters.
//!
//! Where in the flow: [`super::run`] passes it every event of [`crate::evolve::run`], and calls
//! [`EvolveProgress::tick`] every second from another thread.
//!
//! **Invariant:** for the user only; no result depends on it.

use crate::evolve::{self, Chunk, Event, Policy, Shard};
use crate::llm;
use crate::run::host::{Host, Progress};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// Turns events and counters into messages and progress.
pub(super) struct EvolveProgress<'a> {
    host: &'a dyn Host,
    counters: &'a llm::Progress,
    started: Instant,
    /// Shared with the thread that calls [`Self::tick`].
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last committed chunk.
    chunk: Option<Chunk>,
    /// The engine's count of finished requests when it was committed.
    finished: u64,
}

impl<'a> EvolveProgress<'a> {
    pub(super) fn new(host: &'a dyn Host, counters: &'a llm::Progress) -> Self {
        Self { host, counters, started: Instant::now(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    pub(super) fn event(&self, event: &Event) {
        match event {
            Event::Started { style, seeds, shard, max_answer_tokens } => {
                let part = if *shard == Shard::WHOLE { String::new() } else { format!(" of shard {shard}") };
                self.host.note(&format!(
                    "evolving {seeds} seeds{part}, prompt style {}, answers of at most {max_answer_tokens} \
                     tokens",
                    style.name()
                ));
            }
            Event::LongSeeds(long) => {
                for warning in long.warnings() {
                    self.host.warn(&warning);
                }
            }
            Event::Calibrated(calibration) if !calibration.trusted => self.host.note(&format!(
                "the judge is not used: this model cannot tell same from different instructions (area under \
                 the ROC curve {:.2}); instructions are compared by their words, and difficulty is not rated",
                calibration.auc
            )),
            Event::Calibrated(calibration) => self.host.note(&format!(
                "the judge can tell same from different instructions (area under the ROC curve {:.2})",
                calibration.auc
            )),
            Event::Settled(policy) => self.host.note(&settled(policy)),
            Event::Chunk(chunk) => {
                let mut state = self.state();
                state.finished = self.counters.stats().finished;
                state.chunk = Some(chunk.clone());
                drop(state);
                self.report(chunk.done as u64, chunk.total as u64, &label(chunk));
            }
        }
    }

    /// Reports progress between two chunks, including finished requests of the current chunk.
    pub(super) fn tick(&self) {
        let state = self.state();
        let (stage, done, total) = match &state.chunk {
            Some(chunk) if chunk.done < chunk.total => {
                let ahead = self.counters.stats().finished - state.finished;
                let total = chunk.total as u64;
                (label(chunk), (chunk.done as u64 + ahead).min(total), total)
            }
            // The total of the next stage is known after its first chunk.
            Some(chunk) => (label(chunk), 0, 0),
            None => ("evolve".to_owned(), 0, 0),
        };
        drop(state);
        self.report(done, total, &stage);
    }

    fn report(&self, done: u64, total: u64, stage: &str) {
        let llm::EngineStats { generated_tokens: generated, finished, .. } = self.counters.stats();
        let detail = if generated == 0 {
            format!("calibrating the judge: {finished} pairs judged")
        } else {
            let speed = generated as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
            format!("{generated} tokens generated, {speed:.0} tokens/s")
        };
        let generated_tokens = Some(generated);
        self.host.progress(&Progress { stage, done, total, detail: &detail, generated_tokens });
    }
}

/// Describes how a run will evolve, and why.
fn settled(policy: &Policy) -> String {
    let used = evolve::Operator::ALL.into_iter().filter(|&operator| policy.operators.get(operator) > 0.0);
    let operators: Vec<&str> = used.map(evolve::Operator::name).collect();
    let Policy { profile, rounds, attempts, answer_samples, .. } = policy;
    let mut text = format!(
        "profile {}: {rounds} rounds, {attempts} attempts, up to {answer_samples} answers; {}",
        profile.name(),
        operators.join(", ")
    );
    for why in &policy.why {
        text.push_str("\n  ");
        text.push_str(why);
    }
    text
}

fn label(chunk: &Chunk) -> String {
    let stage = match chunk.stage {
        evolve::Stage::Evolve => "evolve",
        evolve::Stage::Judge => "judge",
        evolve::Stage::Answer => "answer",
        evolve::Stage::Rate => "rate",
    };
    match chunk.round {
        0 => format!("seeds {stage}"),
        round => format!("round {round} {stage}"),
    }
}
