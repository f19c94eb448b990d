//! `evol verify`: a run's generations, made again and compared with its journal.
//!
//! Where in the flow: after a run, or in the middle of one that was stopped. What was asked and how is in the
//! journal; the manifest says where the model lay and what machine and build generated.
//!
//! **Invariant:** nothing in the run directory is changed.

use super::args::VerifyArgs;
use super::compute::{BUILD, Compute, EngineSettings, RECIPE};
use super::error::{Context as _, Error, Result};
use super::manifest::{self, Begun};
use super::plan::{self, Session};
use crate::evolve::{self, Selection, Verification};
use crate::gguf::Gguf;
use crate::llm::{self, Determinism, Engine};
use crate::store::{self, Change, Store};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The journal's hash of the model.
const MODEL_SHA256: &str = "model.sha256";

/// Differences that are shown; `--json` has all.
const SHOWN: usize = 5;

/// Runs the command.
///
/// # Errors
/// [`Error::Verify`] if anything differs; otherwise the run, its model or the engine cannot be used.
pub(crate) fn run(args: &VerifyArgs, session: &Session) -> Result<()> {
    if args.sample == 0 {
        return Err(Error::Flag { flag: "--sample", found: "0".to_owned(), expected: "at least 1 node" });
    }
    let store = Store::open(&args.run)?;
    let journal = store.fingerprint()?;
    if journal.is_empty() {
        let replay = || format!("cannot replay `{}`", args.run.display());
        return Err(evolve::Error::NothingToVerify).context(replay);
    }
    let begun = Begun::read(&args.run)?;
    let (model, sha256) = model(args, begun.as_ref(), &journal)?;
    let (settings, threads) = EngineSettings::of_journal(&journal);
    settings.validate()?;
    let session_then = Session { threads: threads.unwrap_or(session.threads), ..session.clone() };
    let compute = Compute::prepare(&settings, &model, &sha256, &journal, &session_then)?;
    let build = check_recipe(&compute, &journal, &args.run)?;
    // The manifest says the same of the build, and more of the machine, but may be missing.
    let elsewhere = begun.as_ref().map_or(build, Begun::differences);
    for difference in &elsewhere {
        session
            .output
            .warn(&format!("not where the run was made, so that other bytes can be expected: {difference}"));
    }
    let mut options = compute.options();
    options.interrupt = Arc::clone(session.interrupt.flag());
    let whole_lists = options.determinism == Determinism::Scheduled;
    let level = options.determinism.name();
    let mut engine = Engine::load(options)?;
    let sample = Selection::Sample { nodes: args.sample, seed: session.seed.unwrap_or(0) };
    let selection = if args.all { Selection::All } else { sample };
    let mut progress = session.output.progress("verify");
    let result = evolve::verify(&mut engine, &store, selection, whole_lists, &mut |done, total| {
        progress.update(done as u64, total as u64, "generations");
    });
    progress.finish();
    let found = match result {
        Err(evolve::Error::Llm(llm::Error::Interrupted)) => return Err(llm::Error::Interrupted.into()),
        other => other.context(|| format!("cannot replay `{}`", args.run.display()))?,
    };
    report(&found, level, &elsewhere, session)?;
    let Verification { differing, compared, .. } = found;
    match differing {
        0 => Ok(()),
        _ => Err(Error::Verify { differing, compared, elsewhere: !elsewhere.is_empty() }),
    }
}

/// The run's model, with its hash.
fn model(
    args: &VerifyArgs,
    begun: Option<&Begun>,
    journal: &[(String, String)],
) -> Result<(PathBuf, String)> {
    let path = match (&args.model, begun) {
        (Some(typed), _) => plan::model(typed)?,
        (None, Some(begun)) if begun.model().is_file() => begun.model().to_owned(),
        (None, Some(begun)) => return Err(Error::ModelMoved { path: begun.model().to_owned() }),
        (None, None) => return Err(Error::NoManifest { path: args.run.join(manifest::FILE_NAME) }),
    };
    let gguf = Gguf::open(&path)?;
    gguf.check_for_llama_cpp()?;
    let found = gguf.sha256()?;
    let expected = journal.iter().find(|(name, _)| name == MODEL_SHA256).map(|(_, value)| value.clone());
    match expected {
        Some(expected) if expected != found => Err(Error::OtherModel { path, found, expected }),
        _ => Ok((path, found)),
    }
}

/// What would be generated with must be what the journal names, apart from the build of llama.cpp and how it
/// is used, of which the differences are returned: whether it makes the same bytes is the question.
fn check_recipe(
    compute: &Compute,
    journal: &[(String, String)],
    run: &Path,
) -> Result<Vec<String>, store::Error> {
    let bound = |name: &str| journal.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let changes = compute
        .recipe()
        .into_iter()
        .map(|(name, value)| Change { old: bound(&name), new: Some(value), name })
        .filter(|change| change.old != change.new);
    let (build, changes): (Vec<Change>, Vec<Change>) =
        changes.partition(|change| BUILD.contains(&change.name.as_str()) || change.name == RECIPE);
    let build = build.iter().map(ToString::to_string).collect();
    if changes.is_empty() { Ok(build) } else { Err(store::Error::Changed { path: run.to_owned(), changes }) }
}

fn report(found: &Verification, level: &str, elsewhere: &[String], session: &Session) -> Result<()> {
    if session.output.is_json() {
        return session
            .output
            .document(&json!({ "determinism": level, "elsewhere": elsewhere, "verification": found }));
    }
    let Verification { generations, compared, bytes, differing, differences } = found;
    let verdict = if *differing == 0 { "all equal".to_owned() } else { format!("{differing} differ") };
    let mut text = format!(
        "replayed {compared} of {generations} generations ({level}, {bytes} bytes of text): {verdict}\n"
    );
    for difference in differences.iter().take(SHOWN) {
        let evolve::Difference { node_id, stage, field, byte, recorded, replayed } = difference;
        let _ = write!(
            text,
            "\nnode {node_id}, stage {}, {} from byte {byte} on\n  recorded: {recorded:?}\n  replayed: \
             {replayed:?}\n",
            word(stage),
            word(field),
        );
    }
    if differences.len() > SHOWN {
        let _ = writeln!(text, "\n… and {} more", differences.len() - SHOWN);
    }
    session.output.data(&text)
}

/// The word in JSON.
fn word(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).expect("a name");
    json.as_str().unwrap_or_default().to_owned()
}
