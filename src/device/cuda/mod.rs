//! GPUs through CUDA: a context and one stream per device, our kernels, cuBLAS, and NCCL between devices.
//!
//! Where in the flow: `ops/*/cuda.rs` launch kernels and matrix products through [`CudaDevice`];
//! `model::cuda` owns the memory that they work on. `cudarc` loads the driver when a run asks for a device,
//! so one binary runs on machines with and without a GPU.
//!
//! **Invariant:** nothing else in this crate names `cudarc`.
//! **Invariant:** all work of a device goes into one stream, in order; reading on the host waits for it.
//! **Invariant:** a missing or old driver, a missing device and a failing launch are errors, never panics.

#![expect(unsafe_code, reason = "calls of the driver with addresses of the device")]

mod blas;
mod error;
mod kernels;
mod memory;
mod nccl;
mod staging;

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaStream};

use blas::Blas;
pub use blas::Operand;
pub use error::CudaError;
use kernels::Kernels;
pub use kernels::{Arg, Grid};
use memory::Number;
pub use memory::{Arena, Dtype, Memory, Tensor};
pub use nccl::{Clique, nccl_version};
pub use staging::Staging;

/// Type of activations and of decoded weights on a GPU. Sums, norms, softmax, the loss, adapters and their
/// gradients are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MixedPrecision {
    /// f32.
    No,
    /// Half precision. Its range is small, so the loss is scaled.
    Fp16,
    /// The upper 16 bits of f32.
    #[default]
    Bf16,
}

impl MixedPrecision {
    /// Type of activations.
    pub fn dtype(self) -> Dtype {
        match self {
            Self::No => Dtype::F32,
            Self::Fp16 => Dtype::F16,
            Self::Bf16 => Dtype::Bf16,
        }
    }
}

/// A GPU that runs our kernels.
#[derive(Debug)]
pub struct CudaDevice {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    blas: Blas,
    kernels: Kernels,
    info: CudaInfo,
}

/// Properties of a GPU.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CudaInfo {
    /// N in `cuda:N`.
    pub ordinal: usize,
    /// Product name, as the driver reports it.
    pub name: String,
    /// Compute capability: major and minor.
    pub capability: (i32, i32),
    /// Bytes that were free when the device was opened.
    pub free: u64,
    /// Bytes of memory in all.
    pub total: u64,
}

/// The lowest compute capability that our kernels are compiled for.
const CAPABILITY: (i32, i32) = (7, 5);
/// The lowest compute capability with bf16, asynchronous copies and the tensor cores that attention uses.
const CAPABILITY_OF_BF16: (i32, i32) = (8, 0);

impl CudaDevice {
    /// Opens device `ordinal` and loads all kernels.
    ///
    /// # Errors
    /// No driver, no such device, one that is too old, no cuBLAS.
    pub fn new(ordinal: usize) -> Result<Self, CudaError> {
        let (context, info) = open(ordinal)?;
        if info.capability < CAPABILITY {
            return Err(CudaError::Capability { info, needed: CAPABILITY });
        }
        // SAFETY: everything is used in one stream, so there is nothing to wait for between streams.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(CudaError::call("make a stream"))?;
        let blas = Blas::new(&stream)?;
        let kernels = Kernels::load(&context, info.capability >= CAPABILITY_OF_BF16)?;
        Ok(Self { context, stream, blas, kernels, info })
    }

    /// Its properties, read when it was opened.
    pub fn info(&self) -> &CudaInfo {
        &self.info
    }

    /// Checks that it can compute in a precision.
    ///
    /// # Errors
    /// [`CudaError::NoBf16`] if it cannot.
    pub fn require(&self, precision: MixedPrecision) -> Result<(), CudaError> {
        if precision == MixedPrecision::Bf16 && self.info.capability < CAPABILITY_OF_BF16 {
            return Err(CudaError::NoBf16 { info: self.info.clone() });
        }
        Ok(())
    }

    /// Bytes that are free now.
    ///
    /// # Errors
    /// The device has failed.
    pub fn free_bytes(&self) -> Result<u64, CudaError> {
        let info = self.context.mem_get_info().map_err(CudaError::call("ask for free memory"))?;
        Ok(info.0 as u64)
    }

    /// Makes this device current in the calling thread. `cudarc` does so in its safe calls, but not in those
    /// of its `result` modules, which we use.
    fn bind(&self) -> Result<(), CudaError> {
        self.context.bind_to_thread().map_err(CudaError::call("use the device"))
    }

    /// Waits until all work is done.
    ///
    /// # Errors
    /// Something has failed on the device.
    pub fn synchronize(&self) -> Result<(), CudaError> {
        self.stream.synchronize().map_err(CudaError::call("wait for the device"))
    }
}

/// All devices of this machine; none without a driver.
///
/// # Errors
/// The driver is installed, but fails.
pub fn devices() -> Result<Vec<CudaInfo>, CudaError> {
    match require_driver() {
        Err(CudaError::NoDriver) => return Ok(Vec::new()),
        other => other?,
    }
    let count = CudaContext::device_count().map_err(CudaError::call("count devices"))?;
    (0..count as usize).map(|ordinal| open(ordinal).map(|(_, info)| info)).collect()
}

/// Loads and starts the driver. The check comes first because `cudarc` panics if the library is missing.
fn require_driver() -> Result<(), CudaError> {
    // SAFETY: it only tries to load the library.
    if !unsafe { cudarc::driver::sys::is_culib_present() } {
        return Err(CudaError::NoDriver);
    }
    cudarc::driver::result::init().map_err(CudaError::call("start the driver"))
}

fn open(ordinal: usize) -> Result<(Arc<CudaContext>, CudaInfo), CudaError> {
    require_driver()?;
    let count = CudaContext::device_count().map_err(CudaError::call("count devices"))?;
    if ordinal >= count as usize {
        return Err(CudaError::NoDevice { ordinal, count: count as usize });
    }
    let context = CudaContext::new(ordinal).map_err(CudaError::call("open the device"))?;
    let ask = CudaError::call("ask for the device's properties");
    let info = (|| {
        let (free, total) = context.mem_get_info()?;
        let (name, capability) = (context.name()?, context.compute_capability()?);
        Ok(CudaInfo { ordinal, name, capability, free: free as u64, total: total as u64 })
    })()
    .map_err(ask)?;
    Ok((context, info))
}
