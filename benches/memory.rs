//! The tables of docs/memory.md: what runs take of a GPU, by the planner that refuses them
//! (`cargo bench --bench memory`).
//!
//! Nothing is allocated: model files are headers with a hole behind them.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program: it prints, and stops on bad input"
)]

#[path = "../tests/it/sparse_model.rs"]
mod sparse_model;

use evol::device::cuda::MixedPrecision;
use evol::model::{GradientCheckpointing, Llama};
use evol::train::{DeviceMemory, TrainConfig, device_memory};
use sparse_model::{MODELS, load};

const TOKENS: [usize; 5] = [2048, 4096, 8192, 16_384, 32_768];

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let models: Vec<_> = MODELS.iter().map(|sizes| (sizes.name, load(sizes, folder.path()))).collect();
    println!("| model | base | adapter | optimiser | activations | cuBLAS | total |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for (name, model) in &models {
        let plan = plan(model, TOKENS[0], GradientCheckpointing::Layer);
        let parts = [plan.base, plan.adapter, plan.optimizer, plan.activations, plan.products, plan.total()];
        println!("| {name} | {} |", parts.map(gb).join(" | "));
    }
    for checkpointing in [GradientCheckpointing::Layer, GradientCheckpointing::None] {
        println!(
            "\n| `{checkpointing}` | {} |\n|---|{}",
            TOKENS.map(|t| t.to_string()).join(" | "),
            "--:|".repeat(5)
        );
        for (name, model) in &models {
            let totals = TOKENS.map(|tokens| gb(plan(model, tokens, checkpointing).total()));
            println!("| {name} | {} |", totals.join(" | "));
        }
    }
}

fn plan(model: &Llama, tokens: usize, gradient_checkpointing: GradientCheckpointing) -> DeviceMemory {
    let config = TrainConfig { gradient_checkpointing, ..TrainConfig::default() };
    device_memory(model, &config, tokens, MixedPrecision::Bf16, 0)
}

fn gb(bytes: u64) -> String {
    format!("{:.2}", bytes as f64 / 1e9)
}
