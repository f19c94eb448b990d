//! `evol eval`: evaluates a base and its adapters on a suite.

use super::args::EvalArgs;
use super::session::Session;
use super::table::evaluation_table;
use crate::eval::{ResponseOptions, Suite};
use crate::run::eval::{self, EvalPlan, JudgeChoice};
use crate::run::{Error, NamedAdapter, Result, RunDir, check_eval_options, check_writable, resolve_model};
use crate::train::TrainConfig;

/// Runs the command.
///
/// # Errors
/// The suite, a model or an adapter is unusable, the folder has another evaluation, or the command was
/// interrupted.
pub(crate) fn run(args: &EvalArgs, session: &Session) -> Result<()> {
    let plan = plan(args, session)?;
    check_writable(&plan.out, eval::SETTINGS)?;
    let dir = RunDir::claim(&plan.out)?;
    let evaluation = eval::run(&plan, &dir, session.context())?;
    if session.output.is_json() {
        return session.output.document(&evaluation);
    }
    session.output.data(&evaluation_table(&evaluation))?;
    session.output.note(&format!("\nResponses and results: {}", dir.path().display()));
    Ok(())
}

fn plan(args: &EvalArgs, session: &Session) -> Result<EvalPlan> {
    check_eval_options(args.max_tokens, args.temperature, args.limit)?;
    let names: Vec<&String> = args.adapter.iter().map(|(name, _)| name).collect();
    if let Some(twice) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
        let (found, expected) = (format!("`{}` twice", twice.1), "different names: use NAME=FILE");
        return Err(Error::Flag { flag: "--adapter", found, expected });
    }
    let adapter = |(name, path): &(String, _)| NamedAdapter { name: name.clone(), path: Clone::clone(path) };
    let suite = args.suite.as_deref().map(Suite::read).transpose()?.unwrap_or_else(Suite::builtin);
    Ok(EvalPlan {
        model: resolve_model(&args.base)?,
        adapters: args.adapter.iter().map(adapter).collect(),
        items: eval::spread(suite.items.len(), args.limit),
        contaminated: 0,
        suite,
        validation: args.validation.clone(),
        max_seq_len: TrainConfig::default().max_seq_len,
        judge: JudgeChoice::new(!args.no_judge, args.judge_model.as_deref())?,
        options: ResponseOptions {
            seed: session.seed.unwrap_or(0),
            max_tokens: args.max_tokens,
            temperature: args.temperature,
        },
        kinds: Vec::new(),
        out: args.out.clone(),
    })
}
