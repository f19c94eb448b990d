//! Catches output that depends on what must not matter (batch, order, threads, guessed tokens), on the real
//! model: the short form of `evol doctor --determinism`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use evol::llm::{
    Completion, DraftPolicy, Engine, EngineOptions, EngineStats, Error, Extent, Generate, Part, Prompt,
    Request, Restriction, Sampling, perturb,
};

use super::model_path;
use crate::evol;

/// One thread (one of the changes is a second one), because tests run side by side.
#[test]
fn batch_order_and_threads_change_no_bit() {
    let mut told = 0;
    let found =
        perturb(&model_path(), 1, Extent::Short, &Arc::default(), &mut |_, all| told += usize::from(all > 0))
            .unwrap();
    assert_eq!((found.len(), told), (9, 9));
    for perturbed in &found {
        // Ten completions of 6 to 12 tokens, three questions, three embeddings.
        assert!(perturbed.rows >= 60 && perturbed.texts == 10, "{perturbed:?}");
        assert_eq!((perturbed.differing_rows, perturbed.differing_texts), (0, 0), "{perturbed:?}");
    }
}

#[test]
fn comparing_ends_when_it_is_interrupted() {
    let interrupt = Arc::new(AtomicBool::new(true));
    let result = perturb(&model_path(), 1, Extent::Short, &interrupt, &mut |_, _| ());
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    interrupt.store(false, Ordering::Relaxed);
}

#[test]
fn the_matrix_is_of_a_model() {
    let output = evol().args(["doctor", "--determinism"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("--model"), "{stderr}");
}

/// Lines that repeat themselves, greedily continued: what follows is easy to guess.
fn repeating(drafts: DraftPolicy) -> (Vec<Completion>, EngineStats) {
    let model = model_path();
    let mut engine = Engine::load(EngineOptions { drafts, ..EngineOptions::new(&model, 1) }).unwrap();
    let requests: Vec<Request> = (0..2)
        .map(|id| Request {
            id,
            prompt: Prompt {
                parts: vec![Part {
                    text: "The cat sat on the mat and the dog lay by the door.\n".repeat(4),
                    special: false,
                }],
                shared: 0,
            },
            sampling: Sampling { temperature: 0.5 * id as f32, ..Sampling::default() },
            stop: Vec::new(),
            max_tokens: 40,
            key: id,
            sample: 0,
            restriction: Restriction::None,
        })
        .collect();
    (engine.generate(&requests).unwrap(), engine.stats())
}

#[test]
fn guesses_save_batches_and_change_nothing() {
    let (plain, without) = repeating(DraftPolicy::Off);
    assert_eq!((without.drafted_tokens, without.accepted_tokens), (0, 0));
    let (drafted, with) = repeating(DraftPolicy::Always(4));
    assert_eq!(drafted, plain);
    assert!(with.accepted_tokens > 10 && with.accepted_tokens <= with.drafted_tokens, "{with:?}");
    assert!(with.decode_batches < without.decode_batches, "{with:?} {without:?}");
    assert_eq!(with.generated_tokens, without.generated_tokens, "what was guessed wrongly is not counted");
    assert_eq!(repeating(DraftPolicy::Measured).0, plain);
}
