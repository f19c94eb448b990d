//! Devices that can be simulated: what they say of themselves.
//!
//! Source: NVIDIA, "CUDA C++ Programming Guide", table of compute capabilities; attribute numbers of
//! `cuda.h`.

use serde::{Deserialize, Serialize};

/// A generation of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// T4.
    Sm75,
    /// A100.
    #[default]
    Sm80,
    /// RTX 3090.
    Sm86,
    /// RTX 4090.
    Sm89,
    /// H100.
    Sm90,
}

impl Model {
    /// Major and minor number.
    pub fn capability(self) -> (i32, i32) {
        match self {
            Self::Sm75 => (7, 5),
            Self::Sm80 => (8, 0),
            Self::Sm86 => (8, 6),
            Self::Sm89 => (8, 9),
            Self::Sm90 => (9, 0),
        }
    }

    /// Whether a module for this target (`sm_80`, `sm_90a, texmode_independent`) is too new for the device.
    pub fn is_before(self, target: &str) -> bool {
        let digits: String =
            target.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        let (major, minor) = self.capability();
        digits.parse::<i32>().is_ok_and(|wanted| wanted > 10 * major + minor)
    }

    /// Multiprocessors.
    pub fn multiprocessors(self) -> i32 {
        match self {
            Self::Sm75 => 40,
            Self::Sm80 => 108,
            Self::Sm86 => 82,
            Self::Sm89 => 128,
            Self::Sm90 => 132,
        }
    }

    /// Bytes of shared memory that a block may ask for.
    pub fn shared_optin(self) -> i32 {
        match self {
            Self::Sm75 => 64 << 10,
            Self::Sm80 => 163 << 10,
            Self::Sm86 | Self::Sm89 => 99 << 10,
            Self::Sm90 => 227 << 10,
        }
    }

    /// Bytes of shared memory of a multiprocessor.
    pub fn shared_of_multiprocessor(self) -> i32 {
        self.shared_optin() + self.reserved_shared()
    }

    /// Bytes of shared memory that each block takes for the system.
    fn reserved_shared(self) -> i32 {
        if self == Self::Sm75 { 0 } else { 1024 }
    }

    /// Threads of a multiprocessor.
    pub fn threads_of_multiprocessor(self) -> i32 {
        match self {
            Self::Sm75 => 1024,
            Self::Sm86 | Self::Sm89 => 1536,
            Self::Sm80 | Self::Sm90 => 2048,
        }
    }

    /// Blocks of a multiprocessor.
    pub fn blocks_of_multiprocessor(self) -> i32 {
        match self {
            Self::Sm75 | Self::Sm86 => 16,
            Self::Sm89 => 24,
            Self::Sm80 | Self::Sm90 => 32,
        }
    }

    /// Bytes a second of device memory (data sheets: T4, A100 40 GB SXM, RTX 3090, RTX 4090, H100 SXM).
    pub fn memory_bandwidth(self) -> f64 {
        match self {
            Self::Sm75 => 0.32e12,
            Self::Sm80 => 1.555e12,
            Self::Sm86 => 0.936e12,
            Self::Sm89 => 1.008e12,
            Self::Sm90 => 3.35e12,
        }
    }

    /// Operations a second of tensor cores, 16 bits with sums in f32, without sparsity.
    pub fn tensor_flops(self) -> f64 {
        match self {
            Self::Sm75 => 65e12,
            Self::Sm80 => 312e12,
            Self::Sm86 => 71e12,
            Self::Sm89 => 165e12,
            Self::Sm90 => 989e12,
        }
    }

    /// Operations a second in f32.
    pub fn f32_flops(self) -> f64 {
        match self {
            Self::Sm75 => 8.1e12,
            Self::Sm80 => 19.5e12,
            Self::Sm86 => 35.6e12,
            Self::Sm89 => 82.6e12,
            Self::Sm90 => 66.9e12,
        }
    }

    /// `CU_DEVICE_ATTRIBUTE_*`; 0 for what is not there.
    pub fn attribute(self, number: i32) -> i32 {
        match number {
            1 => 1024,
            2 | 3 => 1024,
            4 => 64,
            5 => i32::MAX,
            6 | 7 => 65_535,
            8 => 48 << 10,
            9 => 64 << 10,
            10 => 32,
            12 | 82 => 65_536,
            13 => 1_410_000,
            14 => 512,
            16 => self.multiprocessors(),
            // Overlap of copies, host mapping, unified addressing, concurrent kernels.
            15 | 19 | 31 | 41 => 1,
            36 => 1_215_000,
            37 => 5120,
            38 => 40 << 20,
            39 => self.threads_of_multiprocessor(),
            40 => 2,
            75 => self.capability().0,
            76 => self.capability().1,
            81 => self.shared_of_multiprocessor(),
            // Managed memory, also while a kernel runs.
            83 | 89 => 1,
            // Cooperative launches.
            95 => 1,
            97 => self.shared_optin(),
            106 => self.blocks_of_multiprocessor(),
            111 => 1024,
            // Pools of memory.
            115 => 1,
            _ => 0,
        }
    }

    /// Blocks of a kernel that fit a multiprocessor.
    pub fn occupancy(self, threads: u32, registers: u32, shared: u64) -> i32 {
        let warps = threads.div_ceil(32).max(1);
        let by_threads = self.threads_of_multiprocessor() as u32 / (warps * 32);
        // Registers are given out to warps in steps of 256.
        let by_registers = 65_536 / (warps * (registers.max(1) * 32).next_multiple_of(256));
        let by_shared = self.shared_of_multiprocessor() as u64
            / (shared + self.reserved_shared() as u64).max(1).next_multiple_of(128);
        by_threads.min(by_registers).min(by_shared as u32).min(self.blocks_of_multiprocessor() as u32) as i32
    }
}
