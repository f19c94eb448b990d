//! `evol verify`: generates a run's output again and compares it with the journal.
//!
//! Where in the flow: after a run, or while it is stopped. The journal has the requests and the recipe; the
//! manifest names the model file, and the machine and build that generated.
//!
//! **Invariant:** the run directory is not changed.

use super::args::VerifyArgs;
use super::session::Session;
use crate::evolve::{self, Selection, Verification};
use crate::gguf::Gguf;
use crate::identity::{Difference, Identity};
use crate::llm::{self, Determinism, Engine};
use crate::run::{
    Compute, Context, Error, ErrorContext as _, Host as _, Manifest, Recipe, Result, files, resolve_model,
    take_build,
};
use crate::store::{self, Store};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the model's hash in a run's identity.
const MODEL_SHA256: &str = "model.sha256";

/// Differences to show; `--json` has all.
const SHOWN: usize = 5;

/// Runs the command.
///
/// # Errors
/// [`Error::Verify`] if anything differs; another error if the run, its model or the engine is unusable.
pub(crate) fn run(args: &VerifyArgs, session: &Session) -> Result<()> {
    if args.sample == 0 {
        return Err(Error::Flag { flag: "--sample", found: "0".to_owned(), expected: "at least 1 node" });
    }
    let store = Store::open(&args.run)?;
    let identity = store.identity()?;
    let cannot_replay = || format!("cannot replay `{}`", args.run.display());
    let Some(recorded) = Recipe::recorded(&identity, &args.run)? else {
        return Err(evolve::Error::NothingToVerify).context(cannot_replay);
    };
    let manifest = Manifest::read(&args.run)?;
    let (model, sha256) = model(args, manifest.as_ref(), &identity)?;
    let settings = recorded.settings();
    settings.validate()?;
    let threads = recorded.engine.threads.unwrap_or(session.threads);
    let context = Context { threads, ..session.context() };
    let compute = Compute::prepare(&settings, &model, &sha256, Some(&recorded), context)?;
    let build = check_recipe(&compute, &recorded, &args.run)?;
    // The manifest also describes the machine, but may be missing.
    let elsewhere = manifest.as_ref().map_or(build, Manifest::build_differences);
    let elsewhere: Vec<String> = elsewhere.iter().map(ToString::to_string).collect();
    for difference in &elsewhere {
        session.warn(&format!(
            "this machine or build is not the run's, so different bytes are expected: {difference}"
        ));
    }
    let mut options = compute.options();
    options.interrupt = Arc::clone(session.interrupt());
    let whole_lists = options.determinism == Determinism::Scheduled;
    let level = options.determinism.name();
    let mut engine = Engine::load(options)?;
    let sample = Selection::Sample { nodes: args.sample, seed: session.seed.unwrap_or(0) };
    let selection = if args.all { Selection::All } else { sample };
    let mut on_progress = |done, total| {
        session.report_progress("verify", done as u64, total as u64, "generations");
    };
    let result = evolve::verify(&mut engine, &store, selection, whole_lists, &mut on_progress);
    session.progress_done();
    let found = match result {
        Err(evolve::Error::Llm(llm::Error::Interrupted)) => return Err(llm::Error::Interrupted.into()),
        other => other.context(cannot_replay)?,
    };
    report(&found, level, &elsewhere, session)?;
    let Verification { differing, compared, .. } = found;
    match differing {
        0 => Ok(()),
        _ => Err(Error::Verify { differing, compared, elsewhere: !elsewhere.is_empty() }),
    }
}

/// The path of the run's model, and its SHA-256.
fn model(args: &VerifyArgs, manifest: Option<&Manifest>, identity: &Identity) -> Result<(PathBuf, String)> {
    let recorded = manifest.map(|manifest| &manifest.model.path);
    let path = match (&args.model, recorded) {
        (Some(typed), _) => resolve_model(typed)?,
        (None, Some(path)) if path.is_file() => path.clone(),
        (None, Some(path)) => return Err(Error::ModelMoved { path: path.clone() }),
        (None, None) => return Err(Error::NoManifest { path: args.run.join(files::MANIFEST) }),
    };
    let gguf = Gguf::open(&path)?;
    gguf.check_for_llama_cpp()?;
    let found = gguf.sha256()?;
    match identity.get(MODEL_SHA256) {
        Some(expected) if expected != found => {
            Err(Error::OtherModel { path, found, expected: expected.to_owned() })
        }
        _ => Ok((path, found)),
    }
}

/// Refuses settings that differ from those in the journal. Differences in the build of llama.cpp are allowed
/// and returned: whether another build gives the same bytes is what the replay finds out.
fn check_recipe(compute: &Compute, recorded: &Recipe, run: &Path) -> Result<Vec<Difference>> {
    let mut differences = recorded.identity().diff(&compute.recipe(recorded.judge.clone()).identity());
    let build = take_build(&mut differences);
    if differences.is_empty() {
        Ok(build)
    } else {
        Err(store::Error::Changed { path: run.to_owned(), differences }.into())
    }
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
            "\nnode {node_id}, stage {}: {} differs from byte {byte}\n  recorded: {recorded:?}\n  replayed: \
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

/// The name of `value` in JSON.
fn word(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).expect("it serializes");
    json.as_str().unwrap_or_default().to_owned()
}
