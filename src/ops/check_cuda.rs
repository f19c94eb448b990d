//! Running ops on the device of the tests: a real GPU if a driver is installed, otherwise the simulated one
//! with all its checks.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cudasim::driver::{Config, Model};
use cudasim::exec::Order;
use cudasim::finding::Finding;
use cudasim::loader;
use half::{bf16, f16};

use super::check::Weights;
use crate::device::cuda::{Arena, CudaDevice, Dtype, Memory, Tensor};
use crate::ops::cuda_matrix::CudaMatrix;

/// Tests take turns on the device.
static TURN: Mutex<()> = Mutex::new(());

/// The device, and the memory that a test allocated on it.
pub(crate) struct Cuda {
    pub(crate) device: CudaDevice,
    memory: RefCell<Vec<Memory>>,
    _turn: MutexGuard<'static, ()>,
}

/// Runs a test on activations of every type, with blocks and warps in both orders. On the simulated device
/// there must be no race, no access outside of a tensor, no read of unwritten memory, and nothing allocated
/// at the end.
#[track_caller]
pub(crate) fn on_cuda(test: impl Fn(&Cuda, Dtype)) {
    let run = |model, order, act| {
        let cuda = Cuda::new(&Config { model, order, checks: true, ..Config::default() });
        test(&cuda, act);
        cuda.finish();
    };
    for order in [Order::Forward, Order::Reverse] {
        for act in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
            run(Model::Sm80, order, act);
        }
    }
    // The other set of kernels, whose f32 kernels are the same.
    if matches!(loader::device(), loader::Device::Simulated(_)) {
        run(Model::Sm75, Order::Forward, Dtype::F16);
    }
}

impl Cuda {
    pub(crate) fn new(config: &Config) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if let loader::Device::Simulated(simulator) = loader::device() {
            simulator.configure(config);
            simulator.report();
        }
        let device = CudaDevice::new(0).expect("a device");
        Self { device, memory: RefCell::default(), _turn: turn }
    }

    #[track_caller]
    pub(crate) fn finish(self) {
        let findings = self.end();
        assert!(findings.is_empty(), "{findings:#?}");
    }

    /// Ends the context; what the simulated device has found until then.
    pub(crate) fn end(self) -> Vec<Finding> {
        let Self { device, memory, _turn } = self;
        drop(memory);
        drop(device);
        match loader::device() {
            loader::Device::Simulated(simulator) => simulator.report().findings,
            loader::Device::Real => Vec::new(),
        }
    }

    /// Room for so many numbers, behind and before which nothing is.
    pub(crate) fn room(&self, dtype: Dtype, len: usize) -> Tensor {
        let mut plan = Arena::default();
        plan.take(dtype, len);
        let memory = self.device.allocate(&plan).expect("memory");
        let tensor = memory.arena().take(dtype, len);
        self.memory.borrow_mut().push(memory);
        tensor
    }

    /// Numbers on the device, in f32 or rounded.
    pub(crate) fn put(&self, dtype: Dtype, values: &[f32]) -> Tensor {
        let tensor = self.room(dtype, values.len());
        match dtype {
            Dtype::Bf16 => {
                let rounded: Vec<bf16> = values.iter().map(|&x| bf16::from_f32(x)).collect();
                self.device.upload(&rounded, tensor)
            }
            Dtype::F16 => {
                let rounded: Vec<f16> = values.iter().map(|&x| f16::from_f32(x)).collect();
                self.device.upload(&rounded, tensor)
            }
            _ => self.device.upload(values, tensor),
        }
        .expect("a copy");
        tensor
    }

    pub(crate) fn list(&self, values: &[u32]) -> Tensor {
        let tensor = self.room(Dtype::U32, values.len());
        self.device.upload(values, tensor).expect("a copy");
        tensor
    }

    pub(crate) fn get(&self, tensor: Tensor) -> Vec<f32> {
        let mut values = vec![0.0; tensor.len()];
        match tensor.dtype() {
            Dtype::Bf16 => {
                let mut rounded = vec![bf16::ZERO; tensor.len()];
                self.device.download(tensor, &mut rounded).expect("a copy");
                rounded.into_iter().map(bf16::to_f32).collect()
            }
            Dtype::F16 => {
                let mut rounded = vec![f16::ZERO; tensor.len()];
                self.device.download(tensor, &mut rounded).expect("a copy");
                rounded.into_iter().map(f16::to_f32).collect()
            }
            _ => {
                self.device.download(tensor, &mut values).expect("a copy");
                values
            }
        }
    }

    /// A matrix in its blocks.
    pub(crate) fn matrix(&self, weights: &Weights) -> CudaMatrix {
        let mut plan = Arena::default();
        CudaMatrix::take(&mut plan, &weights.view());
        let memory = self.device.allocate(&plan).expect("memory");
        let matrix = CudaMatrix::take(&mut memory.arena(), &weights.view());
        self.memory.borrow_mut().push(memory);
        let (from, to) = matrix.copy_of(&weights.view());
        self.device.upload_bytes(from, to).expect("a copy");
        matrix
    }

    /// What a tensor of this type holds of these numbers.
    pub(crate) fn rounded(dtype: Dtype, values: &[f32]) -> Vec<f32> {
        match dtype {
            Dtype::Bf16 => values.iter().map(|&x| bf16::from_f32(x).to_f32()).collect(),
            Dtype::F16 => values.iter().map(|&x| f16::from_f32(x).to_f32()).collect(),
            _ => values.to_vec(),
        }
    }

    /// Compares a tensor with what the CPU makes of the same inputs: 1e-5 in f32, for other orders of the
    /// same sums; 2e-2 and a cosine of 0.999 where results and what comes between are rounded to 16 bits
    /// (2^-9 each for bf16, less for f16).
    #[track_caller]
    pub(crate) fn assert_near(&self, what: &str, act: Dtype, tensor: Tensor, wanted: &[f32]) {
        let got = self.get(tensor);
        assert_eq!(got.len(), wanted.len(), "lengths of `{what}`");
        let product =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
        let distance: f64 =
            got.iter().zip(wanted).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
        let norm = product(wanted, wanted);
        if norm <= 0.0 {
            assert!(distance <= 0.0, "`{what}` is not zero");
            return;
        }
        let (error, cosine) =
            ((distance / norm).sqrt(), product(&got, wanted) / (norm * product(&got, &got)).sqrt());
        let (limit, least) = if act == Dtype::F32 { (1e-5, 0.999_999) } else { (2e-2, 0.999) };
        assert!(
            error <= limit && cosine >= least,
            "`{what}` in {act:?}: relative distance {error:e}, cosine {cosine}"
        );
    }
}
