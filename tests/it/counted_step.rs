//! Helper: one training step on the simulated GPU, and what it counted. Also part of `benches/kernels.rs`.
//!
//! Weights are zeros: counts depend on sizes only.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cudasim::driver::Report;
use cudasim::loader::Simulator;
use evol::device::cuda::{CudaDevice, MixedPrecision};
use evol::train::{Backend, Encoded, Host, Job, Sample, TrainConfig, train};

use crate::sparse_model::{Sizes, load};

/// One step on one row, and what the device has seen of it.
pub(crate) fn step(simulator: &Simulator, sizes: &Sizes, tokens: usize) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let model = load(sizes, folder.path());
    let row = (0..tokens).map(|token| (token * 61 % sizes.vocab) as u32).collect();
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
        backend: Backend::Cuda { gpus: std::slice::from_ref(&cuda), precision: MixedPrecision::Bf16 },
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
