//! The only owner of stdout and stderr: results, notes, progress, errors.
//!
//! Results go to stdout, everything else to stderr, so that `evol … > file` and `evol … | jq` hold nothing
//! but data. With `--json` progress and notes are JSON lines on stderr.
//!
//! **Invariant:** no other module prints; a closed stdout ends the program quietly and with success.

use super::ending::one_line;
use super::error::{Error, Result};
use super::live::Live;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};
use tracing_subscriber::EnvFilter;

/// Between two plain progress lines, when stderr is no terminal: frequent enough to see life, rare enough for
/// a log file.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// How to speak, decided once from the flags and the terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// One for the whole process, which every copy of this writes to.
    live: &'static Live,
    json: bool,
    verbose: u8,
    terminal: bool,
    colour: bool,
}

impl Output {
    /// `--json` and the number of `-v`.
    pub(crate) fn new(json: bool, verbose: u8) -> Self {
        let terminal = io::stderr().is_terminal();
        // https://no-color.org: present and not empty.
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self { live: Box::leak(Box::default()), json, verbose, terminal, colour }
    }

    /// Shows llama.cpp's log on stderr: its warnings with `-v`, all of it with `-vv`, and whatever the
    /// variable `EVOL_LOG` asks for (`error`, `warn`, `info`, `debug`).
    pub(crate) fn show_logs(self) {
        let level = match self.verbose {
            0 => "off",
            1 => "warn",
            _ => "debug",
        };
        let filter = EnvFilter::try_from_env("EVOL_LOG").unwrap_or_else(|_| EnvFilter::new(level));
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(self.colour)
            .without_time()
            .with_target(false)
            .init();
    }

    /// What others can see of the run at hand.
    pub(crate) fn live(self) -> &'static Live {
        self.live
    }

    /// Whether results are to be JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Writes `text` to stdout as it is and makes it visible at once.
    ///
    /// # Errors
    /// [`Error::OutputClosed`] if nobody reads stdout, or why stdout cannot be written.
    #[expect(clippy::unused_self, reason = "who has no `Output` does not speak")]
    pub(crate) fn data(self, text: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Error::OutputClosed),
            Err(e) => Err(Error::io("cannot write to stdout")(e)),
        }
    }

    /// Writes a result as one indented JSON document to stdout.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub(crate) fn document(self, value: &impl serde::Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).expect("results have string keys only");
        self.data(&(text + "\n"))
    }

    /// Says something on stderr.
    pub(crate) fn note(self, message: &str) {
        if self.json {
            self.line(&json!({"event": "note", "message": message}).to_string());
        } else {
            self.line(message);
        }
    }

    /// Says something on stderr if `-v` was given.
    pub(crate) fn detail(self, message: &str) {
        if self.verbose > 0 {
            self.note(message);
        }
    }

    /// Says on stderr that something is not as it should be, but that the work goes on.
    pub(crate) fn warn(self, message: &str) {
        if self.json {
            self.line(&json!({"event": "warning", "message": message}).to_string());
        } else {
            self.line(&format!("{} {message}", self.paint("warning:", "1;33")));
        }
    }

    /// Says why the program ends: the chain of causes on one line, then a blank line and the hint.
    pub(crate) fn error(self, error: &Error, hint: Option<&str>) {
        let message = one_line(error);
        if self.json {
            self.line(&json!({"event": "error", "message": message, "hint": hint}).to_string());
            return;
        }
        self.line(&format!("{} {message}", self.paint("error:", "1;31")));
        if let Some(hint) = hint {
            self.line(&format!("\n{} {hint}", self.paint("hint:", "1;36")));
        }
    }

    /// Starts to report the progress of `label`.
    pub(crate) fn progress(self, label: &str) -> Progress {
        Progress::new(self, label)
    }

    #[expect(clippy::unused_self, reason = "who has no `Output` does not speak")]
    /// A line on stderr. There is nobody to tell that stderr is closed.
    fn line(self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    fn paint(self, text: &str, code: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A running stage: a bar with an estimate on a terminal, a plain line every few seconds otherwise.
#[derive(Debug)]
pub(crate) struct Progress {
    output: Output,
    label: String,
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Instant,
    /// What was done when this process began, so that a resumed stage does not count it as its own speed.
    first_done: Option<u64>,
}

impl Progress {
    fn new(output: Output, label: &str) -> Self {
        let bar = (output.terminal && !output.json).then(|| {
            let style = ProgressStyle::with_template("{prefix} {bar:20} {wide_msg}")
                .expect("the template is a constant");
            ProgressBar::new(0).with_style(style).with_prefix(label.to_owned())
        });
        let now = Instant::now();
        Self { output, label: label.to_owned(), bar, started: now, last_line: now, first_done: None }
    }

    /// `done` of `total` units (0: not known yet); `detail` is a short text such as `412 tokens/s`.
    pub(crate) fn update(&mut self, done: u64, total: u64, detail: &str) {
        let first = *self.first_done.get_or_insert(done);
        let now = Instant::now();
        let left = total.saturating_sub(done);
        let eta = remaining_seconds(done.saturating_sub(first), left, self.started.elapsed());
        self.output.live.progress(&self.label, (done, total), detail, eta);
        if self.bar.is_none() && now.duration_since(self.last_line) < PLAIN_INTERVAL {
            return;
        }
        self.last_line = now;
        if self.output.json {
            let line = json!({
                "event": "progress", "stage": self.label, "done": done, "total": total,
                "detail": detail, "eta_seconds": eta.map_or(Value::Null, Value::from),
            });
            self.output.line(&line.to_string());
            return;
        }
        let message = describe(done, total, detail, eta);
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(message);
        } else {
            self.output.line(&format!("{}: {message}", self.label));
        }
    }

    /// Says something without breaking the bar.
    pub(crate) fn say(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.output.note(message)),
            None => self.output.note(message),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `3 of 6, 181 tokens/s, about 5 s left`, as far as it is known.
fn describe(done: u64, total: u64, detail: &str, eta: Option<u64>) -> String {
    let count = (total > 0).then(|| format!("{done} of {total}"));
    let detail = (!detail.is_empty()).then(|| detail.to_owned());
    let eta = eta.map(|seconds| format!("about {} left", duration(seconds as f64)));
    [count, detail, eta].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Seconds that `left` units take at the speed of the `done` ones; `None` before there is a speed, and at the
/// end.
fn remaining_seconds(done: u64, left: u64, elapsed: Duration) -> Option<u64> {
    (done > 0 && left > 0).then(|| (elapsed.as_secs_f64() / done as f64 * left as f64).round() as u64)
}

/// `47 s`, `3 min 5 s`, `2 h 10 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }

    #[test]
    fn progress_says_only_what_is_known() {
        assert_eq!(describe(0, 0, "9 tokens/s", None), "9 tokens/s");
        assert_eq!(describe(3, 6, "", None), "3 of 6");
        assert_eq!(describe(3, 6, "9 tokens/s", Some(61)), "3 of 6, 9 tokens/s, about 1 min 1 s left");
    }
}
