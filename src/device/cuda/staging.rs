//! Pinned host memory, through which small lists are copied to the device without waiting.
//!
//! Where in the flow: `model::cuda` puts the index lists of a row in here; the device copies them while the
//! host continues.
//!
//! **Invariant:** memory that is still being copied is not written to: [`Staging::begin`] waits for the
//! previous copies.
//! **Invariant:** its size is fixed when it is made; nothing is allocated later.

#![expect(unsafe_code, reason = "memory that the driver owns, and copies that end later")]

use std::sync::Arc;

use cudarc::driver::sys::CU_MEMHOSTALLOC_WRITECOMBINED;
use cudarc::driver::{CudaContext, CudaEvent, result};

use super::{CudaDevice, CudaError, Number, Tensor};

/// Alignment of lists in bytes.
const ALIGN: usize = 16;

/// A pinned buffer, refilled for every row.
#[derive(Debug)]
pub struct Staging {
    start: *mut u8,
    bytes: usize,
    used: usize,
    /// Follows the newest copies in the stream.
    copied: CudaEvent,
    context: Arc<CudaContext>,
}

// SAFETY: pinned memory belongs to the process, not to a thread, and the driver takes calls from any thread.
unsafe impl Send for Staging {}

impl Staging {
    /// Room that a list of `count` elements of `bytes` bytes each takes.
    pub fn bytes_of(count: usize, bytes: usize) -> usize {
        (count * bytes).next_multiple_of(ALIGN)
    }

    /// A buffer of `bytes`: the sum of [`Self::bytes_of`] over the lists of a row.
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

    /// Waits until all earlier lists are copied, then starts filling from the beginning.
    ///
    /// # Errors
    /// The device has failed.
    pub fn begin(&mut self) -> Result<(), CudaError> {
        self.copied.synchronize().map_err(CudaError::call("wait for copies"))?;
        self.used = 0;
        Ok(())
    }

    /// Queues the copy of a list to the device.
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
        // SAFETY: the range lies within the allocation, nothing else uses it until `begin`, which waits for
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
        // The driver must not read memory that is freed. If this fails, the driver reads nothing anymore.
        let _ = self.copied.synchronize();
        let _ = self.context.bind_to_thread();
        // SAFETY: allocated by `new`, and freed only here.
        let _ = unsafe { result::free_host(self.start.cast()) };
    }
}
