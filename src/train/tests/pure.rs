//! Configuration, schedule, packing, plan.

use proptest::prelude::*;

use std::path::Path;

use super::fixture::{Fixture, encoded, sample};
use crate::explain::Explain as _;
use crate::lora::TargetModule;
use crate::model::PackedRow;
use crate::train::pack::{Packing, Timeline, epoch_rows, fill_row, first_fit};
use crate::train::{Job, Sample, Schedule, TrainConfig, learning_rate, plan, warmup_steps};

#[test]
fn every_setting_is_checked_and_named() {
    type Break = fn(&mut TrainConfig);
    let broken: [(&str, Break); 18] = [
        ("r", |c| c.r = 0),
        ("lora_alpha", |c| c.lora_alpha = f32::NAN),
        ("lora_dropout", |c| c.lora_dropout = 1.0),
        ("target_modules", |c| c.target_modules.clear()),
        ("learning_rate", |c| c.learning_rate = 0.0),
        ("num_train_epochs", |c| c.num_train_epochs = 0),
        ("max_steps", |c| c.max_steps = Some(0)),
        ("micro_batch_size", |c| c.micro_batch_size = 0),
        ("gradient_accumulation_steps", |c| c.gradient_accumulation_steps = 0),
        ("max_seq_len", |c| c.max_seq_len = 1),
        ("warmup_ratio", |c| c.warmup_ratio = f64::NAN),
        ("weight_decay", |c| c.weight_decay = -1.0),
        ("adam_beta1", |c| c.adam_beta1 = 1.0),
        ("adam_beta2", |c| c.adam_beta2 = -0.1),
        ("adam_epsilon", |c| c.adam_epsilon = 0.0),
        ("max_grad_norm", |c| c.max_grad_norm = f64::INFINITY),
        ("save_steps", |c| c.save_steps = 0),
        ("eval_steps", |c| c.eval_steps = Some(0)),
    ];
    assert!(TrainConfig::default().validate().is_ok());
    for (field, break_it) in broken {
        let mut config = TrainConfig::default();
        break_it(&mut config);
        let message = config.validate().expect_err(field).to_string();
        assert!(message.starts_with(&format!("`{field}` is ")), "{field}: {message}");
        assert!(message.contains(", expected "), "{field}: {message}");
    }
}

#[test]
fn a_configuration_is_read_in_hugging_face_words() {
    let text = "r = 8\nlora_alpha = 16\ntarget_modules = [\"v_proj\", \"q_proj\"]\n\
                lr_scheduler_type = \"constant_with_warmup\"";
    let config: TrainConfig = toml::from_str(text).unwrap();
    assert_eq!(config.lora().target_modules, [TargetModule::QProj, TargetModule::VProj]);
    assert_eq!(config.lr_scheduler_type, Schedule::ConstantWithWarmup);
    assert_eq!((config.learning_rate, config.r), (2e-4, 8));
    let misspelt = toml::from_str::<TrainConfig>("learning_rat = 1").unwrap_err().to_string();
    assert!(misspelt.contains("unknown field `learning_rat`"), "{misspelt}");
}

/// Values by hand from the formula of `get_cosine_schedule_with_warmup`: 10 steps, 2 of them warm-up.
#[test]
fn the_schedule_is_hugging_faces() {
    let config = |lr_scheduler_type| TrainConfig {
        learning_rate: 8.0,
        warmup_ratio: 0.2,
        lr_scheduler_type,
        ..TrainConfig::default()
    };
    let check = |schedule, expected: [f64; 10]| {
        for (step, expected) in expected.into_iter().enumerate() {
            let rate = learning_rate(&config(schedule), step as u64, 10);
            // f64 arithmetic against values written with 9 digits.
            assert!((rate - expected).abs() <= 1e-8, "{schedule:?} step {step}: {rate} {expected}");
        }
    };
    let cosine = [
        0.0,
        4.0,
        8.0,
        7.695_518_130,
        6.828_427_125,
        5.530_733_729,
        4.0,
        2.469_266_271,
        1.171_572_875,
        0.304_481_870,
    ];
    check(Schedule::Cosine, cosine);
    check(Schedule::Linear, [0.0, 4.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
    check(Schedule::ConstantWithWarmup, [0.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0]);
}

#[test]
fn the_warm_up_is_rounded_up_and_may_be_nothing_or_everything() {
    let config = |warmup_ratio| TrainConfig { warmup_ratio, learning_rate: 1.0, ..TrainConfig::default() };
    assert_eq!(warmup_steps(&config(0.03), 30), 1);
    assert_eq!(warmup_steps(&config(0.03), 34), 2);
    assert_eq!(warmup_steps(&config(0.0), 30), 0);
    assert_eq!(learning_rate(&config(0.0), 0, 30), 1.0);
    assert_eq!(learning_rate(&config(1.0), 3, 4), 0.75);
    assert_eq!(learning_rate(&config(0.0), 0, 1), 1.0);
}

#[test]
fn first_fit_by_hand() {
    // 5 opens row 0; 4 does not fit in its 3 and opens row 1; 3 fills row 0; 4 fills row 1; 1 opens row 2.
    let rows = first_fit(&[0, 1, 2, 3, 4], &[5, 4, 3, 4, 1], 8);
    assert_eq!(rows, [vec![0, 2], vec![1, 3], vec![4]]);
    assert!(first_fit(&[], &[], 8).is_empty());
}

#[test]
fn a_row_is_shifted_and_keeps_samples_apart() {
    let samples = [
        Sample::new(vec![1, 2, 3, 4], vec![false, false, true, true]),
        // Two answers with a question between them.
        Sample::new(vec![5, 6, 7, 8], vec![false, true, false, true]),
    ];
    let mut row = PackedRow { tokens: vec![9], targets: vec![None], segments: Vec::from([0..1, 1..1]) };
    fill_row(&mut row, &samples, &[1, 0]);
    assert_eq!(row.tokens, [5, 6, 7, 1, 2, 3]);
    assert_eq!(row.targets, [Some(6), None, Some(8), None, Some(3), Some(4)]);
    assert_eq!(row.segments, [0..3, 3..6]);
    assert_eq!(samples[1].targets().collect::<Vec<_>>(), [6, 8]);
}

fn packing(capacity: usize, seed: u64) -> Packing {
    Packing { capacity, seed, shuffle: true, shared_rows: true }
}

#[test]
fn without_packing_and_shuffling_rows_are_the_samples_in_their_order() {
    let lengths = [3, 1, 4, 1, 5];
    let how = Packing { shuffle: false, shared_rows: false, ..packing(9, 1) };
    assert_eq!(epoch_rows(&lengths, how, 7), [[0], [1], [2], [3], [4]]);
    let packed = epoch_rows(&lengths, Packing { shared_rows: true, ..how }, 7);
    assert_eq!(packed, [vec![0, 1, 2, 3], vec![4]]);
    let shuffled = epoch_rows(&lengths, Packing { shuffle: true, ..how }, 7);
    assert!(shuffled.iter().all(|row| row.len() == 1) && shuffled != [[0], [1], [2], [3], [4]]);
}

proptest! {
    #[test]
    fn an_epoch_has_every_sample_once_and_is_a_function_of_seed_and_epoch(
        lengths in proptest::collection::vec(1_usize..40, 1..80),
        seed in any::<u64>(),
        epoch in 0_u64..1000,
    ) {
        let rows = epoch_rows(&lengths, packing(40, seed), epoch);
        prop_assert_eq!(&rows, &epoch_rows(&lengths, packing(40, seed), epoch));
        let mut seen: Vec<usize> = rows.iter().flatten().copied().collect();
        seen.sort_unstable();
        prop_assert!(seen.into_iter().eq(0..lengths.len()));
        let filled: Vec<usize> = rows.iter().map(|row| row.iter().map(|&i| lengths[i]).sum()).collect();
        prop_assert!(filled.iter().all(|&tokens| tokens > 0 && tokens <= 40), "{:?}", filled);
        // First-fit never leaves two rows that would fit into one.
        prop_assert!(filled.iter().filter(|&&tokens| tokens <= 20).count() <= 1, "{:?}", filled);
    }

    #[test]
    fn the_timeline_walks_whole_epochs_or_exactly_max_steps(
        lengths in proptest::collection::vec(1_usize..30, 1..40),
        gradient_accumulation_steps in 1_usize..5,
        max_steps in proptest::option::of(1_u64..60),
        seed in any::<u64>(),
    ) {
        let config = TrainConfig {
            gradient_accumulation_steps, max_steps, seed, max_seq_len: 30, ..TrainConfig::default()
        };
        let mut timeline = Timeline::new(&config, 1, lengths.clone());
        let (mut trained, mut tokens) = (Vec::new(), 0);
        for step in 0..timeline.total_steps {
            let window = timeline.window(step);
            prop_assert!(!window.is_empty() && window.len() <= gradient_accumulation_steps);
            let samples: Vec<usize> = window.iter().flatten().copied().collect();
            tokens += samples.iter().map(|&i| lengths[i]).sum::<usize>();
            trained.extend(samples);
        }
        prop_assert_eq!(tokens as u64, timeline.total_tokens);
        if let Some(steps) = max_steps {
            prop_assert_eq!(timeline.total_steps, steps);
        } else {
            prop_assert_eq!(trained.len(), 3 * lengths.len());
        }
        for epoch in trained.chunks_exact(lengths.len()) {
            let mut epoch = epoch.to_vec();
            epoch.sort_unstable();
            prop_assert!(epoch.into_iter().eq(0..lengths.len()));
        }
        // A resumed run asks for its first step without having asked for those before.
        let last = timeline.total_steps - 1;
        let expected = timeline.window(last).to_vec();
        let mut resumed = Timeline::new(&config, 1, lengths);
        prop_assert_eq!(resumed.window(last), &expected[..]);
    }
}

#[test]
fn epochs_and_seeds_shuffle_differently() {
    let lengths = [1; 50];
    let order = |seed, epoch| epoch_rows(&lengths, packing(1, seed), epoch);
    assert_ne!(order(1, 0), order(1, 1));
    assert_ne!(order(1, 0), order(2, 0));
    assert_ne!(order(1, 0), (0..50).map(|i| vec![i]).collect::<Vec<_>>());
}

#[test]
fn the_plan_by_hand() {
    let fixture = Fixture::new();
    let train = encoded((0..5).map(|i| sample(i, 3, 6)).collect());
    let config = TrainConfig {
        r: 2,
        target_modules: vec![TargetModule::KProj],
        max_seq_len: 16,
        gradient_accumulation_steps: 2,
        num_train_epochs: 2,
        ..TrainConfig::default()
    };
    let plan = plan(&Job { config: &config, train: &train, ..fixture.job(Path::new("")) }).unwrap();
    // Five samples of 8 positions, two per row: 3 rows, 2 steps per epoch.
    assert_eq!((plan.samples, plan.rows_per_epoch, plan.epochs, plan.steps), (5, 3, 2, 4));
    assert_eq!((plan.tokens_per_epoch, plan.targets_per_epoch, plan.tokens), (40, 30, 80));
    assert_eq!((plan.validation_tokens, plan.longest_row), (27, 16));
    // Two layers; k_proj is 8 x 16, so A has 2 * 16 and B 8 * 2 numbers.
    assert_eq!(plan.trainable_parameters, 2 * (32 + 16));
    assert_eq!((plan.memory.optimizer, plan.memory.checkpoint), (4 * 4 * 96, 3 * 4 * 96));
    // 40 positions in 3 rows of 16.
    assert!((plan.packing_efficiency - 40.0 / 48.0).abs() <= 1e-12);
    let needed = plan.memory.total();
    assert!(plan.require(needed).is_ok());
    let error = plan.require(needed - 1).unwrap_err();
    assert_eq!(error.hint().unwrap(), "use `--gradient-checkpointing layer`");
    let hint = plan.require(1000).unwrap_err().hint().unwrap();
    assert!(hint.contains("`--max-seq-len` below 16"), "{hint}");
}

#[test]
#[should_panic(expected = "the loss starts after the first token")]
fn a_sample_ends_with_a_target() {
    Sample::new(vec![1, 2, 3], vec![false, true, false]);
}
