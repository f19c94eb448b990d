//! What the trainer's kernels move and compute: one step of a model with the sizes of Llama-3.2-1B and one layer, on the simulated device
//! (`make kernel-report`, docs/kernels.md).
//!
//! Weights are zeros: what is counted depends on sizes only. Times that are printed are limits of devices, not measurements.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program: it prints, and stops on bad input"
)]

#[path = "../tests/it/sparse_model.rs"]
mod sparse_model;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cudasim::driver::{Config, Report};
use cudasim::loader::{self, Simulator};
use cudasim::report::{MODELS, assemble, table};
use evol::device::Device;
use evol::device::cuda::{CudaDevice, MixedPrecision};
use evol::train::{Accelerator, Encoded, Host, Job, Sample, TrainConfig, train};
use sparse_model::{MODELS as SIZES, Sizes, load};

const TOKENS: usize = 512;

/// Llama-3.2-1B with fewer layers and a vocabulary that the simulator's products are done with in seconds.
fn model(layers: usize) -> Sizes {
    Sizes { layers, vocab: 32_000, ..SIZES[0] }
}

/// One step on one row, and what the device has seen of it.
fn step(simulator: &Simulator, layers: usize, tokens: usize) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let model = load(&model(layers), folder.path());
    let row = (0..tokens as u32).map(|token| token * 61 % 32_000).collect();
    let data = Encoded {
        samples: vec![Sample::new(row, (0..tokens).map(|t| t > 0).collect())],
        ..Encoded::default()
    };
    let config = TrainConfig { max_steps: Some(1), max_seq_len: tokens, ..TrainConfig::default() };
    let cuda = CudaDevice::new(0).unwrap();
    let job = Job {
        model: &model,
        model_sha256: "of no file",
        model_name: None,
        device: &Device::cpu(0).unwrap(),
        accelerator: Some(Accelerator { device: &cuda, precision: MixedPrecision::Bf16 }),
        config: &config,
        init_adapter: None,
        train: &data,
        validation: &Encoded::default(),
        out: &folder.path().join("out"),
        tensorboard: false,
    };
    let mut host = Host {
        clock: &|| Duration::ZERO,
        peak_memory: &|| None,
        interrupt: &AtomicBool::new(false),
        on_event: &mut |_| {},
    };
    simulator.report();
    train(&job, &mut host).unwrap();
    simulator.report()
}

/// Launches of each kernel in a step: for each layer, and besides; what the first layer is spared counts as negative there.
fn launches(simulator: &Simulator) {
    simulator.configure(&Config::default());
    let [two, three] = [2, 3].map(|layers| step(simulator, layers, 32).counters);
    let of = |report: &BTreeMap<String, cudasim::driver::Counters>, name: &str| {
        report.get(name).map_or(0, |counters| counters.launches as i64)
    };
    let names: BTreeSet<&String> = two.keys().chain(three.keys()).collect();
    println!("| kernel | launches a layer | besides |\n|---|--:|--:|");
    let mut sums = [0; 2];
    for name in names {
        let a_layer = of(&three, name) - of(&two, name);
        let besides = of(&two, name) - 2 * a_layer;
        println!("| `{name}` | {a_layer} | {besides} |");
        sums = [sums[0] + a_layer, sums[1] + besides];
    }
    println!("| all | {} | {} |", sums[0], sums[1]);
}

fn main() {
    let loader::Device::Simulated(simulator) = loader::device() else {
        panic!("this counts on the simulated device, and there is a driver")
    };
    simulator.configure(&Config { profiles: true, ..Config::default() });
    let report = step(simulator, 1, TOKENS);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/ptx");
    let resources = MODELS.map(|device| {
        let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let kernels =
            files.flat_map(|file| assemble(&file, device).unwrap_or_else(|error| panic!("{error}")));
        (device, kernels.collect())
    });
    println!("{}", table(&report.counters, &resources));
    println!("cuBLAS: {:.2} TFLOP\n", report.blas_flops / 1e12);
    launches(simulator);
}
