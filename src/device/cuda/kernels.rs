//! Our kernels: the PTX compiled into the binary, loading it, and launches.
//!
//! Where in the flow: a [`CudaDevice`] loads all kernels when it is opened; `ops/*/cuda.rs` launch them by
//! name.
//!
//! **Invariant:** every kernel is one of `kernels/*.cu`; launching an unknown name is a bug and panics.

#![expect(unsafe_code, reason = "calls of the driver with addresses of the device")]

use std::collections::HashMap;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaFunction, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;

use super::error::Driver;
use super::{CudaDevice, CudaError, Tensor};

/// For each source file its name and its PTX for compute capability 7.5 and 8.0, which
/// `scripts/build-kernels` writes.
macro_rules! modules {
    ($($name:literal),*) => {
        [$((
            $name,
            include_str!(concat!("../../../kernels/ptx/sm_75/", $name, ".ptx")),
            include_str!(concat!("../../../kernels/ptx/sm_80/", $name, ".ptx")),
        )),*]
    };
}
const MODULES: [(&str, &str, &str); 8] = modules![
    "adamw",
    "attention",
    "cross_entropy",
    "elementwise",
    "quant_matrix",
    "rms_norm",
    "rope",
    "swiglu"
];

/// Threads per block of elementwise kernels.
const THREADS: u32 = 256;

/// All kernels by name.
#[derive(Debug)]
pub(super) struct Kernels {
    functions: HashMap<String, CudaFunction>,
}

impl Kernels {
    pub(super) fn load(context: &Arc<CudaContext>, has_bf16: bool) -> Result<Self, CudaError> {
        let mut functions = HashMap::new();
        for (module, without, with) in MODULES {
            let ptx = if has_bf16 { with } else { without };
            let refused = |source| CudaError::Kernels { module, source: Driver(source) };
            let loaded = context.load_module(Ptx::from_src(ptx)).map_err(refused)?;
            for name in entries(ptx) {
                functions.insert(name.to_owned(), loaded.load_function(name).map_err(refused)?);
            }
        }
        Ok(Self { functions })
    }
}

/// Names of the kernels of a module.
fn entries(ptx: &str) -> impl Iterator<Item = &str> {
    ptx.split(".entry ")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next())
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub enum Arg {
    /// The address of a tensor.
    Tensor(Tensor),
    /// The null address, for a tensor that a kernel does without.
    Null,
    /// `int` or `u32`.
    U32(u32),
    /// `u64`.
    U64(u64),
    /// `float`.
    F32(f32),
    /// `double`.
    F64(f64),
    /// A structure of eight 4-byte numbers.
    Eight([u32; 8]),
    /// A structure of five 4-byte numbers.
    Five([u32; 5]),
}

/// The size of a launch: blocks in two dimensions, and threads per block.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    blocks: [u32; 2],
    threads: u32,
}

impl Grid {
    /// `blocks` of `threads` threads each.
    pub fn new(blocks: [usize; 2], threads: u32) -> Self {
        Self { blocks: blocks.map(|n| n as u32), threads }
    }

    /// A block per row.
    pub fn rows(rows: usize, columns: usize) -> Self {
        // Four columns per thread, and whole warps.
        let threads = columns.div_ceil(4).next_multiple_of(32).clamp(32, 256);
        Self::new([rows, 1], threads as u32)
    }

    /// Enough threads for `count` elements, `per_thread` each.
    pub fn elements(count: usize, per_thread: usize) -> Self {
        Self::new([count.div_ceil(per_thread * THREADS as usize), 1], THREADS)
    }
}

impl CudaDevice {
    /// Whether this device has a kernel.
    pub fn has_kernel(&self, kernel: &str) -> bool {
        self.kernels.functions.contains_key(kernel)
    }

    /// Queues a kernel. A grid without blocks launches nothing.
    ///
    /// # Errors
    /// The device has failed.
    ///
    /// # Panics
    /// There is no such kernel.
    pub fn launch(&self, kernel: &str, grid: Grid, args: &[Arg]) -> Result<(), CudaError> {
        if grid.blocks.contains(&0) {
            return Ok(());
        }
        let function = self.kernels.functions.get(kernel);
        let function = function.unwrap_or_else(|| panic!("there is no kernel `{kernel}`"));
        let mut launch = self.stream.launch_builder(function);
        for arg in args {
            match arg {
                Arg::Tensor(tensor) => launch.arg(&tensor.address),
                Arg::Null => launch.arg(&0_u64),
                Arg::U32(x) => launch.arg(x),
                Arg::U64(x) => launch.arg(x),
                Arg::F32(x) => launch.arg(x),
                Arg::F64(x) => launch.arg(x),
                Arg::Eight(x) => launch.arg(x),
                Arg::Five(x) => launch.arg(x),
            };
        }
        let config = LaunchConfig {
            grid_dim: (grid.blocks[0], grid.blocks[1], 1),
            block_dim: (grid.threads, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: the wrappers in `ops/*/cuda.rs` pass arguments in the order and with the types of their
        // kernel, and check the lengths of tensors; tests run each of them on the simulated device, which
        // checks every access.
        unsafe { launch.launch(config) }.map_err(CudaError::call("launch a kernel"))?;
        Ok(())
    }
}
