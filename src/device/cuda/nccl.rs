//! Sums over several GPUs by NCCL.
//!
//! Where in the flow: the trainer makes a [`Clique`] of the devices of a run, and once a step has it sum
//! their gradients. One thread calls for all devices; NCCL is loaded when a clique is asked for, never for
//! one device.
//!
//! **Invariant:** a sum is begun on all devices or on none: the caller sees to it that nothing is left to do
//! on any of them that can fail. **Invariant:** after a failure no device waits for another: all
//! communicators are aborted.

#![expect(unsafe_code, reason = "calls of NCCL with addresses of devices")]

use std::ffi::{CStr, c_void};
use std::time::Duration;

use cudarc::driver::CudaEvent;
use cudarc::nccl::{result, sys};

use super::{CudaDevice, CudaError, Dtype, Tensor};

/// The first version with everything that is called here, as NCCL writes it: 2.13.
const OLDEST: i32 = 21_300;
/// What is tried when a clique is made.
pub(super) const CONNECT: &str = "connect the devices";
/// Between two looks at whether a sum is done, which takes a hundred times as long.
const PAUSE: Duration = Duration::from_micros(50);

/// Devices that sum numbers; see the module.
#[derive(Debug)]
pub struct Clique<'a> {
    devices: &'a [CudaDevice],
    /// In the order of the devices; none after a failure.
    communicators: Vec<sys::ncclComm_t>,
    /// Behind the newest sum in the stream of each device.
    done: Vec<CudaEvent>,
}

/// Whether NCCL is here, in a version that will do; which one.
///
/// # Errors
/// It is not.
pub fn nccl_version() -> Result<String, CudaError> {
    // SAFETY: it only tries to load the library.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoNccl);
    }
    let found = result::get_nccl_version().map_err(|error| failed("ask for its version", &error))?;
    // Until 2.8 a version had two digits less.
    let name = format!("{}.{}.{}", found / 10_000, found / 100 % 100, found % 100);
    if found < OLDEST { Err(CudaError::OldNccl { found: name }) } else { Ok(name) }
}

fn failed(what: &'static str, error: &result::NcclError) -> CudaError {
    // SAFETY: it takes no communicator, and gives a text that lives as long as the library, or null.
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
    /// NCCL is not there or too old, or the devices cannot be connected.
    pub fn new(devices: &'a [CudaDevice]) -> Result<Self, CudaError> {
        nccl_version()?;
        let done = devices.iter().map(|device| {
            device.bind()?;
            device.context.new_event(None).map_err(CudaError::call("make an event"))
        });
        let done = done.collect::<Result<_, _>>()?;
        let ordinals: Vec<i32> = devices.iter().map(|device| device.info.ordinal as i32).collect();
        let mut communicators = vec![std::ptr::null_mut(); devices.len()];
        // SAFETY: both lists have as many entries as are said.
        let connected = unsafe {
            result::comm_init_all(communicators.as_mut_ptr(), devices.len() as i32, ordinals.as_ptr())
        };
        let status = connected.map_err(|error| failed(CONNECT, &error))?;
        let this = Self { devices, communicators, done };
        // Then every call would return before it has done anything, and this is written for calls that do
        // not.
        if matches!(status, result::NcclStatus::InProgress) {
            let status = "that it goes on without waiting (NCCL_COMM_BLOCKING=0 is set: unset it)".to_owned();
            return Err(CudaError::Nccl { what: CONNECT, status });
        }
        Ok(this)
    }

    /// Makes each tensor the sum of all of them, and waits until they are; one of each device, in their
    /// order. The sum has the same bits everywhere.
    ///
    /// # Errors
    /// A device or a connection has failed: which device, if one can be blamed, by its place in the list. The
    /// clique is of no use any more.
    ///
    /// # Panics
    /// The tensors are not as many f32 numbers each, or the clique has failed before.
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

    /// Puts the sum into the streams of all devices.
    fn begin(&self, tensors: &[Tensor]) -> Result<(), (usize, CudaError)> {
        const WHAT: &str = "sum the gradients of all devices";
        // What fails within a group leaves it half begun.
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
                // A group has to be ended whatever was in it; NCCL begins none of it after such an error.
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

    /// Waits for the sum on all devices. A device that has failed, or a connection, keeps the others waiting
    /// for ever: so all are asked in turn.
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
