//! What can be wrong with a GPU.

use cudarc::driver::result::DriverError;
use cudarc::driver::sys::CUresult;

use super::CudaInfo;
use super::nccl::CONNECT;
use crate::explain::{Blame, Explain, Explanation};

/// A GPU that cannot be used, or has failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CudaError {
    /// `libcuda` is not installed.
    #[error("no CUDA driver is installed (libcuda.so was not found)")]
    NoDriver,
    /// `libcublas` is not installed.
    #[error("cuBLAS is not installed (libcublas.so was not found)")]
    NoBlas,
    /// `libnccl` is not installed.
    #[error("NCCL is not installed (libnccl.so was not found), and training on several GPUs needs it")]
    NoNccl,
    /// `libnccl` lacks calls.
    #[error("NCCL has version {found}, expected at least 2.13")]
    OldNccl {
        /// Its version.
        found: String,
    },
    /// A call of NCCL.
    #[error("cannot {what}: NCCL reports {status}")]
    Nccl {
        /// What was tried.
        what: &'static str,
        /// The name of the error, and NCCL's last words.
        status: String,
    },
    /// There are fewer devices.
    #[error("device `cuda:{ordinal}` does not exist: this machine has {count}")]
    NoDevice {
        /// That was asked for.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// The device lacks instructions.
    #[error(
        "device `cuda:{}` ({}) has compute capability {}.{}, expected at least {}.{}",
        info.ordinal, info.name, info.capability.0, info.capability.1, needed.0, needed.1
    )]
    Capability {
        /// Which.
        info: CudaInfo,
        /// What our kernels are made for.
        needed: (i32, i32),
    },
    /// The device has no bf16.
    #[error(
        "device `cuda:{}` ({}) has compute capability {}.{}, expected at least 8.0 for bf16",
        info.ordinal, info.name, info.capability.0, info.capability.1
    )]
    NoBf16 {
        /// Which.
        info: CudaInfo,
    },
    /// The driver does not take our kernels.
    #[error("the driver rejects the kernels of `{module}`: {}", explain(*source))]
    Kernels {
        /// Source file without its ending.
        module: &'static str,
        /// Why.
        #[source]
        source: Driver,
    },
    /// Memory that cannot be had.
    #[error("the device is out of memory: {bytes} bytes cannot be allocated")]
    OutOfMemory {
        /// That were asked for at once.
        bytes: u64,
    },
    /// A call of the driver.
    #[error("cannot {what}: {}", explain(*source))]
    Call {
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        source: Driver,
    },
    /// A call of cuBLAS.
    #[error("a matrix product failed in cuBLAS: {status}")]
    Blas {
        /// Its name in cuBLAS.
        status: String,
    },
}

/// The driver's error; its text is in the message above it.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{0:?}")]
pub struct Driver(pub(super) DriverError);

/// In words, for what users meet.
fn explain(error: Driver) -> String {
    match error.0.0 {
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => "the device is out of memory".into(),
        CUresult::CUDA_ERROR_NO_DEVICE => "the driver finds no device".into(),
        CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH | CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
            "the driver is too old or does not match the system's kernel module".into()
        }
        CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
        | CUresult::CUDA_ERROR_MISALIGNED_ADDRESS
        | CUresult::CUDA_ERROR_LAUNCH_FAILED => {
            format!("a kernel failed on the device ({:?})", error.0.0)
        }
        other => format!("{other:?}"),
    }
}

impl CudaError {
    /// For `map_err` behind a call.
    pub(super) fn call(what: &'static str) -> impl Fn(DriverError) -> Self {
        move |source| Self::Call { what, source: Driver(source) }
    }

    /// Whether a device or a library that worked has failed, as opposed to one that will not do.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Call { .. } | Self::Blas { .. } | Self::Nccl { .. })
    }
}

impl Explain for CudaError {
    fn explain(&self) -> Explanation {
        match self {
            Self::NoDriver => {
                Blame::Usage.hint("install NVIDIA's driver, or train on the CPU: leave out `--device`")
            }
            Self::NoBlas => Blame::Usage.hint(
                "install it (`pip install nvidia-cublas-cu12`, or the CUDA toolkit) and add its folder to \
                 LD_LIBRARY_PATH",
            ),
            Self::NoNccl => Blame::Usage.hint(
                "install it (Debian and Ubuntu: `libnccl2` and `libnccl-dev`); after `pip install \
                 nvidia-nccl-cu12`, link `libnccl.so` to its `libnccl.so.2` in a folder of LD_LIBRARY_PATH",
            ),
            Self::OldNccl { .. } => Blame::Usage.hint("update NCCL, or train on one GPU: `--device cuda:0`"),
            Self::NoDevice { .. } | Self::Capability { .. } => {
                Blame::Usage.hint("`evol doctor` lists the devices of this machine")
            }
            Self::NoBf16 { .. } => Blame::Usage.hint("use `--mixed-precision fp16`"),
            Self::Kernels { .. } => Blame::Usage.hint("update the driver to one for CUDA 12 or newer"),
            Self::OutOfMemory { .. } => Blame::Run.hint(
                "`--dry-run` shows how much training needs; close other programs on the device, or use \
                 `--gradient-checkpointing layer` or a smaller `--max-seq-len`",
            ),
            Self::Nccl { what: CONNECT, .. } => Blame::Run.hint(
                "for more from NCCL, set `NCCL_DEBUG=INFO` in the environment; in a container, give it \
                 shared memory (`--shm-size=1g`)",
            ),
            Self::Nccl { .. } => Blame::Run.hint(
                "the same command resumes from the last checkpoint; for more from NCCL, set \
                 `NCCL_DEBUG=INFO` in the environment",
            ),
            Self::Call { .. } | Self::Blas { .. } => {
                Blame::Run.hint("the same command resumes from the last checkpoint")
            }
        }
    }
}
