//! Our kernels: the PTX that the binary carries, and launches.
//!
//! **Invariant:** a kernel that is launched is one of `kernels/*.cu`; a name that is not there is a fault of
//! this program.

#![expect(unsafe_code, reason = "calls of the driver with addresses of the device")]

use std::collections::HashMap;
use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaFunction, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;

use super::error::Driver;
use super::{CudaDevice, CudaError, Tensor};

/// Source files, and for each the PTX for compute capability 7.5 and for 8.0. Made by
/// `scripts/build-kernels`.
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

/// Threads of a block of elementwise kernels.
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
    /// No tensor.
    Null,
    /// `int` or `u32`.
    U32(u32),
    /// `u64`.
    U64(u64),
    /// `float`.
    F32(f32),
    /// `double`.
    F64(f64),
    /// A structure of eight numbers of 4 bytes.
    Eight([u32; 8]),
    /// One of five.
    Five([u32; 5]),
}

/// How many blocks of how many threads.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    blocks: [u32; 2],
    threads: u32,
}

impl Grid {
    /// Blocks of so many threads.
    pub fn new(blocks: [usize; 2], threads: u32) -> Self {
        Self { blocks: blocks.map(|n| n as u32), threads }
    }

    /// A block for each row.
    pub fn rows(rows: usize, columns: usize) -> Self {
        // Four columns a thread, whole warps, and enough blocks for every multiprocessor.
        let threads = columns.div_ceil(4).next_multiple_of(32).clamp(32, 256);
        Self::new([rows, 1], threads as u32)
    }

    /// `per_thread` of `count` elements for each thread.
    pub fn elements(count: usize, per_thread: usize) -> Self {
        Self::new([count.div_ceil(per_thread * THREADS as usize), 1], THREADS)
    }
}

impl CudaDevice {
    /// Whether this device has a kernel.
    pub fn has_kernel(&self, kernel: &str) -> bool {
        self.kernels.functions.contains_key(kernel)
    }

    /// Puts a kernel into the stream. A grid without blocks is nothing.
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
        // SAFETY: the wrappers in `ops/*/cuda.rs` give arguments in the order and of the types that their
        // kernel has, and tensors of the lengths that they have checked; every one runs on the simulated
        // device with all checks.
        unsafe { launch.launch(config) }.map_err(CudaError::call("launch a kernel"))?;
        Ok(())
    }
}
