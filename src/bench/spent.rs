//! The engine with a stopwatch around it: how long `evolve` waited for it, and what it did meanwhile.
//!
//! Where in the flow: `evolution` hands it to `evolve::run` in the engine's place.
//!
//! **Invariant:** it passes everything through unchanged.

use crate::llm::{
    Answer, Completion, Engine, EngineStats, Error, Generate, Message, Prompt, Question, Request,
};
use std::time::Instant;

/// Wall time in the engine, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Spent {
    /// On prompts of completions.
    pub(super) prefill: f64,
    /// On generated tokens.
    pub(super) decode: f64,
    /// Drawing them.
    pub(super) sampling: f64,
    /// On questions: calls of [`Generate::score`], whole.
    pub(super) judge: f64,
    /// Questions.
    pub(super) judged: u64,
}

impl Spent {
    /// Divides the wall time of one call among its parts. The engine counts time per worker, so with several
    /// at work the parts add up to more than the wall time, at most as many times as there are workers: that
    /// number is the smallest that fits. What a part took of the wall is then its share of the workers' time;
    /// the rest (tokenising, caches, waiting for the last worker) is no part of it.
    fn add_completions(&mut self, wall: f64, before: &EngineStats, after: &EngineStats) {
        let seconds = |read: fn(&EngineStats) -> u64| (read(after) - read(before)) as f64 / 1e9;
        let parts = [
            seconds(|stats| stats.prefill_ns),
            seconds(|stats| stats.decode_ns),
            seconds(|stats| stats.sampling_ns),
        ];
        let workers = parallel(parts.iter().sum(), wall);
        self.prefill += parts[0] / workers;
        self.decode += parts[1] / workers;
        self.sampling += parts[2] / workers;
    }
}

/// The least number of workers that can be busy for `busy` seconds in `wall` seconds.
pub(super) fn parallel(busy: f64, wall: f64) -> f64 {
    if wall > 0.0 { (busy / wall).ceil().max(1.0) } else { 1.0 }
}

/// See the head of the file.
pub(super) struct Stopped<'e> {
    pub(super) engine: &'e mut Engine,
    pub(super) spent: Spent,
    /// Everything that was to be completed.
    pub(super) requests: Vec<Request>,
}

impl<'e> Stopped<'e> {
    pub(super) fn new(engine: &'e mut Engine) -> Self {
        Self { engine, spent: Spent::default(), requests: Vec::new() }
    }
}

impl Generate for Stopped<'_> {
    fn chat_prompt(&self, messages: &[Message], shared_messages: usize) -> Option<Result<Prompt, Error>> {
        self.engine.chat_prompt(messages, shared_messages)
    }

    fn generate(&mut self, requests: &[Request]) -> Result<Vec<Completion>, Error> {
        self.requests.extend_from_slice(requests);
        let (before, started) = (self.engine.stats(), Instant::now());
        let completions = self.engine.generate(requests)?;
        self.spent.add_completions(started.elapsed().as_secs_f64(), &before, &self.engine.stats());
        Ok(completions)
    }

    fn score(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Error> {
        let started = Instant::now();
        let answers = self.engine.score(questions)?;
        self.spent.judge += started.elapsed().as_secs_f64();
        self.spent.judged += questions.len() as u64;
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_several_workers_is_shared_out_over_the_wall() {
        let before = EngineStats { prefill_ns: 5, ..EngineStats::default() };
        let ns = |seconds: f64| (seconds * 1e9) as u64;
        let stats = |prefill, decode, sampling| EngineStats {
            prefill_ns: 5 + ns(prefill),
            decode_ns: ns(decode),
            sampling_ns: ns(sampling),
            ..EngineStats::default()
        };
        let close =
            |found: f64, expected: f64| assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        let mut one = Spent::default();
        one.add_completions(10.0, &before, &stats(3.0, 5.0, 1.0));
        close(one.prefill, 3.0);
        close(one.decode, 5.0);
        close(one.sampling, 1.0);
        // Two workers, one of which waited two seconds for the other.
        let mut two = Spent::default();
        two.add_completions(10.0, &before, &stats(6.0, 10.0, 2.0));
        close(two.prefill + two.decode + two.sampling, 9.0);
        close(two.decode, 5.0);
    }

    #[test]
    fn no_time_at_all_is_one_worker() {
        assert!((parallel(0.0, 0.0) - 1.0).abs() < 1e-12);
        assert!((parallel(0.0, 1.0) - 1.0).abs() < 1e-12);
    }
}
