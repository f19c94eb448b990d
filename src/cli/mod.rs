//! The command line: args (as typed) → plan (validated) → one file per command.
//!
//! Where in the flow: the top. It reads flags and files, hands them to the modules, and says what came of it.
//!
//! - `args`, `config`: what can be typed, on the command line and in an experiment file
//! - `plan`: what it means; `compute`: which model file runs, and at which level of determinism
//! - `evolve`, `export`, `train`, `run`, `chat`, `tree`, `stats`, `check`, `verify`, `calibrate`, `eval`,
//!   `report`, `status`, `compare`, `merge_runs`, `slurm`, `doctor`, `bench`: the commands
//! - `run_dir`, `manifest`, `live`: the files of a run beside its journal
//! - `known_models`, `machine`: what is there to work with
//! - `error`: why a command failed; `ending`: exit codes and hints
//! - `output`, `interrupt`: stdout and stderr, Ctrl-C; `shell`: commands to
//!   paste
//!
//! **Invariant:** the only owner of stdout, stderr and the environment; no other module names `clap`.

mod args;
mod bench;
mod bench_train;
mod calibrate;
mod chat;
mod check;
mod compare;
mod compute;
mod config;
mod determinism;
mod doctor;
mod ending;
mod error;
mod eval;
mod evolve;
mod export;
mod interrupt;
mod known_models;
mod live;
mod machine;
mod manifest;
mod merge;
mod merge_runs;
mod output;
mod plan;
mod report;
mod run;
mod run_dir;
mod shell;
mod slurm;
mod stats;
mod status;
mod train;
mod tree;
mod verify;

use args::{Cli, Command};
use clap::{CommandFactory as _, Parser as _};
use output::Output;
use plan::Session;
use std::process::ExitCode;

/// Runs the command that was typed and returns the process's exit code.
pub fn main() -> ExitCode {
    // Prints help and usage errors itself, with exit codes 0 and 2.
    let cli = Cli::parse();
    let output = Output::new(cli.global.json, cli.global.verbose);
    output.show_logs();
    let Err(error) = Session::new(&cli.global, output).and_then(|session| dispatch(&cli.command, &session))
    else {
        return ExitCode::SUCCESS;
    };
    let Some((code, hint)) = ending::ending(&error) else { return ExitCode::SUCCESS };
    output.error(&error, hint.as_deref());
    ExitCode::from(code)
}

/// The grammar of the command line, for tests of its documentation.
pub fn command() -> clap::Command {
    Cli::command()
}

fn dispatch(command: &Command, session: &Session) -> error::Result<()> {
    match command {
        Command::Run(args) => run::run(args, session),
        Command::Evolve(args) => evolve::run(args, session),
        Command::Export(args) => export::run(args, session),
        Command::Train(args) => train::run(args, session),
        Command::Chat(args) => chat::run(args, session),
        Command::Tree(args) => tree::run(args, session),
        Command::Stats(args) => stats::run(args, session),
        Command::Check(args) => check::run(args, session),
        Command::Merge(args) => merge::run(args, session),
        Command::Calibrate(args) => calibrate::run(args, session),
        Command::Verify(args) => verify::run(args, session),
        Command::Doctor(args) => doctor::run(args, session),
        Command::Eval(args) => eval::run(args, session),
        Command::Report(args) => report::run(args, session),
        Command::Status(args) => status::run(args, session),
        Command::Compare(args) => compare::run(args, session),
        Command::MergeRuns(args) => merge_runs::run(args, session),
        Command::Slurm(args) => slurm::run(args, session),
        Command::Bench(args) => bench::run(args, session),
    }
}
