//! `evol bench`: measures throughput, records it, and compares records.
//!
//! **Invariant:** the table shows exactly what the record contains. The clock is read only to date the
//! record.

use super::args::{BenchArgs, BenchCommand, BenchCompareArgs, BenchEvolveArgs};
use super::session::Session;
use crate::bench::{
    self, Comparison, Evolution, Figures, History, Line, MachineEntry, ModelEntry, Progress, Record,
    Settings, Workload,
};
use crate::evolve::MaxTokens;
use crate::gguf::Gguf;
use crate::llm;
use crate::run::{Compute, EngineSettings, Error, Host as _, Machine, Result, resolve_model};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Runs the command.
///
/// # Errors
/// Model, settings or history are unusable, llama.cpp fails, or the measurement was interrupted.
pub(crate) fn run(args: &BenchArgs, session: &Session) -> Result<()> {
    match &args.command {
        BenchCommand::Evolve(args) => evolve(args, session),
        BenchCommand::Prompts(args) => super::bench_prompts::run(args, session),
        BenchCommand::Questions(args) => super::bench_questions::run(args, session),
        BenchCommand::Train(args) => super::bench_train::run(args, session),
        BenchCommand::Compare(args) => compare(args, session),
    }
}

fn evolve(args: &BenchEvolveArgs, session: &Session) -> Result<()> {
    let model = resolve_model(&args.model)?;
    let gguf = Gguf::open(&model)?;
    gguf.check_for_llama_cpp()?;
    let sha256 = gguf.sha256()?;
    let engine = EngineSettings::from(&args.engine);
    engine.validate()?;
    let mut settings = Settings {
        seeds: args.seeds,
        rounds: args.rounds,
        seed: session.seed.unwrap_or(0),
        max_tokens: MaxTokens { answer: args.max_answer_tokens, ..MaxTokens::default() },
        batch_width: 0,
        compute_format: String::new(),
        gpu_layers: engine.gpu_layers,
        threads: session.threads,
        widths: args.widths.clone(),
        repeats: args.repeats,
    };
    settings.check()?;
    let path = history_path(args.history.as_deref());
    let mut history = History::open(&path)?;
    let compute = Compute::prepare(&engine, &model, &sha256, None, session.context())?;
    compute.entry().format.name().clone_into(&mut settings.compute_format);
    settings.batch_width = compute.entry().batch_width;
    let interrupt = Arc::clone(session.interrupt.flag());
    let determinism = compute.entry().determinism;
    let workload = Workload { model: &compute.entry().path, sha256, determinism, settings, interrupt };
    let scratch =
        tempfile::tempdir().map_err(Error::io("cannot create a temporary directory for the run"))?;
    let figures = measure(&workload, scratch.path(), session)?;
    let record = record(&model, &workload, figures);
    history.append(&record)?;
    if session.output.is_json() {
        session.output.document(&record)?;
    } else {
        session.output.data(&table(&record))?;
    }
    session.output.note(&format!("appended the record to `{}`", path.display()));
    Ok(())
}

fn measure(workload: &Workload<'_>, scratch: &Path, session: &Session) -> Result<Figures> {
    let result = bench::run(workload, scratch, &mut |step| match step {
        Progress::Evolution { round, done, total } => {
            session.report_progress("evolution", done as u64, total as u64, &format!("round {round}"));
        }
        Progress::Rates { width } => session.note(&format!("rates at batch width {width}")),
        Progress::Exact { done, total } => {
            session.note(&format!("cost of exact: pass {} of {total}", done + 1));
        }
    });
    session.progress_done();
    match result {
        Err(bench::Error::Llm(llm::Error::Interrupted)) => Err(Error::Interrupted),
        Err(bench::Error::Evolve(crate::evolve::Error::Llm(llm::Error::Interrupted))) => {
            Err(Error::Interrupted)
        }
        other => Ok(other?),
    }
}

fn record(model: &Path, workload: &Workload<'_>, figures: Figures) -> Record {
    let machine = Machine::detect();
    Record {
        format: bench::FORMAT,
        time: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        evol_version: env!("CARGO_PKG_VERSION").to_owned(),
        model: ModelEntry {
            file: model.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            sha256: workload.sha256.clone(),
        },
        machine: MachineEntry {
            platform: machine.platform,
            cpu: machine.cpu,
            available_threads: machine.threads,
            llama_cpp: llm::system_info(),
        },
        settings: workload.settings.clone(),
        figures,
    }
}

fn table(record: &Record) -> String {
    let Record { settings, figures, .. } = record;
    let mut text = format!("{}, {} threads", record.model.file, settings.threads);
    if let Some(cpu) = &record.machine.cpu {
        let _ = write!(text, ", {cpu}");
    }
    let _ = writeln!(
        text,
        "\nevolution of {} seeds, rounds: {}, batch width {}, {}, weights {}\n",
        settings.seeds,
        settings.rounds,
        settings.batch_width,
        figures.evolution.determinism.name(),
        settings.compute_format
    );
    evolution_table(&figures.evolution, &mut text);
    let _ = writeln!(text, "\n{:<12}{:>20}{:>18}", "batch width", "prefill tokens/s", "decode rows/s");
    for rate in &figures.rates {
        let (prefill, decode) = (rate.prefill_tokens_per_second, rate.decode_rows_per_second);
        let _ = writeln!(text, "{:<12}{prefill:>20.1}{decode:>18.1}", rate.width);
    }
    if let Some(exact) = &figures.exact {
        let _ = writeln!(
            text,
            "\nexact         {:.1} tokens/s\nscheduled     {:.1} tokens/s\n\
             cost of exact {:.2} times scheduled ({} requests, medians of {})",
            exact.exact_tokens_per_second,
            exact.scheduled_tokens_per_second,
            exact.cost,
            exact.requests,
            exact.passes
        );
    }
    if let Some(reason) = &figures.not_exact_because {
        let _ = writeln!(text, "\nno exact reproducibility: {reason}");
    }
    text
}

fn evolution_table(evolution: &Evolution, text: &mut String) {
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<30}{value:>12}");
    };
    line("attempts", evolution.attempts.to_string());
    line("kept", evolution.kept.to_string());
    line("wall time, s", format!("{:.1}", evolution.wall_seconds));
    line("instructions kept per hour", format!("{:.0}", evolution.kept_per_hour));
    line("answers per hour, with seeds", format!("{:.0}", evolution.answers_per_hour));
    line("tokens generated per second", format!("{:.1}", evolution.tokens_per_second));
    line(
        "tokens per kept instruction",
        evolution.tokens_per_kept.map_or("-".to_owned(), |n| format!("{n:.0}")),
    );
    line("judgements per second", format!("{:.1}", evolution.judgements_per_second));
    line("prefix reuse", percent(evolution.prefix_reuse));
    if let Some(bytes) = evolution.peak_memory_bytes {
        line("peak memory, MiB", (bytes >> 20).to_string());
    }
    for (name, share) in evolution.shares.named() {
        line(&format!("time: {name}"), percent(share));
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn compare(args: &BenchCompareArgs, session: &Session) -> Result<()> {
    let path = history_path(args.history.as_deref());
    let numbers = args.first.zip(args.second).map(|(first, second)| [first, second]);
    let comparison = bench::compare(&History::read(&path)?, numbers, &path)?;
    if session.output.is_json() {
        session.output.document(&comparison)?;
    } else {
        session.output.data(&side_by_side(&comparison))?;
    }
    for difference in &comparison.differences {
        session.output.warn(&format!("the records also differ in {difference}"));
    }
    Ok(())
}

fn side_by_side(comparison: &Comparison) -> String {
    let Comparison { numbers, times, lines, .. } = comparison;
    let head = |k: usize| format!("{}: {}", numbers[k], times[k]);
    let mut text = format!("{:<32}{:>26}{:>26}{:>8}\n", "", head(0), head(1), "ratio");
    for Line { name, values, ratio } in lines {
        let [first, second] = values.map(|value| value.map_or("-".to_owned(), figure));
        let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        let _ = writeln!(text, "{name:<32}{first:>26}{second:>26}{ratio:>8}");
    }
    text
}

/// Formats a figure with enough decimals to show a difference.
fn figure(value: f64) -> String {
    let decimals = match value.abs() {
        0.0..10.0 => 3,
        10.0..1000.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

/// The history file: `--history`, or `${XDG_STATE_HOME:-~/.local/state}/evol/bench.jsonl`.
fn history_path(typed: Option<&Path>) -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    typed.map_or_else(
        || {
            set("XDG_STATE_HOME")
                .or_else(|| set("HOME").map(|home| home.join(".local/state")))
                .unwrap_or_else(|| PathBuf::from(".local/state"))
                .join("evol/bench.jsonl")
        },
        Path::to_owned,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_decimals_where_they_matter() {
        let shown = [0.0, 0.1234, 9.9999, 123.45, 3600.4].map(figure);
        assert_eq!(shown, ["0.000", "0.123", "10.000", "123.5", "3600"]);
    }
}
