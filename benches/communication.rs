//! The tables of docs/scale.md on training with several GPUs: the time of an all-reduce of the
//! adapter's gradient beside that of a step (`cargo bench --bench communication`).
//!
//! Arithmetic, not a measurement: sizes are counted by the code that lays the adapter out, speeds are those
//! that others have measured or published.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints, and stops on bad input")]

#[path = "../tests/it/sparse_model.rs"]
mod sparse_model;

use evol::device::cuda::MixedPrecision;
use evol::lora::{LoraWeights, TargetModule};
use evol::model::{GradientCheckpointing, ModelConfig};
use evol::train::{TrainConfig, device_memory};
use sparse_model::{MODELS, load};

/// Tokens of a row; every device has full ones.
const TOKENS: usize = 2048;
/// Rows that a device computes for a step.
const ROWS: [usize; 2] = [1, 8];
const DEVICES: [usize; 3] = [2, 4, 8];
/// Share of its peak that a device is assumed to reach.
const SHARE_OF_PEAK: f64 = 0.4;

/// Devices with what connects them.
struct Machine {
    name: &'static str,
    /// Peak of dense bf16 products with sums in f32 (NVIDIA's data sheets).
    peak_flops: f64,
    /// Bytes a second that a ring moves through each device ("busbw" of nccl-tests).
    bandwidth: f64,
    /// Bytes of a device.
    memory: u64,
}

const MACHINES: [Machine; 4] = [
    machine("RTX 4090, PCIe 4.0 through the host's memory", 165e12, 5e9, 24),
    machine("A100, PCIe 4.0 x16", 312e12, 22e9, 80),
    machine("A100, NVLink 3", 312e12, 230e9, 80),
    machine("H100, NVLink 4", 989e12, 370e9, 80),
];

const fn machine(name: &'static str, peak_flops: f64, bandwidth: f64, gigabytes: u64) -> Machine {
    Machine { name, peak_flops, bandwidth, memory: gigabytes << 30 }
}

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config =
        TrainConfig { gradient_checkpointing: GradientCheckpointing::Layer, ..TrainConfig::default() };
    for sizes in MODELS.iter().filter(|sizes| ["LLaMA-2-7B", "Llama-3-70B"].contains(&sizes.name)) {
        let model = load(sizes, folder.path());
        let layout = LoraWeights::layout(&config.lora(), &model.config().base_shape());
        let parameters = layout.pairs.last().map_or(0, |pair| pair.b.end);
        let bytes = (4 * parameters) as f64;
        let flop = TOKENS as f64 * flop_per_token(model.config(), parameters);
        println!(
            "{}, r = {}: {parameters} numbers, a gradient of {:.0} MB; {:.1} TFLOP for a row of {TOKENS} \
             tokens\n",
            sizes.name,
            config.r,
            bytes / 1e6,
            flop / 1e12
        );
        println!(
            "| | a row, s | all-reduce of 2, 4, 8, ms | share of a step of 1 row | of 8 rows | efficiency of \
             2, 4, 8, 8 rows |"
        );
        println!("|---|--:|--:|--:|--:|--:|");
        let needed = device_memory(&model, &config, TOKENS, MixedPrecision::Bf16, 0).total();
        for machine in MACHINES.iter().filter(|machine| machine.memory >= needed) {
            row(machine, bytes, flop);
        }
        println!();
    }
}

/// Forward, what checkpointing by layer computes again, and backward. Frozen weights have no gradient, so
/// that backward is one product for each and not two; adapters have both. Of attention's square causality
/// leaves half: two products forward, twice, and five backward.
fn flop_per_token(model: &ModelConfig, adapter: usize) -> f64 {
    let base = model.base_shape();
    let layer: usize = TargetModule::ALL.iter().map(|&m| base.in_features(m) * base.out_features(m)).sum();
    let weights = model.num_hidden_layers * layer + model.hidden_size * model.vocab_size;
    let columns = model.num_attention_heads * model.head_dim;
    (6 * weights + 8 * adapter + 9 * model.num_hidden_layers * TOKENS * columns) as f64
}

fn row(machine: &Machine, bytes: f64, flop: f64) {
    let Machine { name, peak_flops, bandwidth, .. } = machine;
    let compute = flop / (SHARE_OF_PEAK * peak_flops);
    // A ring: all but one n-th goes round twice, first to be added, then to be given out.
    let reduce = DEVICES.map(|n| 2.0 * (n - 1) as f64 / n as f64 * bytes / bandwidth);
    let share = |rows: usize, reduce: f64| reduce / (rows as f64 * compute + reduce);
    let most = reduce[DEVICES.len() - 1];
    let [one, eight] = ROWS.map(|rows| format!("{:.2} %", 100.0 * share(rows, most)));
    let times = reduce.map(|seconds| format!("{:.1}", 1e3 * seconds)).join(", ");
    let efficiency = reduce.map(|seconds| format!("{:.4}", 1.0 - share(ROWS[1], seconds))).join(", ");
    println!("| {name} | {compute:.2} | {times} | {one} | {eight} | {efficiency} |");
}
