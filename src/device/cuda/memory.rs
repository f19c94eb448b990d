//! Device memory: one allocation, cut into tensors.
//!
//! Where in the flow: whoever needs device memory first takes its tensors from an [`Arena`] without an
//! address, which counts bytes, then allocates that many, and takes the same tensors from the real arena. So
//! the code that plans memory is the code that uses it.
//!
//! **Invariant:** nothing is allocated once training has started.

#![expect(unsafe_code, reason = "calls of the driver with addresses of the device")]

use std::ops::Range;

use cudarc::driver::CudaSlice;

use super::{CudaDevice, CudaError};

/// Alignment of tensors in bytes: enough for the widest loads, and a whole number of memory sectors.
const ALIGN: u64 = 256;

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// Single precision.
    F32,
    /// The upper 16 bits of single precision.
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

    /// The name of an op's kernel for activations of this type.
    ///
    /// # Panics
    /// If activations are never of this type.
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

/// A range of device memory. It owns nothing: whoever keeps a tensor must keep its [`Memory`] alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tensor {
    pub(super) address: u64,
    len: usize,
    dtype: Dtype,
}

impl Tensor {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The elements of a range.
    ///
    /// # Panics
    /// If the range is not inside the tensor.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {} numbers", self.len);
        let address = self.address + range.start as u64 * self.dtype.bytes();
        Self { address, len: range.len(), ..*self }
    }

    /// The first `len` elements.
    #[must_use]
    pub fn first(&self, len: usize) -> Self {
        self.slice(0..len)
    }

    pub(super) fn bytes(&self) -> usize {
        self.len * self.dtype.bytes() as usize
    }

    /// Returns `numbers` after checking that they fit this tensor.
    ///
    /// # Panics
    /// If length or type differ.
    pub(super) fn require<T: Number>(self, numbers: &[T]) -> &[T] {
        assert_eq!((numbers.len(), T::DTYPE), (self.len, self.dtype), "numbers (left) for a tensor (right)");
        numbers
    }
}

/// Hands out tensors one after another.
#[derive(Debug, Default)]
pub struct Arena {
    start: u64,
    used: u64,
}

impl Arena {
    /// A tensor of `len` elements, whose content is unspecified.
    pub fn take(&mut self, dtype: Dtype, len: usize) -> Tensor {
        let address = self.start + self.used;
        self.used = (self.used + len as u64 * dtype.bytes()).next_multiple_of(ALIGN);
        Tensor { address, len, dtype }
    }

    /// Bytes handed out, with alignment.
    pub fn used(&self) -> u64 {
        self.used
    }
}

/// One allocation on a device, freed when dropped.
#[derive(Debug)]
pub struct Memory {
    slice: CudaSlice<u8>,
    start: u64,
}

impl Memory {
    /// A fresh arena over this memory. Taking the same tensors in the same order gives the same addresses.
    pub fn arena(&self) -> Arena {
        Arena { start: self.start, used: 0 }
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.slice.len() as u64
    }
}

/// A Rust type that tensor elements are copied from and to.
pub trait Number: bytemuck::Pod {
    /// Its element type.
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
    /// Allocates as much as an arena without an address has handed out.
    ///
    /// # Errors
    /// The device does not have that much free.
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

    /// Copies the raw bytes of a tensor's elements to the device.
    ///
    /// # Errors
    /// The device has failed.
    ///
    /// # Panics
    /// If the number of bytes differs from the tensor's.
    pub fn upload_bytes(&self, from: &[u8], to: Tensor) -> Result<(), CudaError> {
        assert_eq!(from.len(), to.bytes(), "bytes (left) for a tensor (right)");
        if from.is_empty() {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: the tensor has that many bytes; memory that is not pinned is read before the call returns.
        unsafe { cudarc::driver::result::memcpy_htod_async(to.address, from, self.stream.cu_stream()) }
            .map_err(CudaError::call("copy to the device"))
    }

    /// Copies numbers from the device, after waiting for all work that writes them.
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
            // SAFETY: the tensor has that many bytes, and the stream is waited for below.
            unsafe {
                cudarc::driver::result::memcpy_dtoh_async(bytes, from.address, self.stream.cu_stream())
            }
            .map_err(CudaError::call("copy from the device"))?;
        }
        self.synchronize()
    }

    /// Sets all bytes of a tensor to zero.
    ///
    /// # Errors
    /// The device has failed.
    pub fn clear(&self, tensor: Tensor) -> Result<(), CudaError> {
        if tensor.is_empty() {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: the tensor has that many bytes.
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
