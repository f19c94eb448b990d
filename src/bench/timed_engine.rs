//! An engine that measures how long its caller waits for it, and for what.
//!
//! Where in the flow: `evolution` passes it to `evolve::run` in place of the engine.
//!
//! **Invariant:** requests and results pass through unchanged.

use crate::llm::{
    Answer, Completion, Engine, EngineStats, Error, Generate, Message, Prompt, Question, Request,
};
use std::time::Instant;

/// Wall time in the engine, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct EngineTimes {
    /// Time for prompts of completions.
    pub(super) prefill: f64,
    /// Time for generated tokens.
    pub(super) decode: f64,
    /// Time for sampling tokens.
    pub(super) sampling: f64,
    /// Time of calls to [`Generate::score`].
    pub(super) judge: f64,
    /// Number of questions in these calls.
    pub(super) judged: u64,
}

impl EngineTimes {
    /// Adds the times of one call of [`Generate::generate`] that took `wall` seconds.
    ///
    /// The engine sums its times over workers, so with several workers they exceed the wall time. They are
    /// divided by the smallest number of workers that can explain them. The remaining wall time (tokenising,
    /// caches, waiting for the last worker) is not counted.
    fn add_completions(&mut self, wall: f64, before: &EngineStats, after: &EngineStats) {
        let seconds = |read: fn(&EngineStats) -> u64| (read(after) - read(before)) as f64 / 1e9;
        let parts = [
            seconds(|stats| stats.prefill_ns),
            seconds(|stats| stats.decode_ns),
            seconds(|stats| stats.sampling_ns),
        ];
        let workers = min_workers(parts.iter().sum(), wall);
        self.prefill += parts[0] / workers;
        self.decode += parts[1] / workers;
        self.sampling += parts[2] / workers;
    }
}

/// The smallest number of workers that can be busy for a total of `busy` seconds within `wall` seconds.
pub(super) fn min_workers(busy: f64, wall: f64) -> f64 {
    if wall > 0.0 { (busy / wall).ceil().max(1.0) } else { 1.0 }
}

/// An engine with a stopwatch.
pub(super) struct TimedEngine<'e> {
    pub(super) engine: &'e mut Engine,
    pub(super) times: EngineTimes,
    /// All requests for completions, in order.
    pub(super) requests: Vec<Request>,
}

impl<'e> TimedEngine<'e> {
    pub(super) fn new(engine: &'e mut Engine) -> Self {
        Self { engine, times: EngineTimes::default(), requests: Vec::new() }
    }
}

impl Generate for TimedEngine<'_> {
    fn chat_prompt(&self, messages: &[Message], shared_messages: usize) -> Option<Result<Prompt, Error>> {
        self.engine.chat_prompt(messages, shared_messages)
    }

    fn text_tokens(&self, text: &str) -> Result<usize, Error> {
        self.engine.text_tokens(text)
    }

    fn prompt_tokens(&self, prompt: &Prompt) -> Result<usize, Error> {
        self.engine.prompt_tokens(prompt)
    }

    fn context_tokens(&self) -> usize {
        self.engine.context_tokens()
    }

    fn generate(&mut self, requests: &[Request]) -> Result<Vec<Completion>, Error> {
        self.requests.extend_from_slice(requests);
        let (before, started) = (self.engine.stats(), Instant::now());
        let completions = self.engine.generate(requests)?;
        self.times.add_completions(started.elapsed().as_secs_f64(), &before, &self.engine.stats());
        Ok(completions)
    }

    fn score(&mut self, questions: &[Question]) -> Result<Vec<Answer>, Error> {
        let started = Instant::now();
        let answers = self.engine.score(questions)?;
        self.times.judge += started.elapsed().as_secs_f64();
        self.times.judged += questions.len() as u64;
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_several_workers_are_scaled_to_wall_time() {
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
        let mut one = EngineTimes::default();
        one.add_completions(10.0, &before, &stats(3.0, 5.0, 1.0));
        close(one.prefill, 3.0);
        close(one.decode, 5.0);
        close(one.sampling, 1.0);
        // Two workers; one of them waited two seconds for the other.
        let mut two = EngineTimes::default();
        two.add_completions(10.0, &before, &stats(6.0, 10.0, 2.0));
        close(two.prefill + two.decode + two.sampling, 9.0);
        close(two.decode, 5.0);
    }

    #[test]
    fn zero_time_means_one_worker() {
        assert!((min_workers(0.0, 0.0) - 1.0).abs() < 1e-12);
        assert!((min_workers(0.0, 1.0) - 1.0).abs() < 1e-12);
    }
}
