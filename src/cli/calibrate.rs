//! `evol calibrate`: measures how well a model judges whether two instructions are the same.

use super::args::CalibrateArgs;
use super::session::Session;
use crate::evolve::{self, Calibration, JudgeConfig, JudgedPair};
use crate::llm::{self, Determinism, Engine};
use crate::run::{Result, resolve_model};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Runs the command.
///
/// # Errors
/// The model is unusable, or the command was interrupted.
pub(crate) fn run(args: &CalibrateArgs, session: &Session) -> Result<()> {
    let path = resolve_model(&args.model)?;
    let mut options = session.context().engine_options(&path);
    options.determinism = Determinism::Exact.resolve(&path, 0)?.0;
    let mut engine = Engine::load(options)?;
    let n_params = Some(engine.info().n_params);
    let judged = evolve::calibrate(&mut engine, n_params, args.style.into(), JudgeConfig::default());
    let (calibration, pairs) = match judged {
        Err(evolve::Error::Llm(llm::Error::Interrupted)) => return Err(llm::Error::Interrupted.into()),
        other => other?,
    };
    if session.output.is_json() {
        return session.output.document(&json!({ "calibration": calibration, "pairs": pairs }));
    }
    session.output.data(&report(&calibration, &pairs))
}

fn report(calibration: &Calibration, pairs: &[JudgedPair]) -> String {
    let Calibration { pairs: count, auc, ece, trusted, threshold, false_elimination, true_elimination } =
        calibration;
    let verdict =
        if *trusted { "runs use this judge" } else { "runs do not use this judge, but compare words" };
    let mut text = format!(
        "{count} labelled pairs, both orders\narea under the curve  {auc:.3}  ({verdict})\n\
         calibration error     {ece:.3}\n\
         threshold             {threshold:.3} nats: {:.0} % of the same and {:.0} % of the different pairs \
         are called same\n\n{:<18}{:>6}{:>14}{:>14}\n",
        100.0 * true_elimination,
        100.0 * false_elimination,
        "kind",
        "pairs",
        "called same",
        "mean margin"
    );
    let mut kinds: BTreeMap<(bool, &str), Vec<f64>> = BTreeMap::new();
    for pair in pairs {
        // Kinds of same pairs first.
        kinds.entry((!pair.same, pair.kind.as_str())).or_default().extend(pair.margin);
    }
    for ((_, kind), margins) in kinds {
        let same = margins.iter().filter(|margin| **margin > *threshold).count();
        let mean = margins.iter().sum::<f64>() / margins.len().max(1) as f64;
        let _ = writeln!(text, "{kind:<18}{:>6}{same:>14}{mean:>14.2}", margins.len());
    }
    text
}
