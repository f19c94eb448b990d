//! Device memory: one allocation, cut into tensors.
//!
//! **Invariant:** after [`Memory`] is made nothing is allocated: who needs memory says how much in a dry run
//! over an [`Arena`] without an address.

#![expect(unsafe_code, reason = "calls of the driver with addresses of the device")]

use std::ops::Range;

use cudarc::driver::CudaSlice;

use super::{CudaDevice, CudaError};

/// Alignment of tensors: that of the widest loads, and a whole number of sectors.
const ALIGN: u64 = 256;

/// Type of the numbers of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Single precision.
    F32,
    /// The upper half of it.
    Bf16,
    /// Half precision.
    F16,
    /// Double precision.
    F64,
    /// Indices.
    U32,
    /// Blocks of quantized weights.
    U8,
}

impl Dtype {
    /// Bytes of a number.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F64 => 8,
            Self::F32 | Self::U32 => 4,
            Self::Bf16 | Self::F16 => 2,
            Self::U8 => 1,
        }
    }
}

impl Dtype {
    /// The kernel of an op for activations of this type.
    ///
    /// # Panics
    /// If it is none of activations.
    pub fn kernel(self, op: &str) -> String {
        let suffix = match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            other => panic!("activations of {other:?}"),
        };
        format!("{op}_{suffix}")
    }
}

/// A range of device memory. It owns nothing: whoever keeps it keeps the [`Memory`] behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tensor {
    pub(super) address: u64,
    len: usize,
    dtype: Dtype,
}

impl Tensor {
    /// Numbers.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Their type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Part of it.
    ///
    /// # Panics
    /// If the range is not inside.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {} numbers", self.len);
        let address = self.address + range.start as u64 * self.dtype.bytes();
        Self { address, len: range.len(), ..*self }
    }

    /// Its first numbers.
    #[must_use]
    pub fn first(&self, len: usize) -> Self {
        self.slice(0..len)
    }

    /// In memory.
    pub(super) fn bytes(&self) -> usize {
        self.len * self.dtype.bytes() as usize
    }

    /// `numbers`, which it is to hold.
    ///
    /// # Panics
    /// If length or type differ.
    pub(super) fn require<T: Number>(self, numbers: &[T]) -> &[T] {
        assert_eq!((numbers.len(), T::DTYPE), (self.len, self.dtype), "numbers (left) for a tensor (right)");
        numbers
    }
}

/// Gives out tensors one after another.
#[derive(Debug, Default)]
pub struct Arena {
    start: u64,
    used: u64,
}

impl Arena {
    /// A tensor of so many numbers, whose content is unspecified.
    pub fn take(&mut self, dtype: Dtype, len: usize) -> Tensor {
        let address = self.start + self.used;
        self.used = (self.used + len as u64 * dtype.bytes()).next_multiple_of(ALIGN);
        Tensor { address, len, dtype }
    }

    /// Bytes given out.
    pub fn used(&self) -> u64 {
        self.used
    }
}

/// One allocation.
#[derive(Debug)]
pub struct Memory {
    slice: CudaSlice<u8>,
    start: u64,
}

impl Memory {
    /// Tensors of this memory. They come in the order in which they are taken, so that the same code gives
    /// the same ones.
    pub fn arena(&self) -> Arena {
        Arena { start: self.start, used: 0 }
    }

    /// Bytes.
    pub fn bytes(&self) -> u64 {
        self.slice.len() as u64
    }
}

/// Plain numbers that tensors are made of.
pub trait Number: bytemuck::Pod {
    /// Type of a tensor of them.
    const DTYPE: Dtype;
}
impl Number for f32 {
    const DTYPE: Dtype = Dtype::F32;
}
impl Number for f64 {
    const DTYPE: Dtype = Dtype::F64;
}
impl Number for u32 {
    const DTYPE: Dtype = Dtype::U32;
}
impl Number for u8 {
    const DTYPE: Dtype = Dtype::U8;
}
impl Number for half::bf16 {
    const DTYPE: Dtype = Dtype::Bf16;
}
impl Number for half::f16 {
    const DTYPE: Dtype = Dtype::F16;
}

impl CudaDevice {
    /// Allocates what an arena without an address has given out.
    ///
    /// # Errors
    /// The device does not have so much.
    pub fn allocate(&self, planned: &Arena) -> Result<Memory, CudaError> {
        use cudarc::driver::{DevicePtr, sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY};
        let bytes = planned.used.max(ALIGN);
        // SAFETY: tensors are written before they are read, which the simulated device checks.
        let slice = unsafe { self.stream.alloc::<u8>(bytes as usize) }.map_err(|error| {
            if error.0 == CUDA_ERROR_OUT_OF_MEMORY {
                return CudaError::OutOfMemory { bytes };
            }
            CudaError::call("allocate memory")(error)
        })?;
        let start = slice.device_ptr(&self.stream).0;
        Ok(Memory { slice, start })
    }

    /// Copies numbers to the device.
    ///
    /// # Errors
    /// The device has failed.
    ///
    /// # Panics
    /// If length or type differ.
    pub fn upload<T: Number>(&self, from: &[T], to: Tensor) -> Result<(), CudaError> {
        self.upload_bytes(bytemuck::cast_slice(to.require(from)), to)
    }

    /// Copies what a tensor's numbers are in memory.
    ///
    /// # Errors
    /// The device has failed.
    ///
    /// # Panics
    /// If they are not as many bytes.
    pub fn upload_bytes(&self, from: &[u8], to: Tensor) -> Result<(), CudaError> {
        assert_eq!(from.len(), to.bytes(), "bytes (left) for a tensor (right)");
        if from.is_empty() {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: the tensor has so many bytes; memory that is not pinned is read before the call is back.
        unsafe { cudarc::driver::result::memcpy_htod_async(to.address, from, self.stream.cu_stream()) }
            .map_err(CudaError::call("copy to the device"))
    }

    /// Copies numbers from the device, and waits for all that makes them.
    ///
    /// # Errors
    /// The device has failed.
    ///
    /// # Panics
    /// If length or type differ.
    pub fn download<T: Number>(&self, from: Tensor, to: &mut [T]) -> Result<(), CudaError> {
        assert_eq!((from.len, from.dtype), (to.len(), T::DTYPE), "a tensor (left) into numbers (right)");
        if !to.is_empty() {
            self.bind()?;
            let bytes = bytemuck::cast_slice_mut::<T, u8>(to);
            // SAFETY: the tensor has so many bytes, and the stream is waited for below.
            unsafe {
                cudarc::driver::result::memcpy_dtoh_async(bytes, from.address, self.stream.cu_stream())
            }
            .map_err(CudaError::call("copy from the device"))?;
        }
        self.synchronize()
    }

    /// Makes all bytes zero.
    ///
    /// # Errors
    /// The device has failed.
    pub fn clear(&self, tensor: Tensor) -> Result<(), CudaError> {
        if tensor.is_empty() {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: the tensor has so many bytes.
        unsafe {
            cudarc::driver::result::memset_d8_async(
                tensor.address,
                0,
                tensor.bytes(),
                self.stream.cu_stream(),
            )
        }
        .map_err(CudaError::call("clear memory"))
    }
}
