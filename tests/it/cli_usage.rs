//! Catches a wrong command line that is accepted or badly explained, and commands and flags that the
//! documentation lacks.

use crate::{evol, refused};
use insta::assert_snapshot;
use std::fs;
use std::path::Path;

/// Every command of the grammar, without clap's own `help`.
fn commands() -> Vec<String> {
    evol::cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect()
}

#[test]
fn every_command_is_documented() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    assert!(commands().len() >= 7, "{:?}", commands());
    for name in commands() {
        assert!(readme.contains(&format!("| `evol {name}")), "README's table has no row for `evol {name}`");
        let output = evol().args([&name, "--help"]).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{name}");
        for part in ["Usage: evol", "Examples:", "--seed", "--json"] {
            assert!(help.contains(part), "`evol {name} --help` has no `{part}`:\n{help}");
        }
    }
}

#[test]
fn every_flag_says_what_it_does() {
    let grammar = evol::cli::command();
    let nested = grammar.get_subcommands().flat_map(clap::Command::get_subcommands);
    for command in grammar.get_subcommands().chain(nested) {
        assert!(
            command.get_about().is_some() && command.get_long_about().is_some(),
            "{}",
            command.get_name()
        );
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "`{}` of `evol {}`",
                argument.get_id(),
                command.get_name()
            );
        }
    }
    evol::cli::command().debug_assert();
}

#[test]
fn the_flags_that_readme_shows_exist() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let known: Vec<String> = evol::cli::command()
        .get_subcommands()
        .flat_map(|c| c.get_arguments().filter_map(|a| a.get_long()).map(str::to_owned).collect::<Vec<_>>())
        .chain(evol::cli::command().get_arguments().filter_map(|a| a.get_long()).map(str::to_owned))
        .chain(["help".to_owned()])
        .collect();
    let lines = readme.lines().filter(|line| line.contains("evol "));
    let shown: Vec<&str> = lines
        .flat_map(|line| line.split_whitespace().filter_map(|word| word.trim_matches('`').strip_prefix("--")))
        .collect();
    assert!(shown.len() > 5, "README shows too few flags for this to mean anything");
    for flag in shown {
        let flag = flag.split_once('=').map_or(flag, |(flag, _)| flag);
        assert!(known.iter().any(|k| k == flag), "README shows `--{flag}`, which no command has");
    }
}

#[test]
fn no_command_is_help_and_wrong_usage() {
    let output = evol().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8(output.stderr).unwrap().contains("Usage: evol"));
}

#[test]
fn wrong_flags_are_wrong_usage() {
    for arguments in [
        &["train", "--rank", "8"][..],
        &["doctor", "--threads", "many"],
        &["export", "run"],
        &["frobnicate"],
        &["train", "--model", "m", "--data", "d", "--out", "o", "--target-modules", "q_proj,z_proj"],
    ] {
        let output = evol().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: "), "{arguments:?}");
    }
}

#[test]
fn values_out_of_range_name_flag_value_and_range() {
    let folder = tempfile::tempdir().unwrap();
    assert_snapshot!(
        refused(folder.path(), &["doctor", "--threads", "0"]),
        @"error: `--threads` is 0, expected 1 to 512"
    );
    assert_snapshot!(
        refused(folder.path(), &["doctor", "--device", "gpu"]),
        @"error: invalid value 'gpu' for '--device <DEVICE>': expected `auto`, `cpu`, `cuda`, `cuda:N`, or \
          several: `cuda:0,1`\n\nFor more information, try '--help'."
    );
    let train = ["train", "--model", "m.gguf", "--data", "d.jsonl", "--out", "o"];
    assert_snapshot!(
        refused(folder.path(), &[&train[..], &["--r", "0"]].concat()),
        @"error: `r` is 0, expected 1 or more"
    );
    assert_snapshot!(
        refused(folder.path(), &[&train[..], &["--learning-rate", "nan"]].concat()),
        @"error: `learning_rate` is NaN, expected a finite number above 0"
    );
    let model = crate::tiny_model::tiny(folder.path());
    let evolve = ["evolve", "--model", model.to_str().unwrap(), "--out", "o", "--temperature", "-1"];
    assert_snapshot!(
        refused(folder.path(), &evolve),
        @"error: `sampling.temperature` is `-1`, expected a finite number, 0 or more"
    );
    let export = ["export", "run", "--out", "data", "--validation-fraction", "1"];
    assert_snapshot!(
        refused(folder.path(), &export),
        @"error: `--validation-fraction` is 1, expected at least 0 and below 1"
    );
}

#[test]
fn an_experiment_file_is_read_strictly() {
    let folder = tempfile::tempdir().unwrap();
    let run = |text: &str| {
        fs::write(folder.path().join("x.toml"), text).unwrap();
        refused(folder.path(), &["run", "x.toml"])
    };
    assert_snapshot!(
        run("model = 'm.gguf'\nout = 'run'\n[train]\nlernrate = 1\n"),
        @"error: `x.toml` line 4, column 1: unknown field `lernrate`, expected one of `r`, `rank_pattern`, \
          `lora_alpha`, `use_rslora`, `lora_dropout`, `target_modules`, `optim`, `learning_rate`, \
          `loraplus_lr_ratio`, `neftune_noise_alpha`, `num_train_epochs`, `max_steps`, `micro_batch_size`, \
          `gradient_accumulation_steps`, `max_seq_len`, `shuffle`, `packing`, `overlong`, `warmup_ratio`, \
          `warmup_steps`, `lr_scheduler_type`, `weight_decay`, `adam_beta1`, `adam_beta2`, `adam_epsilon`, \
          `max_grad_norm`, `seed`, `save_steps`, `gradient_checkpointing`, `mixed_precision`, `eval_steps`, \
          `early_stopping_patience`, `early_stopping_threshold`, `load_best_model_at_end`, \
          `max_loss_z_score`\n\nhint: `examples/quickstart.toml` shows every section and key"
    );
    assert_snapshot!(run("model = 'm.gguf'\n"), @r#"
    error: `x.toml` line 1, column 1: missing field `out`

    hint: `examples/quickstart.toml` shows every section and key
    "#);
    assert_snapshot!(run("model = 'm.gguf'\nout = 'run'\n[train]\nr = 'eight'\n"), @r#"
    error: `x.toml` line 4, column 5: invalid type: string "eight", expected usize

    hint: `examples/quickstart.toml` shows every section and key
    "#);
    assert_snapshot!(
        run("model = 'm.gguf'\nout = 'run'\n[train]\nr = 0\n"),
        @"error: section `[train]` of `x.toml`: `r` is 0, expected 1 or more"
    );
    assert_snapshot!(
        run("model = 'm.gguf'\nout = 'run'\n[train]\nseed = 1\n"),
        @"error: key `train.seed` in `x.toml` must not be set: the `seed` at the top of the file is the seed \
          of all stages\n\nhint: `examples/quickstart.toml` shows every section and key"
    );
    assert_snapshot!(run("model = "), @r#"
    error: `x.toml` line 1, column 9: string values must be quoted, expected literal string

    hint: `examples/quickstart.toml` shows every section and key
    "#);
    assert_snapshot!(
        run("model = 'm.gguf'\nout = 'run'\n"),
        @"error: model file `[FOLDER]/m.gguf` does not exist\n\n\
          hint: give a GGUF file, or the name of a known model (gemma-3-270m, \
          qwen2.5-coder-0.5b-instruct, qwen2.5-coder-1.5b-instruct, smollm2-135m-instruct) after \
          `models/fetch NAME` in evol's source folder"
    );
    assert_snapshot!(
        refused(folder.path(), &["run", "y.toml"]),
        @"error: cannot read `y.toml`: No such file or directory (os error 2)"
    );
}
