//! The command line: arguments → plan → call → print, one file per command.
//!
//! Where in the flow: the top. A command turns its arguments into a plan for [`crate::run`] or another
//! module, calls it, and prints the result.
//!
//! - `args`: commands and flags with their help; `session`: checked global flags, and the terminal as a host
//! - `evolve`, `export`, `train`, `eval`, `report`, `run`: one stage of [`crate::run`] each, or all of them
//! - `chat`, `tree`, `stats`, `check`, `verify`, `calibrate`, `status`, `compare`, `merge`, `merge_runs`,
//!   `slurm`, `doctor` (with `determinism` and `diagnosis`), `bench` (with `bench_train`): the other commands
//! - `output`, `table`: stdout and stderr; `ending`, `causes`: exit codes, hints and messages; `interrupt`:
//!   Ctrl-C
//!
//! **Invariant:** the only owner of stdout, stderr and the environment; no other module names `clap`.

mod args;
mod bench;
mod bench_prompts;
mod bench_questions;
mod bench_train;
mod calibrate;
mod causes;
mod chat;
mod check;
mod compare;
mod determinism;
mod diagnosis;
mod doctor;
mod ending;
mod eval;
mod evolve;
mod export;
mod interrupt;
mod merge;
mod merge_runs;
mod output;
mod report;
mod run;
mod session;
mod slurm;
mod stats;
mod status;
mod table;
mod train;
mod tree;
mod verify;

use crate::run::Result;
use args::{Cli, Command};
use clap::{CommandFactory as _, Parser as _};
use output::Output;
use session::Session;
use std::process::ExitCode;

/// Parses the command line, runs the command and returns the process's exit code.
pub fn main() -> ExitCode {
    // Exits with 0 after help, and with 2 after a usage error.
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

/// The grammar of the command line, for tests of its help and documentation.
pub fn command() -> clap::Command {
    Cli::command()
}

fn dispatch(command: &Command, session: &Session) -> Result<()> {
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
