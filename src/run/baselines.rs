//! The fourth stage: adapters that the run's own is compared with.
//!
//! Where in the flow: after training. The question is whether evolving helped, so the evolved adapter is
//! compared with the base and with an adapter that was trained on the seeds alone, with the base's own
//! answers to them, over as many tokens. With `repeats` each is trained several times, from other seeds.
//!
//! **Invariant:** all adapters are trained with the settings of the run's own, and measured on the same
//! held-out rows.

use super::config::RunConfig;
use super::error::{Error, Result};
use super::export::RunExport;
use super::files;
use super::host::Context;
use super::train::{self, TrainPlan};
use crate::dataset::{self, Collection, ExportOptions, Exported, Mix};
use crate::train::{Error::NoSamples, TrainSummary};
use std::path::PathBuf;

/// Kind of the adapters that are trained on the seeds alone.
pub const SEEDS: &str = "seeds";
/// Kind of the adapters that are trained on the run's export.
pub const EVOLVED: &str = "evolved";

/// An adapter under the name that the evaluation gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedAdapter {
    /// Name, such as `seeds` or `evolved-2`.
    pub name: String,
    /// GGUF file.
    pub path: PathBuf,
}

/// Trains what is missing and returns all adapters of the run, its own included.
///
/// # Errors
/// As [`train::run`].
pub(super) fn run(
    config: &RunConfig,
    export: RunExport,
    evolved: &TrainSummary,
    context: Context<'_>,
) -> Result<Vec<NamedAdapter>> {
    let section = &config.eval;
    let RunExport { exported, seeds, .. } = export;
    let seeds = if section.baselines { write_seeds(config, seeds, &exported, context)? } else { None };
    let mut adapters = Vec::new();
    for training in 0..section.repeats {
        if let Some(seeds) = &seeds {
            let name = numbered(SEEDS, training);
            let plan = train_plan(config, seeds, &name, training);
            if let Some(path) = train_on_seeds(plan, evolved.tokens, context)? {
                adapters.push(NamedAdapter { name, path });
            }
        }
        let name = numbered(EVOLVED, training);
        let path = if training == 0 {
            evolved.adapter_gguf.clone()
        } else {
            context.host.note(&format!("training {name}: the same data, another seed"));
            train::run(&train_plan(config, &exported, &name, training), context)?.adapter_gguf
        };
        adapters.push(NamedAdapter { name, path });
        context.check_interrupt()?;
    }
    Ok(adapters)
}

/// Trains for about `tokens` positions; `None`: every answer is longer than a row, so there is nothing to
/// train on.
fn train_on_seeds(mut plan: TrainPlan, tokens: u64, context: Context<'_>) -> Result<Option<PathBuf>> {
    let steps = match train::steps_for_tokens(&plan, context, tokens) {
        Err(error) if matches!(error.without_context(), Error::Train(NoSamples { .. })) => {
            context.host.warn("no seed's answer fits a row: there is no baseline of seeds");
            return Ok(None);
        }
        steps => steps?,
    };
    plan.config.max_steps = Some(steps);
    let text = format!("training on the seeds alone: {steps} steps, as many tokens as the evolved data has");
    context.host.note(&text);
    Ok(Some(train::run(&plan, context)?.adapter_gguf))
}

/// `seeds`, `seeds-2`, …
pub(super) fn numbered(kind: &str, training: u64) -> String {
    if training == 0 { kind.to_owned() } else { format!("{kind}-{}", training + 1) }
}

fn train_plan(config: &RunConfig, data: &Exported, name: &str, training: u64) -> TrainPlan {
    let mut settings = config.train.clone();
    settings.seed = settings.seed.wrapping_add(training);
    TrainPlan {
        model: PathBuf::from(&config.model),
        data: data.train.clone(),
        validation: data.validation.clone(),
        out: config.out.join(files::BASELINES).join(name),
        config: settings,
        init: None,
        tensorboard: false,
    }
}

/// Writes the seeds with their answers as a file to train on; it is measured on the run's own validation
/// side. `None` if no seed has an answer.
fn write_seeds(
    config: &RunConfig,
    seeds: Collection,
    exported: &Exported,
    context: Context<'_>,
) -> Result<Option<Exported>> {
    let options = ExportOptions { mix: Mix::default(), validation_fraction: 0.0, ..config.export_options() };
    let out = config.out.join(files::BASELINES).join("data");
    match dataset::export(seeds, &options, &out) {
        Ok(data) => Ok(Some(Exported { validation: exported.validation.clone(), ..data })),
        Err(dataset::Error::NoRecords) => {
            context.host.warn("no seed has an answer to train on: there is no baseline of seeds");
            Ok(None)
        }
        Err(other) => Err(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_training_has_the_plain_name() {
        assert_eq!(numbered(SEEDS, 0), "seeds");
        assert_eq!(numbered(EVOLVED, 1), "evolved-2");
    }
}
