//! The fourth stage: trains the adapters that the run's adapter is compared with.
//!
//! Where in the flow: after training. To find out whether evolving helped, the evolved adapter is compared
//! with the base and with an adapter trained for as many tokens on the seeds alone, with the base's own
//! answers to them. With `repeats`, each adapter is trained several times with different seeds.
//!
//! **Invariant:** all adapters are trained with the same settings as the run's, and evaluated on the same
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

/// Name of the kind of adapters that are trained on the seeds alone.
pub const SEEDS: &str = "seeds";
/// Name of the kind of adapters that are trained on the run's export.
pub const EVOLVED: &str = "evolved";

/// An adapter, and its name in the evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedAdapter {
    /// Name, such as `seeds` or `evolved-2`.
    pub name: String,
    /// GGUF file.
    pub path: PathBuf,
}

/// Trains the missing adapters and returns all adapters of the run, including its own.
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
            context.host.note(&format!("training {name}: same data, different seed"));
            train::run(&train_plan(config, &exported, &name, training), context)?.adapter_gguf
        };
        adapters.push(NamedAdapter { name, path });
        context.check_interrupt()?;
    }
    Ok(adapters)
}

/// Trains for about `tokens` positions; `None` if there is nothing to train on, because every answer is
/// longer than a row.
fn train_on_seeds(mut plan: TrainPlan, tokens: u64, context: Context<'_>) -> Result<Option<PathBuf>> {
    let steps = match train::steps_for_tokens(&plan, context, tokens) {
        Err(error) if matches!(error.without_context(), Error::Train(NoSamples { .. })) => {
            context.host.warn("no baseline is trained on the seeds: no answer fits into a row");
            return Ok(None);
        }
        steps => steps?,
    };
    plan.config.max_steps = Some(steps);
    let text = format!("training on the seeds alone: {steps} steps, for as many tokens as the evolved data");
    context.host.note(&text);
    Ok(Some(train::run(&plan, context)?.adapter_gguf))
}

/// The adapter's name: `seeds`, `seeds-2`, …
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

/// Writes the seeds with their answers as training data, with the run's validation data. `None` if no seed
/// has an answer.
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
            context.host.warn("no baseline is trained on the seeds: none has an answer to train on");
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
