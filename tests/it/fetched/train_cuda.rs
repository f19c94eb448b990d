//! Catches GPU losses that leave the CPU's, an adapter from a GPU that llama.cpp does not run, and a program
//! that does not find the GPU by itself. Runs on the simulated GPU where there is no driver.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use cudasim::driver::Config;
use cudasim::loader;
use evol::dataset::Example;
use evol::device::CpuPool;
use evol::device::cuda::{CudaDevice, MixedPrecision};
use evol::gguf::Gguf;
use evol::llm::{Message, Tokenizer, reference_logits};
use evol::model::Llama;
use evol::train::{
    Backend, Encoded, Event, Host, Job, Outcome, Overlong, Schedule, TrainConfig, encode, train,
};

use super::llama_cpp::write_f32_copy;
use super::model_path;
use crate::evol;

const STEPS: u64 = 20;

fn data(tokenizer: &Tokenizer) -> Encoded {
    let message = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned() };
    let example = |question: &str, answer: &str| Example {
        messages: vec![message("user", question), message("assistant", answer)],
    };
    let examples = [
        example("Name a harbour.", "Kiel has a harbour that freezes seldom."),
        example("What do cranes sort?", "Blue cranes sort red boxes all day."),
        example("Where does the ferry go?", "It leaves for Oslo at two."),
    ];
    encode(tokenizer, &examples, 256, Overlong::Drop).unwrap()
}

/// Losses of all steps, and of the validation passes; with `stop_after`, until that step.
fn run(
    model: &Llama,
    data: &Encoded,
    out: &Path,
    cuda: Option<(&CudaDevice, MixedPrecision)>,
    stop_after: Option<u64>,
) -> Vec<f64> {
    let config = TrainConfig {
        r: 8,
        lora_alpha: 16.0,
        learning_rate: 5e-4,
        max_steps: Some(STEPS),
        gradient_accumulation_steps: 1,
        max_seq_len: 64,
        warmup_ratio: 0.1,
        lr_scheduler_type: Schedule::Cosine,
        save_steps: 10,
        ..TrainConfig::default()
    };
    let (interrupt, start) = (AtomicBool::new(false), Instant::now());
    let mut losses = Vec::new();
    let mut host = Host {
        clock: &|| start.elapsed(),
        peak_memory: &|| None,
        interrupt: &interrupt,
        on_event: &mut |event| match event {
            Event::Step { metrics, .. } => {
                losses.push(metrics.loss);
                interrupt.store(Some(metrics.step) == stop_after, Ordering::Relaxed);
            }
            Event::Eval(metrics) => losses.push(metrics.validation_loss),
            _ => {}
        },
    };
    let pool = CpuPool::new(0).unwrap();
    let job = Job {
        model,
        model_sha256: "of the default model",
        model_name: None,
        backend: match cuda {
            Some((gpu, precision)) => Backend::Cuda { gpus: std::slice::from_ref(gpu), precision },
            None => Backend::Cpu(&pool),
        },
        config: &config,
        init_adapter: None,
        train: data,
        validation: data,
        out,
        tensorboard: false,
    };
    let outcome = train(&job, &mut host).unwrap();
    assert_eq!(matches!(outcome, Outcome::Finished(_)), stop_after.is_none());
    losses
}

/// llama.cpp's mean negative log-likelihood over all targets.
fn reference_loss(model: &Path, adapter: &Path, data: &Encoded) -> f64 {
    let (mut nll, mut count) = (0.0, 0);
    for sample in &data.samples {
        let tokens = sample.tokens();
        let logits = reference_logits(model, Some(adapter), tokens).unwrap();
        let rows = logits.chunks_exact(logits.len() / tokens.len());
        // The answer is the end of the conversation.
        let targets = sample.targets().count();
        for (row, &target) in rows.zip(&tokens[1..]).skip(tokens.len() - 1 - targets) {
            let max = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let sum: f64 = row.iter().map(|&logit| (f64::from(logit) - max).exp()).sum();
            nll += max + sum.ln() - f64::from(row[target as usize]);
            count += 1;
        }
    }
    nll / f64::from(count)
}

/// All thirty layers, twenty steps: within 1e-3 in f32 and 2e-2 in bf16 of the CPU's losses. A run that was
/// stopped ends with the same bytes.
#[test]
fn the_real_model_learns_on_a_gpu_what_it_learns_on_the_cpu() {
    let model = Llama::load(Arc::new(Gguf::open(&model_path()).unwrap())).unwrap();
    let data = data(&Tokenizer::load(&model_path()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name);
    let wanted = run(&model, &data, &out("cpu"), None, None);
    let _turn = crate::device_turn();
    if let loader::Device::Simulated(simulator) = loader::device() {
        simulator.configure(&Config::default());
    }
    let device = CudaDevice::new(0).unwrap();
    for (name, precision, limit) in [("f32", MixedPrecision::No, 1e-3), ("bf16", MixedPrecision::Bf16, 2e-2)]
    {
        let got = run(&model, &data, &out(name), Some((&device, precision)), None);
        assert_eq!(got.len(), wanted.len());
        for (i, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
            assert!((got - wanted).abs() <= limit * wanted, "{name}, {i}: {got}, wanted {wanted}");
        }
    }
    run(&model, &data, &out("resumed"), Some((&device, MixedPrecision::Bf16)), Some(7));
    run(&model, &data, &out("resumed"), Some((&device, MixedPrecision::Bf16)), None);
    for file in ["adapter.gguf", "peft/adapter_model.safetensors"] {
        assert!(
            fs::read(out("bf16").join(file)).unwrap() == fs::read(out("resumed").join(file)).unwrap(),
            "{file}"
        );
    }
    let f32_copy = out("f32.gguf");
    write_f32_copy(&model_path(), &f32_copy);
    let theirs = reference_loss(&f32_copy, &out("f32").join("adapter.gguf"), &data);
    let ours = wanted[wanted.len() - 1];
    // As for the CPU: logits agree within 2e-3 on an f32 copy.
    assert!((theirs - ours).abs() <= 4e-3, "llama.cpp {theirs}, ours {ours}");
    drop(device);
    if let loader::Device::Simulated(simulator) = loader::device() {
        assert_eq!(simulator.report().findings, []);
    }
}

/// A folder in which programs find the simulated device under the names of the driver, of cuBLAS and of NCCL.
pub(crate) fn driver(folder: &Path) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let simulator = program.parent().unwrap().join("libcudasim.so");
    let driver = folder.join("driver");
    fs::create_dir(&driver).unwrap();
    for name in ["libcuda.so", "libcublas.so", "libnccl.so"] {
        symlink(&simulator, driver.join(name)).unwrap();
    }
    driver
}

#[test]
fn the_program_trains_on_a_gpu_that_it_finds() {
    let folder = tempfile::tempdir().unwrap();
    let model = super::models::two_layers(folder.path());
    let data = folder.path().join("data.jsonl");
    fs::write(&data, r#"{"instruction": "Name a harbour.", "output": "Kiel has one."}"#).unwrap();
    let driver = driver(folder.path());
    let paths = [&model, &data].map(|path| path.to_str().unwrap().to_owned());
    let train = |device: &str, extra: &[&str]| {
        let mut command = evol();
        command.current_dir(folder.path()).env("LD_LIBRARY_PATH", &driver);
        command.args([
            "train", "--base", &paths[0], "--data", &paths[1], "--out", "adapter", "--device", device,
        ]);
        command.args(["--max-steps", "2", "--gradient-accumulation-steps", "1"]).args(extra);
        command.output().unwrap()
    };
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();

    let plan = train("cuda", &["--dry-run"]);
    let text = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(plan.status.success() && text.contains("memory on the GPU: base"), "{text}{}", said(&plan));
    let trained = train("cuda", &["--json"]);
    assert!(trained.status.success(), "{}", said(&trained));
    assert!(folder.path().join("adapter/adapter.gguf").is_file());
    let absent = train("cuda:3", &[]);
    assert_eq!(absent.status.code(), Some(2));
    assert!(
        said(&absent).contains("device `cuda:3` does not exist: this machine has 1"),
        "{}",
        said(&absent)
    );

    let bench = evol()
        .env("LD_LIBRARY_PATH", &driver)
        .args(["bench", "train", "--steps", "2", "--tokens", "32", "--json", "--device", "cuda", "--model"])
        .arg(&model)
        .output()
        .unwrap();
    assert!(bench.status.success(), "{}", said(&bench));
    let figures: serde_json::Value = serde_json::from_slice(&bench.stdout).unwrap();
    let figure = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("{name} in {figures}"));
    assert!(figure("tokens_per_second") > 0.0 && figure("gemm_fraction") > 0.0);
    // The plan has room for what a real cuBLAS takes; nothing else is in it that is not taken.
    let (taken, planned) = (figure("device_bytes"), figure("planned_device_bytes"));
    assert!(taken > 0.0 && taken <= planned, "{taken} of {planned}");

    let doctor =
        evol().env("LD_LIBRARY_PATH", &driver).args(["doctor", "--device", "cuda"]).output().unwrap();
    let report = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(report.contains("cuda:0") && report.contains("capability 8.0"), "{report}");
}
