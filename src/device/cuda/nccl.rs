//! The all-reduce over several GPUs, by NCCL.
//!
//! Where in the flow: the trainer connects the devices of a run to a [`Clique`] (NCCL's word), which sums
//! their gradients once per step. One thread makes the calls for all devices. NCCL is loaded when a clique is
//! made, never for a single device.
//!
//! **Invariant:** a sum is started on all devices or on none: the caller waits for all earlier work on every
//! device first, so that nothing is left that could fail.
//! **Invariant:** after a failure no device waits for another: all communicators are aborted.

#![expect(unsafe_code, reason = "calls of NCCL with addresses of devices")]

use std::ffi::{CStr, c_void};
use std::time::Duration;

use cudarc::driver::CudaEvent;
use cudarc::nccl::{result, sys};

use super::{CudaDevice, CudaError, Dtype, Tensor};

/// The first version with every call used here, 2.13, in NCCL's encoding.
const OLDEST: i32 = 21_300;
/// What an error says was being done while a clique is made.
pub(super) const CONNECT: &str = "connect the devices";
/// Time between two polls of a running sum, which takes about a hundred times as long.
const PAUSE: Duration = Duration::from_micros(50);

/// Connected devices.
#[derive(Debug)]
pub struct Clique<'a> {
    devices: &'a [CudaDevice],
    /// In the order of the devices; empty after a failure.
    communicators: Vec<sys::ncclComm_t>,
    /// Follows the newest sum in the stream of each device.
    done: Vec<CudaEvent>,
}

/// The version of the installed NCCL.
///
/// # Errors
/// It is not installed, or too old.
pub fn nccl_version() -> Result<String, CudaError> {
    // SAFETY: it only tries to load the library.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoNccl);
    }
    let found = result::get_nccl_version().map_err(|error| failed("ask for its version", &error))?;
    // Up to 2.8 the encoding had four digits, which is below `OLDEST` too.
    let name = format!("{}.{}.{}", found / 10_000, found / 100 % 100, found % 100);
    if found < OLDEST { Err(CudaError::OldNccl { found: name }) } else { Ok(name) }
}

fn failed(what: &'static str, error: &result::NcclError) -> CudaError {
    // SAFETY: it needs no communicator, and returns null or a text that lives as long as the library.
    let text = unsafe {
        let text = sys::ncclGetLastError(std::ptr::null_mut());
        if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().trim().to_owned() }
    };
    let name = format!("{:?}", error.0);
    CudaError::Nccl { what, status: if text.is_empty() { name } else { format!("{name} ({text})") } }
}

impl<'a> Clique<'a> {
    /// Connects devices.
    ///
    /// # Errors
    /// NCCL is missing or too old, or the devices cannot be connected.
    pub fn new(devices: &'a [CudaDevice]) -> Result<Self, CudaError> {
        nccl_version()?;
        let done = devices.iter().map(|device| {
            device.bind()?;
            device.context.new_event(None).map_err(CudaError::call("make an event"))
        });
        let done = done.collect::<Result<_, _>>()?;
        let ordinals: Vec<i32> = devices.iter().map(|device| device.info.ordinal as i32).collect();
        let mut communicators = vec![std::ptr::null_mut(); devices.len()];
        // SAFETY: both lists have as many entries as the call is told.
        let connected = unsafe {
            result::comm_init_all(communicators.as_mut_ptr(), devices.len() as i32, ordinals.as_ptr())
        };
        let status = connected.map_err(|error| failed(CONNECT, &error))?;
        let this = Self { devices, communicators, done };
        // Non-blocking calls return before they have done anything; the code below relies on blocking ones.
        if matches!(status, result::NcclStatus::InProgress) {
            let status = "that calls do not wait (NCCL_COMM_BLOCKING=0 is set: unset it)".to_owned();
            return Err(CudaError::Nccl { what: CONNECT, status });
        }
        Ok(this)
    }

    /// Replaces each tensor by the sum of all of them, and waits for that. `tensors` has one per device, in
    /// the order of the devices; the sum has the same bits everywhere.
    ///
    /// # Errors
    /// A device or a connection has failed, with the index of the device to blame, or 0 if none can be named.
    /// The clique cannot be used anymore.
    ///
    /// # Panics
    /// The tensors are not f32 of one length, or the clique has failed before.
    pub fn all_reduce(&mut self, tensors: &[Tensor]) -> Result<(), (usize, CudaError)> {
        let len = tensors.first().map_or(0, Tensor::len);
        let fit = tensors.iter().all(|tensor| tensor.len() == len && tensor.dtype() == Dtype::F32);
        assert!(fit && tensors.len() == self.communicators.len(), "tensors of the devices of a clique");
        let outcome = self.begin(tensors).and_then(|()| self.wait());
        if outcome.is_err() {
            self.abort();
        }
        outcome
    }

    /// Queues the sum on all devices.
    fn begin(&self, tensors: &[Tensor]) -> Result<(), (usize, CudaError)> {
        const WHAT: &str = "sum the gradients of all devices";
        // Before the group starts: a failure inside would leave it half queued.
        for (rank, device) in self.devices.iter().enumerate() {
            device.bind().map_err(|error| (rank, error))?;
        }
        result::group_start().map_err(|error| (0, failed(WHAT, &error)))?;
        for (rank, (device, &communicator)) in self.devices.iter().zip(&self.communicators).enumerate() {
            let (address, len) = (tensors[rank].address, tensors[rank].len());
            let called = device.bind().and_then(|()| {
                // SAFETY: the communicator is live, the tensor has so many numbers, and the stream is its
                // device's.
                let outcome = unsafe {
                    result::all_reduce(
                        address as *const c_void,
                        address as *mut c_void,
                        len,
                        sys::ncclDataType_t::ncclFloat32,
                        sys::ncclRedOp_t::ncclSum,
                        communicator,
                        device.stream.cu_stream().cast(),
                    )
                };
                outcome.map(|_| ()).map_err(|error| failed(WHAT, &error))
            });
            if let Err(error) = called {
                // A group must be ended in any case; after such an error NCCL starts nothing of it.
                let _ = result::group_end();
                return Err((rank, error));
            }
        }
        result::group_end().map_err(|error| (0, failed(WHAT, &error)))?;
        for (rank, (device, event)) in self.devices.iter().zip(&self.done).enumerate() {
            let recorded = event.record(&device.stream);
            recorded.map_err(|error| (rank, CudaError::call("mark the end of a sum")(error)))?;
        }
        Ok(())
    }

    /// Waits for the sum on all devices. Polls all of them in turn, because a device or a connection that
    /// failed keeps the others waiting forever.
    fn wait(&self) -> Result<(), (usize, CudaError)> {
        loop {
            let mut is_done = true;
            for (rank, (device, event)) in self.devices.iter().zip(&self.done).enumerate() {
                let ask = device.bind().and_then(|()| {
                    event.try_is_complete().map_err(CudaError::call("sum the gradients of all devices"))
                });
                is_done &= ask.map_err(|error| (rank, error))?;
            }
            for (rank, &communicator) in self.communicators.iter().enumerate() {
                let mut status = sys::ncclResult_t::ncclSuccess;
                // SAFETY: the communicator is live.
                let asked = unsafe { sys::ncclCommGetAsyncError(communicator, &raw mut status) };
                let outcome = asked.result().and_then(|_| status.result());
                outcome
                    .map_err(|error| (rank, failed("sum the gradients: a connection has failed", &error)))?;
            }
            if is_done {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Ends all connections without waiting for anything.
    pub fn abort(&mut self) {
        for communicator in self.communicators.drain(..) {
            // SAFETY: the communicator is live, and not used again. If this fails, nothing is left to try.
            let _ = unsafe { result::comm_abort(communicator) };
        }
    }
}

impl Drop for Clique<'_> {
    fn drop(&mut self) {
        for communicator in self.communicators.drain(..) {
            // SAFETY: the communicator is live, and not used again; every sum was waited for.
            let _ = unsafe { result::comm_destroy(communicator) };
        }
    }
}
