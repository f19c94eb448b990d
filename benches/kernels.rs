//! What the trainer's kernels move and compute: one step of a model with the sizes of Llama-3.2-1B and one
//! layer, on the simulated device (`make kernel-report`, docs/kernels.md).
//!
//! Times that are printed are limits of devices, not measurements.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program: it prints, and stops on bad input"
)]

#[path = "../tests/it/counted_step.rs"]
mod counted_step;
#[path = "../tests/it/sparse_model.rs"]
mod sparse_model;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use counted_step::step;
use cudasim::driver::{Config, Counters};
use cudasim::loader::{self, Simulator};
use cudasim::report::{assemble, table};
use sparse_model::{MODELS, Sizes};

const TOKENS: usize = 512;

/// Llama-3.2-1B with fewer layers and a vocabulary that the simulator's products are done with in seconds.
fn model(layers: usize) -> Sizes {
    Sizes { layers, vocab: 32_000, ..MODELS[0] }
}

/// Launches of each kernel in a step: for each layer, and besides; what the first layer is spared counts as
/// negative there.
fn launches(simulator: &Simulator) {
    simulator.configure(&Config::default());
    let [two, three] = [2, 3].map(|layers| step(simulator, &model(layers), 32));
    let products = [two.blas_products as i64, three.blas_products as i64];
    let [two, three] = [two.counters, three.counters];
    let of = |report: &BTreeMap<String, Counters>, name: &str| {
        report.get(name).map_or(0, |counters| counters.launches as i64)
    };
    let names: BTreeSet<&String> = two.keys().chain(three.keys()).collect();
    println!("| kernel | launches per layer | in addition |\n|---|--:|--:|");
    let mut sums = [0; 2];
    for name in names {
        let a_layer = of(&three, name) - of(&two, name);
        let besides = of(&two, name) - 2 * a_layer;
        println!("| `{name}` | {a_layer} | {besides} |");
        sums = [sums[0] + a_layer, sums[1] + besides];
    }
    println!("| all of our own | {} | {} |", sums[0], sums[1]);
    let a_layer = products[1] - products[0];
    println!("| products of cuBLAS | {a_layer} | {} |", products[0] - 2 * a_layer);
}

fn main() {
    let loader::Device::Simulated(simulator) = loader::device() else {
        panic!("this counts on the simulated device, and there is a driver")
    };
    simulator.configure(&Config { profiles: true, ..Config::default() });
    let report = step(simulator, &model(1), TOKENS);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/ptx/sm_80");
    let resources = cudasim::report::MODELS.map(|device| {
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let kernels =
            files.flat_map(|file| assemble(&file, device).unwrap_or_else(|error| panic!("{error}")));
        (device, kernels.collect())
    });
    println!("{}", table(&report.counters, &resources));
    println!("cuBLAS: {:.2} TFLOP\n", report.blas_flops / 1e12);
    launches(simulator);
}
