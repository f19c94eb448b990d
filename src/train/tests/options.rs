//! What the options of a run do, each by a run that would differ without it.

use std::path::Path;

use super::fixture::{Fixture, files, sample};
use crate::lora::{LoraWeights, TargetModule};
use crate::train::{Error, Event, Outcome, TrainSummary};

fn finished(outcome: Result<Outcome, Error>) -> TrainSummary {
    match outcome.unwrap() {
        Outcome::Finished(summary) => summary,
        Outcome::Interrupted { .. } => panic!("not interrupted"),
    }
}

/// With everything that has a state, a stream of random numbers or a file of its own, a kill at any event
/// still changes no byte; checkpointing, which may differ on resume, differs.
#[test]
fn a_kill_at_any_event_changes_nothing_whatever_is_switched_on() {
    let mut fixture = Fixture::new();
    let config = &mut fixture.config;
    config.use_rslora = true;
    config.rank_pattern = [(TargetModule::QProj, 2), (TargetModule::UpProj, 6)].into();
    (config.loraplus_lr_ratio, config.neftune_noise_alpha) = (4.0, 5.0);
    (config.eval_steps, config.load_best_model_at_end) = (Some(1), true);
    (config.shuffle, config.packing) = (false, false);
    let whole = fixture.out("whole");
    let expected_summary = finished(fixture.run(&whole));
    let expected = files(&whole);
    fixture.config.gradient_checkpointing = "layer".parse().unwrap();
    let mut kills = 0;
    // Every third event: the other test dies at each of them.
    loop {
        let out = fixture.out(&format!("killed_{kills}"));
        if !fixture.run_and_kill(&out, 3 * kills) {
            break;
        }
        let summary = finished(fixture.run(&out));
        assert!(files(&out) == expected, "killed at event {}", 3 * kills);
        assert_eq!(summary.best_step, expected_summary.best_step);
        kills += 1;
    }
    assert!(kills >= 10, "only {kills} kills");
}

/// The state of 8 bits is in the checkpoint: stopped after any step, the bytes are the same; and it learns.
#[test]
fn moments_of_eight_bits_survive_a_stop_and_learn() {
    let mut fixture = Fixture::new();
    fixture.config.optim = crate::train::Optim::Adamw8bit;
    for ratio in [1.0, 4.0] {
        fixture.config.loraplus_lr_ratio = ratio;
        let whole = fixture.out(&format!("whole_{ratio}"));
        let summary = finished(fixture.run(&whole));
        assert!(summary.validation_loss_after < summary.validation_loss_before, "{summary:?}");
        for step in 1..summary.steps {
            let out = fixture.out(&format!("stopped_{ratio}_{step}"));
            assert!(matches!(fixture.run_until(&out, step), Ok(Outcome::Interrupted { .. })));
            finished(fixture.run(&out));
            assert!(files(&out) == files(&whole), "stopped after step {step}");
        }
    }
    let plan = |fixture: &Fixture| crate::train::plan(&fixture.job(Path::new(""))).unwrap().memory;
    let eight = plan(&fixture);
    fixture.config.optim = crate::train::Optim::Adamw;
    let full = plan(&fixture);
    assert!(
        eight.optimizer < full.optimizer * 7 / 10 && eight.checkpoint < full.checkpoint,
        "{eight:?} {full:?}"
    );
}

/// The first step of `AdamW` without decay moves every number by the learning rate, whatever the gradient is.
/// At the start B is 0, so A has no gradient and stays.
#[test]
fn b_learns_faster_by_the_ratio() {
    let moved = |ratio| {
        let mut fixture = Fixture::new();
        let config = &mut fixture.config;
        (config.loraplus_lr_ratio, config.warmup_ratio, config.max_steps) = (ratio, 0.0, Some(1));
        (config.weight_decay, config.adam_epsilon, config.lora_dropout) = (0.0, 1e-30, 0.0);
        let summary = finished(fixture.run(&fixture.out("out")));
        let base = fixture.model.config().base_shape();
        let weights = LoraWeights::read_gguf(&summary.adapter_gguf, &base).unwrap();
        f64::from(weights.pair_b(0, TargetModule::DownProj).unwrap()[0].abs())
    };
    let (plain, faster) = (moved(1.0), moved(8.0));
    assert!((plain / 5e-3 - 1.0).abs() <= 1e-5, "{plain}");
    assert!((faster / plain - 8.0).abs() <= 1e-5, "{faster} for {plain}");
}

#[test]
fn noise_and_scaling_change_the_result_and_the_seed_the_noise() {
    let loss = |change: &dyn Fn(&mut Fixture)| {
        let mut fixture = Fixture::new();
        change(&mut fixture);
        let mut losses = Vec::new();
        let run = fixture.run_with(&fixture.out("out"), |event, _| {
            if let Event::Step { metrics, .. } = event {
                losses.push(metrics.loss.to_bits());
            }
        });
        finished(run);
        losses
    };
    let plain = loss(&|_| ());
    let noisy = loss(&|fixture| fixture.config.neftune_noise_alpha = 5.0);
    assert_ne!(noisy[0], plain[0], "noise is there from the first step on");
    let scaled = loss(&|fixture| fixture.config.use_rslora = true);
    // B is 0 in the first two steps: warm-up starts at a rate of 0.
    assert_eq!(scaled[..2], plain[..2]);
    assert_ne!(scaled[5], plain[5]);
    assert_eq!(noisy, loss(&|fixture| fixture.config.neftune_noise_alpha = 5.0));
}

/// Rising losses: the rate is far too high. The adapter is that of the best pass, which a run of just so many
/// steps makes.
#[test]
fn early_stopping_takes_the_best_adapter() {
    let mut fixture = Fixture::new();
    let config = &mut fixture.config;
    (config.learning_rate, config.max_grad_norm, config.warmup_ratio) = (3.0, 0.0, 0.0);
    (config.eval_steps, config.early_stopping_patience, config.max_steps) = (Some(1), Some(2), Some(30));
    config.lr_scheduler_type = crate::train::Schedule::ConstantWithWarmup;
    let out = fixture.out("out");
    let mut losses = Vec::new();
    let run = fixture.run_with(&out, |event, _| {
        if let Event::Eval(metrics) = event {
            losses.push(metrics.validation_loss);
        }
    });
    let summary = finished(run);
    let best = (0..losses.len()).min_by(|&a, &b| losses[a].total_cmp(&losses[b])).unwrap();
    assert_eq!((summary.best_step, summary.stopped_early), (best as u64, true));
    assert_eq!(losses.len(), best + 3, "two more passes than to the best: {losses:?}");
    assert_eq!(summary.validation_loss_after, Some(losses[best]));
    // The best is the start here, whose B is 0.
    let base = fixture.model.config().base_shape();
    let weights = LoraWeights::read_gguf(&summary.adapter_gguf, &base).unwrap();
    let is_start = weights.pair_b(0, TargetModule::QProj).unwrap().iter().all(|b| b.abs() <= 0.0);
    assert_eq!(is_start, best == 0, "{losses:?}");
    // A finished run stays finished.
    assert_eq!(finished(fixture.run(&out)), summary);
}

/// Two runs, the second from the adapter of the first: it starts where that ended.
#[test]
fn training_starts_from_an_adapter() {
    let mut fixture = Fixture::new();
    let first = finished(fixture.run(&fixture.out("first")));
    let base = fixture.model.config().base_shape();
    let adapter = LoraWeights::read_peft(&first.adapter_peft, &base).unwrap();
    fixture.init_adapter = Some(adapter.clone());
    let out = fixture.out("second");
    let second = finished(fixture.run(&out));
    assert_eq!(second.validation_loss_before, first.validation_loss_after);
    // A checkpoint of another start is refused.
    fixture.init_adapter.as_mut().unwrap().data[0] += 1.0;
    let error = fixture.run(&out).unwrap_err().to_string();
    assert!(error.contains("`init_adapter` was "), "{error}");
}

/// One sample of nonsense among samples that were learned: its step is reported with its number, or ends the
/// run.
#[test]
fn a_loss_that_stands_out_is_told_with_its_examples() {
    let mut fixture = Fixture::new();
    fixture.train.samples = (0..180).map(|_| sample(1, 3, 5)).collect();
    fixture.train.samples[170] = sample(77, 2, 9);
    for (i, sample) in fixture.train.samples.iter_mut().enumerate() {
        sample.example = i;
    }
    let config = &mut fixture.config;
    (config.shuffle, config.packing, config.gradient_accumulation_steps) = (false, false, 1);
    (config.num_train_epochs, config.lora_dropout, config.learning_rate) = (1, 0.0, 2e-2);
    (config.eval_steps, config.save_steps) = (None, 10);
    let mut told = Vec::new();
    let run = fixture.run_with(&fixture.out("told"), |event, _| {
        if let Event::Spike { step, examples, .. } = event {
            told.push((*step, examples.to_vec()));
        }
    });
    finished(run);
    assert!(told.contains(&(171, vec![171])), "{told:?}");
    fixture.config.max_loss_z_score = Some(6.0);
    let out = fixture.out("stopped");
    let error = fixture.run(&out).unwrap_err();
    let Error::Spike { step, checkpoint_step, examples, .. } = &error else { panic!("{error}") };
    assert_eq!(
        (*step, *checkpoint_step, &examples[..]),
        (told[0].0, (told[0].0 - 1) / 10 * 10, &told[0].1[..])
    );
    assert!(error.to_string().contains("(examples "), "{error}");
    // Nothing is lost: with another limit the run resumes, and ends like the one that was only warned.
    fixture.config.max_loss_z_score = None;
    finished(fixture.run(&out));
    assert!(files(&out) == files(&fixture.out("told")));
}

#[test]
fn the_best_of_no_validation_is_refused() {
    let mut fixture = Fixture::new();
    fixture.validation = crate::train::Encoded::default();
    fixture.config.load_best_model_at_end = true;
    let error = fixture.run(&fixture.out("out")).unwrap_err().to_string();
    assert_eq!(
        error,
        "`load_best_model_at_end` is true, expected no value, because there is no validation data"
    );
}
