//! Pinned memory of the host, through which small lists go to the device without being waited for.
//!
//! Where in the flow: `model::cuda` puts what a row decides in here; the device copies it while the host goes
//! on.
//!
//! **Invariant:** what is still being copied is not written to: [`Staging::begin`] waits for the copies of
//! the time before. **Invariant:** its size is fixed when it is made; nothing is allocated later.

#![expect(unsafe_code, reason = "memory that the driver owns, and copies that end later")]

use std::sync::Arc;

use cudarc::driver::sys::CU_MEMHOSTALLOC_WRITECOMBINED;
use cudarc::driver::{CudaContext, CudaEvent, result};

use super::{CudaDevice, CudaError, Number, Tensor};

/// Lists begin at multiples of so many bytes.
const ALIGN: usize = 16;

/// See the module.
#[derive(Debug)]
pub struct Staging {
    start: *mut u8,
    bytes: usize,
    used: usize,
    /// Behind the newest copies in the stream.
    copied: CudaEvent,
    context: Arc<CudaContext>,
}

// SAFETY: pinned memory belongs to the process, not to a thread, and the driver takes calls of any.
unsafe impl Send for Staging {}

impl Staging {
    /// Bytes that a list of so many numbers of this many bytes takes.
    pub fn bytes_of(count: usize, bytes: usize) -> usize {
        (count * bytes).next_multiple_of(ALIGN)
    }

    /// Memory for lists of so many bytes at a time, each counted by [`Self::bytes_of`].
    ///
    /// # Errors
    /// The host has no such memory.
    pub fn new(device: &CudaDevice, bytes: usize) -> Result<Self, CudaError> {
        device.bind()?;
        let refused = CudaError::call("allocate pinned memory");
        let bytes = bytes.max(ALIGN);
        let copied = device.context.new_event(None).map_err(&refused)?;
        // SAFETY: it is freed once, when this is dropped. It is written in order and never read here, so
        // combined writes suit it.
        let start = unsafe { result::malloc_host(bytes, CU_MEMHOSTALLOC_WRITECOMBINED) }.map_err(&refused)?;
        Ok(Self { start: start.cast(), bytes, used: 0, copied, context: Arc::clone(&device.context) })
    }

    /// Waits until the lists of the time before are copied, and begins anew.
    ///
    /// # Errors
    /// The device has failed.
    pub fn begin(&mut self) -> Result<(), CudaError> {
        self.copied.synchronize().map_err(CudaError::call("wait for copies"))?;
        self.used = 0;
        Ok(())
    }

    /// Puts a copy of a list into the stream.
    ///
    /// # Errors
    /// The device has failed.
    ///
    /// # Panics
    /// If length or type differ from the tensor's, or there is no room left.
    pub fn put<T: Number>(&mut self, device: &CudaDevice, from: &[T], to: Tensor) -> Result<(), CudaError> {
        let from: &[u8] = bytemuck::cast_slice(to.require(from));
        if from.is_empty() {
            return Ok(());
        }
        let end = self.used + Self::bytes_of(from.len(), 1);
        assert!(end <= self.bytes, "{end} bytes in a staging buffer of {}", self.bytes);
        device.bind()?;
        // SAFETY: the range lies within the allocation, nothing else has it until `begin`, and that waits for
        // the copy; the tensor has as many bytes.
        unsafe {
            let place = std::slice::from_raw_parts_mut(self.start.add(self.used), from.len());
            place.copy_from_slice(from);
            result::memcpy_htod_async(to.address, place, device.stream.cu_stream())
        }
        .map_err(CudaError::call("copy to the device"))?;
        self.used = end;
        self.copied.record(&device.stream).map_err(CudaError::call("mark the end of copies"))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // The driver must not read what is freed. If it has failed, it reads nothing more.
        let _ = self.copied.synchronize();
        let _ = self.context.bind_to_thread();
        // SAFETY: allocated by `new`, and freed only here.
        let _ = unsafe { result::free_host(self.start.cast()) };
    }
}
