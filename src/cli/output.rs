//! The only owner of stdout and stderr: results, notes, progress, errors.
//!
//! Where in the flow: commands print their results here, and their `Session` passes on what the stages of a
//! run report. Results go to stdout and everything else to stderr, so that `evol … > file` and `evol … | jq`
//! only get data. With `--json`, progress and notes are JSON lines on stderr.
//!
//! **Invariant:** no other module prints. A closed stdout ends the process quietly, with success.

use super::causes::one_line;
use crate::run::{Error, Estimate, Progress, Result, duration};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing_subscriber::EnvFilter;

/// Time between progress lines when stderr is not a terminal: short enough to show activity, long enough for
/// a log file.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// The terminal as the flags describe it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// The current progress bar, shared by all copies, so that messages are printed above it.
    shown: &'static Mutex<Option<Shown>>,
    json: bool,
    verbose: u8,
    terminal: bool,
    colour: bool,
}

impl Output {
    /// For `--json` and the number of `-v` flags.
    pub(crate) fn new(json: bool, verbose: u8) -> Self {
        let terminal = io::stderr().is_terminal();
        // https://no-color.org: colour is off if the variable is present and not empty.
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self { shown: Box::leak(Box::default()), json, verbose, terminal, colour }
    }

    /// Shows llama.cpp's log on stderr: warnings with `-v`, everything with `-vv`. The variable `EVOL_LOG`
    /// (`error`, `warn`, `info`, `debug`) takes precedence.
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

    /// Whether results are printed as JSON.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Writes `text` to stdout unchanged, and flushes.
    ///
    /// # Errors
    /// [`Error::OutputClosed`] if stdout was closed by its reader; another error if it cannot be written.
    #[expect(clippy::unused_self, reason = "callers need an `Output` to print")]
    pub(crate) fn data(self, text: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Error::OutputClosed),
            Err(e) => Err(Error::io("cannot write to stdout")(e)),
        }
    }

    /// Writes a result to stdout as one indented JSON document.
    ///
    /// # Errors
    /// As [`Self::data`].
    pub(crate) fn document(self, value: &impl serde::Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).expect("results have string keys only");
        self.data(&(text + "\n"))
    }

    /// Prints a message on stderr.
    pub(crate) fn note(self, message: &str) {
        if self.json {
            self.line(&json!({"event": "note", "message": message}).to_string());
        } else {
            self.line(message);
        }
    }

    /// Prints a message on stderr if `-v` was given.
    pub(crate) fn detail(self, message: &str) {
        if self.verbose > 0 {
            self.note(message);
        }
    }

    /// Prints a warning on stderr.
    pub(crate) fn warn(self, message: &str) {
        if self.json {
            self.line(&json!({"event": "warning", "message": message}).to_string());
        } else {
            self.line(&format!("{} {message}", self.paint("warning:", "1;33")));
        }
    }

    /// Prints the error with its causes on one line, then a blank line and the hint.
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

    /// Shows the progress of a stage. A new stage starts a new bar.
    pub(crate) fn progress(self, progress: &Progress<'_>) {
        let &Progress { stage, done, total, detail, .. } = progress;
        let mut shown = self.shown();
        if shown.as_ref().is_none_or(|shown| shown.stage != stage) {
            let next = Shown::new(stage, self.terminal && !self.json);
            if let Some(last) = shown.replace(next) {
                last.finish();
            }
        }
        let Some(shown) = shown.as_mut() else { return };
        let eta = shown.estimate.seconds_left(done, total);
        if shown.bar.is_none() && shown.last_line.elapsed() < PLAIN_INTERVAL {
            return;
        }
        shown.last_line = Instant::now();
        let message = describe(done, total, detail, eta);
        if self.json {
            write_line(&json!({
                "event": "progress", "stage": stage, "done": done, "total": total,
                "detail": detail, "eta_seconds": eta.map_or(Value::Null, Value::from),
            }));
        } else if let Some(bar) = &shown.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(message);
        } else {
            write_line(&format!("{stage}: {message}"));
        }
    }

    /// Removes the bar of the last stage.
    pub(crate) fn progress_done(self) {
        if let Some(last) = self.shown().take() {
            last.finish();
        }
    }

    fn shown(self) -> MutexGuard<'static, Option<Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line on stderr, above the bar if there is one.
    fn line(self, text: &str) {
        match self.shown().as_ref().and_then(|shown| shown.bar.as_ref()) {
            Some(bar) => bar.suspend(|| write_line(&text)),
            None => write_line(&text),
        }
    }

    fn paint(self, text: &str, code: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Ignores errors: a closed stderr leaves nowhere to report them.
fn write_line(text: &impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The stage in progress, shown as a bar on a terminal, otherwise as a plain line every few seconds.
#[derive(Debug)]
struct Shown {
    stage: String,
    bar: Option<ProgressBar>,
    estimate: Estimate,
    last_line: Instant,
}

impl Shown {
    fn new(stage: &str, has_bar: bool) -> Self {
        let bar = has_bar.then(|| {
            let style = ProgressStyle::with_template("{prefix} {bar:20} {wide_msg}")
                .expect("the template is a constant");
            ProgressBar::new(0).with_style(style).with_prefix(stage.to_owned())
        });
        Self { stage: stage.to_owned(), bar, estimate: Estimate::start(), last_line: Instant::now() }
    }

    fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `3 of 6, 181 tokens/s, about 5 s left`, without the parts that are not known.
fn describe(done: u64, total: u64, detail: &str, eta: Option<u64>) -> String {
    let count = (total > 0).then(|| format!("{done} of {total}"));
    let detail = (!detail.is_empty()).then(|| detail.to_owned());
    let eta = eta.map(|seconds| format!("about {} left", duration(seconds as f64)));
    [count, detail, eta].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_shows_only_what_is_known() {
        assert_eq!(describe(0, 0, "9 tokens/s", None), "9 tokens/s");
        assert_eq!(describe(3, 6, "", None), "3 of 6");
        assert_eq!(describe(3, 6, "9 tokens/s", Some(61)), "3 of 6, 9 tokens/s, about 1 min 1 s left");
    }
}
