//! What a stage needs from its caller: where to report, and when to stop.
//!
//! Where in the flow: `cli` implements [`Host`] for a terminal and passes it to the stages in a [`Context`];
//! tests implement it with a list.
//!
//! **Invariant:** the plan decides the result. The host only decides what is shown and when the work stops.

use super::error::{Error, Result};
use crate::llm::EngineOptions;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The caller of a stage.
pub trait Host: Sync {
    /// Shows a message.
    fn note(&self, text: &str);

    /// Shows a message if the user asked for details.
    fn detail(&self, text: &str);

    /// Shows a warning.
    fn warn(&self, text: &str);

    /// Shows progress. Called about every second or more often while a stage runs. A new [`Progress::stage`]
    /// ends the one before.
    fn progress(&self, progress: &Progress<'_>);

    /// Ends the display of progress.
    fn progress_done(&self);

    /// The flag that the engine and the trainer watch: true once the work should stop.
    fn interrupt(&self) -> &Arc<AtomicBool>;

    /// Whether the work should stop.
    fn interrupted(&self) -> bool {
        self.interrupt().load(Ordering::SeqCst)
    }
}

/// The progress of a stage.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress<'a> {
    /// The current stage, such as `round 1 answer`.
    pub stage: &'a str,
    /// Units done, including those of earlier processes.
    pub done: u64,
    /// Total units; 0 if not known yet.
    pub total: u64,
    /// A short text, such as `412 tokens/s`.
    pub detail: &'a str,
    /// Tokens that this process has generated so far; only while evolving.
    pub generated_tokens: Option<u64>,
}

/// What every stage gets in addition to its plan.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Where the stage reports.
    pub host: &'a dyn Host,
    /// Threads for generation and training.
    pub threads: usize,
    /// Ordinals of the GPUs to train on; empty for the CPU.
    pub gpus: &'a [usize],
}

impl<'a> Context<'a> {
    /// This context with another host.
    #[must_use]
    pub fn with_host<'b>(self, host: &'b dyn Host) -> Context<'b>
    where
        'a: 'b,
    {
        Context { host, ..self }
    }

    /// Stops the work after Ctrl-C. For places where neither the engine nor the trainer checks the flag.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once the work should stop.
    pub fn check_interrupt(&self) -> Result<()> {
        if self.host.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Options for an engine that watches the host's flag.
    pub fn engine_options<'p>(&self, model: &'p Path) -> EngineOptions<'p> {
        let mut options = EngineOptions::new(model, self.threads);
        options.interrupt = Arc::clone(self.host.interrupt());
        options
    }
}

/// Estimates the time left of a stage from the speed of this process. Units that an earlier process did do
/// not count as speed.
#[derive(Debug)]
pub struct Estimate {
    started: Instant,
    first_done: Option<u64>,
}

impl Estimate {
    /// Starts the clock.
    pub fn start() -> Self {
        Self { started: Instant::now(), first_done: None }
    }

    /// Seconds left; `None` before the first unit and after the last.
    pub fn seconds_left(&mut self, done: u64, total: u64) -> Option<u64> {
        let first = *self.first_done.get_or_insert(done);
        remaining_seconds(done.saturating_sub(first), total.saturating_sub(done), self.started.elapsed())
    }
}

/// Formats a duration: `47 s`, `3 min 5 s`, `2 h 10 min`.
pub fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

fn remaining_seconds(done: u64, left: u64, elapsed: Duration) -> Option<u64> {
    (done > 0 && left > 0).then(|| (elapsed.as_secs_f64() / done as f64 * left as f64).round() as u64)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A host that records what is reported to it.
    #[derive(Debug, Default)]
    pub(crate) struct Recorder {
        pub(crate) lines: Mutex<Vec<String>>,
        pub(crate) interrupt: Arc<AtomicBool>,
    }

    impl Recorder {
        fn push(&self, line: String) {
            self.lines.lock().unwrap().push(line);
        }

        /// Everything that was reported so far.
        pub(crate) fn lines(&self) -> Vec<String> {
            self.lines.lock().unwrap().clone()
        }

        /// A context with two threads on the CPU.
        pub(crate) fn context(&self) -> Context<'_> {
            Context { host: self, threads: 2, gpus: &[] }
        }
    }

    impl Host for Recorder {
        fn note(&self, text: &str) {
            self.push(format!("note: {text}"));
        }

        fn detail(&self, text: &str) {
            self.push(format!("detail: {text}"));
        }

        fn warn(&self, text: &str) {
            self.push(format!("warning: {text}"));
        }

        fn progress(&self, progress: &Progress<'_>) {
            let Progress { stage, done, total, .. } = progress;
            self.push(format!("{stage}: {done} of {total}"));
        }

        fn progress_done(&self) {}

        fn interrupt(&self) -> &Arc<AtomicBool> {
            &self.interrupt
        }
    }

    #[test]
    fn durations_are_short_and_in_the_right_unit() {
        for (seconds, text) in
            [(0.0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (185.0, "3 min 5 s"), (7800.0, "2 h 10 min")]
        {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn an_estimate_needs_a_speed_and_counts_only_this_process() {
        let elapsed = Duration::from_secs(10);
        assert_eq!(remaining_seconds(0, 50, elapsed), None);
        assert_eq!(remaining_seconds(5, 50, elapsed), Some(100));
        assert_eq!(remaining_seconds(5, 0, elapsed), None);
        assert_eq!(Estimate::start().seconds_left(40, 50), None, "what was done before is no speed");
    }

    #[test]
    fn an_interrupted_host_stops_the_work() {
        let host = Recorder::default();
        assert!(host.context().check_interrupt().is_ok());
        host.interrupt.store(true, Ordering::SeqCst);
        assert!(matches!(host.context().check_interrupt(), Err(Error::Interrupted)));
    }
}
