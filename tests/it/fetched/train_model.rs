//! Catches training that no longer lowers the loss, resumes with other bits, or gives a model that llama.cpp
//! computes differently.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use evol::dataset::Example;
use evol::device::CpuPool;
use evol::gguf::Gguf;
use evol::llm::{Message, Tokenizer, reference_logits};
use evol::lora::LoraWeights;
use evol::model::Llama;
use evol::train::{
    Backend, Encoded, Event, Host, Job, Outcome, Overlong, Schedule, TrainConfig, TrainSummary, encode, train,
};

use super::llama_cpp::write_f32_copy;
use super::model_path;

/// Logits agree within 2e-3 on an f32 copy (see `logits`), so a log-likelihood does within twice that. On the
/// quantized file llama.cpp rounds activations to 8 bits, which a mean over so few targets does not even out.
const NLL_TOLERANCE: f64 = 4e-3;

fn data(tokenizer: &Tokenizer) -> Encoded {
    let message = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    let question = message("user", "Write one sentence about the harbour of Kiel.");
    let answer = message("assistant", "Blue cranes sort red boxes while a ferry leaves for Oslo.");
    encode(tokenizer, &[Example { messages: vec![question, answer] }], 256, Overlong::Drop).unwrap()
}

/// Trains into `out`; with `stop_after`, interrupts after that step.
fn run(model: &Llama, data: &Encoded, out: &Path, stop_after: Option<u64>) -> Outcome {
    let config = TrainConfig {
        r: 8,
        lora_alpha: 16.0,
        learning_rate: 2e-3,
        max_steps: Some(3),
        gradient_accumulation_steps: 1,
        max_seq_len: 256,
        warmup_ratio: 0.0,
        lr_scheduler_type: Schedule::ConstantWithWarmup,
        ..TrainConfig::default()
    };
    let interrupt = AtomicBool::new(false);
    let start = Instant::now();
    let mut host = Host {
        clock: &|| start.elapsed(),
        peak_memory: &|| None,
        interrupt: &interrupt,
        on_event: &mut |event| {
            if matches!(event, Event::Step { metrics, .. } if Some(metrics.step) == stop_after) {
                interrupt.store(true, Ordering::Relaxed);
            }
        },
    };
    let job = Job {
        model,
        model_sha256: "of the default model",
        model_name: None,
        backend: Backend::Cpu(&CpuPool::new(0).unwrap()),
        config: &config,
        init_adapter: None,
        train: data,
        validation: data,
        out,
        tensorboard: false,
    };
    train(&job, &mut host).unwrap()
}

/// llama.cpp's mean negative log-likelihood of the sample's targets.
fn reference_loss(model: &Path, adapter: Option<&Path>, data: &Encoded) -> f64 {
    let tokens = data.samples[0].tokens();
    let logits = reference_logits(model, adapter, tokens).unwrap();
    let targets = data.samples[0].targets().count();
    let rows = logits.chunks_exact(logits.len() / tokens.len());
    let nll = rows.zip(&tokens[1..]).skip(tokens.len() - 1 - targets).map(|(logits, &target)| {
        let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - max).exp()).sum();
        max + sum.ln() - f64::from(logits[target as usize])
    });
    nll.sum::<f64>() / targets as f64
}

#[test]
fn three_steps_lower_the_loss_and_llama_cpp_runs_the_result() {
    let model = Llama::load(Arc::new(Gguf::open(&model_path()).unwrap())).unwrap();
    let data = data(&Tokenizer::load(&model_path()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (whole, resumed) = (folder.path().join("whole"), folder.path().join("resumed"));
    let Outcome::Finished(summary) = run(&model, &data, &whole, None) else { panic!("not interrupted") };
    let TrainSummary { validation_loss_before, validation_loss_after, .. } = summary;
    let (before, after) = (validation_loss_before.unwrap(), validation_loss_after.unwrap());
    // A repeated sample of 15 targets at this rate: well over half a nat in three steps.
    assert!(after <= before - 0.5, "{before} {after}");

    let f32_copy = folder.path().join("f32.gguf");
    write_f32_copy(&model_path(), &f32_copy);
    for (adapter, ours) in [(None, before), (Some(&*summary.adapter_gguf), after)] {
        let theirs = reference_loss(&f32_copy, adapter, &data);
        assert!((theirs - ours).abs() <= NLL_TOLERANCE, "{adapter:?}: llama.cpp {theirs}, ours {ours}");
    }
    let base = model.config().base_shape();
    let from_gguf = LoraWeights::read_gguf(&summary.adapter_gguf, &base).unwrap();
    let from_peft = LoraWeights::read_peft(&summary.adapter_peft, &base).unwrap();
    assert!(from_gguf.data == from_peft.data, "the two adapter files differ");

    let stopped = run(&model, &data, &resumed, Some(1));
    assert_eq!(stopped, Outcome::Interrupted { step: 1, total_steps: 3 });
    assert!(matches!(run(&model, &data, &resumed, None), Outcome::Finished(_)));
    for file in ["adapter.gguf", "peft/adapter_model.safetensors"] {
        assert!(fs::read(whole.join(file)).unwrap() == fs::read(resumed.join(file)).unwrap(), "{file}");
    }
}
