//! `evol bench train`: measures the trainer's speed and memory, and compares them with their limits.

use super::args::BenchTrainArgs;
use super::session::Session;
use crate::bench::{self, TrainFigures, TrainSettings};
use crate::device::CpuPool;
use crate::device::cuda::CudaDevice;
use crate::gguf::Gguf;
use crate::llm;
use crate::model::Llama;
use crate::run::{Error, Host as _, Result, resolve_model};
use crate::train::{Backend, TrainConfig};
use serde_json::json;
use std::fmt::Write as _;
use std::sync::Arc;

/// Runs the command.
///
/// # Errors
/// Model or settings are unusable, or the measurement was interrupted.
pub(super) fn run(args: &BenchTrainArgs, session: &Session) -> Result<()> {
    let path = resolve_model(&args.model)?;
    let model = Llama::load(Arc::new(Gguf::open(&path)?))?;
    let settings = TrainSettings {
        tokens: args.tokens,
        steps: args.steps,
        masked: args.masked,
        train: TrainConfig {
            r: args.r,
            lora_dropout: args.lora_dropout,
            micro_batch_size: args.rows,
            gradient_accumulation_steps: 1,
            gradient_checkpointing: args.gradient_checkpointing,
            seed: session.seed.unwrap_or(0),
            mixed_precision: args.mixed_precision,
            ..TrainConfig::default()
        },
    };
    let pool = CpuPool::new(session.threads)?;
    let gpu = match *session.device.ordinals() {
        [] => None,
        [ordinal] => Some(CudaDevice::new(ordinal)?),
        _ => {
            // The comparison with bare products is for a single device.
            let (flag, found) = ("--device", session.device.to_string());
            return Err(Error::Flag { flag, found, expected: "one device" });
        }
    };
    let backend = match &gpu {
        Some(gpu) => Backend::Cuda { gpus: std::slice::from_ref(gpu), precision: args.mixed_precision },
        None => Backend::Cpu(&pool),
    };
    let scratch =
        tempfile::tempdir().map_err(Error::io("cannot create a temporary directory for the run"))?;
    let interrupt = session.interrupt();
    let step = &mut |step| session.report_progress("steps", step, settings.steps + 1, "");
    let figures = bench::measure_training(&model, backend, &settings, scratch.path(), interrupt, step);
    session.progress_done();
    let figures = match figures {
        Err(bench::Error::Llm(llm::Error::Interrupted)) => return Err(Error::Interrupted),
        other => other?,
    };
    if session.output.is_json() {
        let gpu = gpu.as_ref().map(CudaDevice::info);
        let mut document =
            json!({ "model": path, "threads": session.threads, "device": gpu, "settings": settings });
        let figures = serde_json::to_value(&figures).expect("figures are numbers");
        if let Some((document, figures)) = document.as_object_mut().zip(figures.as_object()) {
            document.extend(figures.clone());
        }
        return session.output.document(&document);
    }
    let place = match &gpu {
        Some(gpu) => format!("cuda:{} ({})", gpu.info().ordinal, gpu.info().name),
        None => format!("{} threads", session.threads),
    };
    session.output.data(&table(&settings, &place, &figures))
}

fn table(settings: &TrainSettings, place: &str, figures: &TrainFigures) -> String {
    let mut text = format!(
        "{} rows of {} tokens, {:.0} % masked, {place}, {} steps\n\n",
        settings.train.window_rows(),
        settings.tokens,
        settings.masked * 100.0,
        settings.steps
    );
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<28}{value:>12}");
    };
    let absent = || "-".to_owned();
    line("tokens per second", format!("{:.1}", figures.tokens_per_second));
    line("  fastest step", format!("{:.1}", figures.best_tokens_per_second));
    line("seconds per step", format!("{:.3}", figures.seconds_per_step));
    line("CPU seconds per step", figures.cpu_seconds_per_step.map_or_else(absent, |s| format!("{s:.3}")));
    line("peak memory, MiB", figures.peak_rss_bytes.map_or_else(absent, |bytes| (bytes >> 20).to_string()));
    line("planned memory, MiB", (figures.planned_bytes >> 20).to_string());
    if let Some((planned, taken)) = figures.planned_device_bytes.zip(figures.device_bytes) {
        line("GPU memory, MiB", (taken >> 20).to_string());
        line("  planned", (planned >> 20).to_string());
    }
    line("products, GFLOP/s", format!("{:.1}", figures.gigaflop_per_step / figures.seconds_per_step));
    line("bare products, GFLOP/s", format!("{:.1}", figures.gemm_peak_gflops));
    line("share of bare products", format!("{:.1} %", figures.gemm_fraction * 100.0));
    text
}
