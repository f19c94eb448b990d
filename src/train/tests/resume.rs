//! A run stopped anywhere and resumed has the files of an uninterrupted one, byte for byte; a checkpoint that
//! does not fit is refused by name.

use std::fs;
use std::sync::atomic::Ordering;

use super::fixture::{Fixture, files, sample};
use crate::train::{Error, Event, Outcome};

const STEPS: u64 = 6;

#[test]
fn an_interrupt_after_any_step_changes_nothing() {
    let fixture = Fixture::new();
    let whole = fixture.out("whole");
    let Outcome::Finished(expected) = fixture.run(&whole).unwrap() else { panic!("not interrupted") };
    assert_eq!(expected.steps, STEPS);
    for step in 1..STEPS {
        let out = fixture.out(&format!("stopped_{step}"));
        let outcome = fixture.run_until(&out, step).unwrap();
        assert_eq!(outcome, Outcome::Interrupted { step, total_steps: STEPS });
        let Outcome::Finished(mut resumed) = fixture.run(&out).unwrap() else { panic!("not interrupted") };
        resumed.adapter_gguf.clone_from(&expected.adapter_gguf);
        resumed.adapter_peft.clone_from(&expected.adapter_peft);
        assert_eq!(resumed, expected, "stopped after step {step}");
        assert!(files(&out) == files(&whole), "stopped after step {step}");
    }
}

#[test]
fn an_interrupt_before_the_first_step_is_resumable() {
    let fixture = Fixture::new();
    let (whole, out) = (fixture.out("whole"), fixture.out("out"));
    fixture.run(&whole).unwrap();
    let at_start = fixture.run_with(&out, |_, interrupt| interrupt.store(true, Ordering::Relaxed)).unwrap();
    assert_eq!(at_start, Outcome::Interrupted { step: 0, total_steps: STEPS });
    fixture.run(&out).unwrap();
    assert!(files(&out) == files(&whole));
}

/// Every event of the run is a place to die: in the middle of a step, of a validation pass, right after a
/// checkpoint. What a write cut in half leaves behind is added.
#[test]
fn a_kill_at_any_event_changes_nothing() {
    let fixture = Fixture::new();
    let whole = fixture.out("whole");
    fixture.run(&whole).unwrap();
    let expected = files(&whole);
    let mut kills = 0;
    loop {
        let out = fixture.out(&format!("killed_{kills}"));
        if !fixture.run_and_kill(&out, kills) {
            break;
        }
        let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
        fs::write(out.join("metrics.jsonl"), metrics + r#"{"event":"step","st"#).unwrap();
        fs::write(out.join(".checkpoint.safetensors.partial"), &expected["checkpoint.safetensors"][..100])
            .unwrap();
        fixture.run(&out).unwrap();
        assert!(files(&out) == expected, "killed at event {kills}");
        kills += 1;
    }
    // Six steps of at least one row each, four validation passes, and checkpoints.
    assert!(kills >= 25, "only {kills} events");
}

#[test]
fn a_finished_run_is_not_trained_again() {
    let fixture = Fixture::new();
    let out = fixture.out("out");
    let first = fixture.run(&out).unwrap();
    let expected = files(&out);
    fs::remove_file(out.join("adapter.gguf")).unwrap();
    let again = fixture
        .run_with(&out, |event, _| {
            assert!(matches!(event, Event::Started { steps_done: STEPS, .. }), "{event:?}");
        })
        .unwrap();
    assert_eq!(again, first);
    assert!(files(&out) == expected);
}

#[test]
fn the_validation_loss_before_is_computed_once() {
    let fixture = Fixture::new();
    let out = fixture.out("out");
    fixture.run_until(&out, 1).unwrap();
    let mut evals = Vec::new();
    let resumed = fixture.run_with(&out, |event, _| {
        if let Event::Eval(metrics) = event {
            evals.push(metrics.step);
        }
    });
    assert!(matches!(resumed, Ok(Outcome::Finished(summary)) if summary.validation_loss_before.is_some()));
    assert_eq!(evals, [3, STEPS]);
}

#[test]
fn a_checkpoint_of_another_run_is_refused_by_the_difference() {
    let out_of = |fixture: &Fixture| {
        let out = fixture.out("out");
        fixture.run_until(&out, 1).unwrap();
        out
    };
    let refused = |fixture: &Fixture| {
        let out = fixture.out("out");
        let before = fs::read(out.join("checkpoint.safetensors")).unwrap();
        let error = fixture.run(&out).unwrap_err();
        assert!(fs::read(out.join("checkpoint.safetensors")).unwrap() == before);
        error.to_string().split_once("different run: ").expect("another run").1.to_owned()
    };
    let mut fixture = Fixture::new();
    out_of(&fixture);
    fixture.config.learning_rate = 0.25;
    assert_eq!(refused(&fixture), "`learning_rate` was `0.005`, is now `0.25`");
    let mut fixture = Fixture::new();
    out_of(&fixture);
    fixture.config.eval_steps = None;
    assert_eq!(refused(&fixture), "`eval_steps` was `3`, is now `null`");
    let mut fixture = Fixture::new();
    out_of(&fixture);
    fixture.train.samples.push(sample(99, 3, 3));
    assert!(refused(&fixture).starts_with("`train_data` was "));
    let mut fixture = Fixture::new();
    out_of(&fixture);
    fixture.validation.samples.pop();
    assert!(refused(&fixture).starts_with("`validation_data` was "));
}

#[test]
fn how_often_to_save_may_change_on_resume() {
    let mut fixture = Fixture::new();
    let (whole, out) = (fixture.out("whole"), fixture.out("out"));
    fixture.run(&whole).unwrap();
    fixture.run_until(&out, 3).unwrap();
    fixture.config.save_steps = 1;
    fixture.run(&out).unwrap();
    assert!(files(&out) == files(&whole));
}

#[test]
fn files_that_do_not_fit_are_refused() {
    let fixture = Fixture::new();
    let out = fixture.out("foreign");
    fs::create_dir_all(&out).unwrap();
    fs::write(out.join("adapter.gguf"), "somebody's").unwrap();
    assert!(matches!(fixture.run(&out), Err(Error::WouldOverwrite { .. })));
    assert_eq!(fs::read(out.join("adapter.gguf")).unwrap(), b"somebody's");

    let out = fixture.out("cut");
    fixture.run_until(&out, 2).unwrap();
    let checkpoint = out.join("checkpoint.safetensors");
    let bytes = fs::read(&checkpoint).unwrap();
    for len in [0, 7, 100, bytes.len() - 1] {
        fs::write(&checkpoint, &bytes[..len]).unwrap();
        assert!(matches!(fixture.run(&out), Err(Error::BadCheckpoint { .. })), "cut to {len}");
    }
    fs::write(&checkpoint, &bytes).unwrap();
    let metrics = fs::read(out.join("metrics.jsonl")).unwrap();
    fs::write(out.join("metrics.jsonl"), &metrics[..metrics.len() - 1]).unwrap();
    let error = fixture.run(&out).unwrap_err();
    assert!(matches!(error, Error::MetricsLost { found, expected, .. } if found + 1 == expected), "{error}");
    fs::write(out.join("metrics.jsonl"), &metrics).unwrap();
    fixture.run(&out).unwrap();
}

#[test]
fn two_runs_cannot_share_a_folder() {
    let fixture = Fixture::new();
    let out = fixture.out("out");
    let mut tried = false;
    fixture
        .run_with(&out, |_, _| {
            if !tried {
                tried = true;
                assert!(matches!(fixture.run(&out), Err(Error::InUse { .. })));
            }
        })
        .unwrap();
    assert!(tried);
}
