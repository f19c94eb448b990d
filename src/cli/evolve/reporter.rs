//! Says how far an evolution is, on stderr and to whoever looks from elsewhere.
//!
//! **Invariant:** for people only: no result depends on it.

use crate::cli::output::{Output, Progress};
use crate::evolve::{self, Chunk, Event, Policy, Shard};
use crate::llm;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// Says how far an evolution is: chunk by chunk from its events, in between from the engine's counters.
pub(super) struct Reporter<'a> {
    output: Output,
    counters: &'a llm::Progress,
    /// Shared with the thread that ticks.
    state: Mutex<State>,
}

struct State {
    progress: Progress,
    /// Where the last chunk was.
    chunk: Option<Chunk>,
    /// Requests finished when the last chunk was committed.
    finished: u64,
    started: Instant,
}

impl<'a> Reporter<'a> {
    pub(super) fn new(output: Output, counters: &'a llm::Progress) -> Self {
        let progress = output.progress("evolve");
        let state = Mutex::new(State { progress, chunk: None, finished: 0, started: Instant::now() });
        Self { output, counters, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("whoever holds it does not panic")
    }

    pub(super) fn event(&self, event: &Event) {
        let mut state = self.state();
        match event {
            Event::Started { style, seeds, shard } => {
                let part = if *shard == Shard::WHOLE { String::new() } else { format!(" of shard {shard}") };
                state.progress.say(&format!("evolving {seeds} seeds{part}, prompt style {}", style.name()));
            }
            Event::Calibrated(calibration) if !calibration.trusted => state.progress.say(&format!(
                "the judge cannot tell the same from different on this model (area under the curve {:.2}): \
                 words decide what brings something new, and difficulty is not rated",
                calibration.auc
            )),
            Event::Calibrated(calibration) => state.progress.say(&format!(
                "the judge tells the same from different with an area under the curve of {:.2}",
                calibration.auc
            )),
            Event::Settled(policy) => state.progress.say(&settled(policy)),
            Event::Chunk(chunk) => {
                let same = state.chunk.as_ref().is_some_and(|last| place(last) == place(chunk));
                if !same {
                    let next = self.output.progress(&label(chunk));
                    std::mem::replace(&mut state.progress, next).finish();
                }
                state.finished = self.counters.stats().finished;
                let detail = self.speed(&state);
                state.progress.update(chunk.done as u64, chunk.total as u64, &detail);
                state.chunk = Some(chunk.clone());
            }
        }
    }

    /// Between two chunks: what the engine has finished of the next one counts already.
    pub(super) fn tick(&self) {
        let mut state = self.state();
        let detail = self.speed(&state);
        let (done, total) = match &state.chunk {
            Some(chunk) if chunk.done < chunk.total => {
                let ahead = self.counters.stats().finished - state.finished;
                ((chunk.done as u64 + ahead).min(chunk.total as u64), chunk.total as u64)
            }
            // The first chunk of a stage tells how many there are.
            _ => (0, 0),
        };
        state.progress.update(done, total, &detail);
        self.output.live().tokens(self.counters.stats().generated_tokens);
    }

    fn speed(&self, state: &State) -> String {
        let llm::EngineStats { generated_tokens: generated, finished, .. } = self.counters.stats();
        if generated == 0 {
            return format!("{finished} pairs judged to calibrate the judge");
        }
        let speed = generated as f64 / state.started.elapsed().as_secs_f64().max(1e-3);
        format!("{generated} tokens generated, {speed:.0} tokens/s")
    }

    pub(super) fn finish(self) {
        let state = self.state.into_inner().expect("whoever held it did not panic");
        state.progress.finish();
    }
}

/// How a run will evolve, and why.
fn settled(policy: &Policy) -> String {
    let used = evolve::Operator::ALL.into_iter().filter(|&operator| policy.operators.get(operator) > 0.0);
    let operators: Vec<&str> = used.map(evolve::Operator::name).collect();
    let Policy { profile, rounds, attempts, answer_samples, .. } = policy;
    let mut text = format!(
        "profile {}: {rounds} rounds, {attempts} attempts, {answer_samples} answers at most; {}",
        profile.name(),
        operators.join(", ")
    );
    for why in &policy.why {
        text.push_str("\n  ");
        text.push_str(why);
    }
    text
}

fn place(chunk: &Chunk) -> (u32, u32, evolve::Stage) {
    (chunk.round, chunk.attempt, chunk.stage)
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
