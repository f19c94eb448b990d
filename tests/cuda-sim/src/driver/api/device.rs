//! Devices and contexts.

#![expect(unsafe_code, reason = "functions of C with pointers of the caller")]
#![allow(non_snake_case, reason = "names of `cuda.h`")]
#![allow(clippy::missing_safety_doc, reason = "the driver's own documentation says what its arguments are")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};

use super::super::{CURRENT, INVALID_CONTEXT, INVALID_VALUE, PRIMARY, State, state};
use super::with_context;

const INVALID_DEVICE: i32 = 101;
const NOT_FOUND: i32 = 500;
const NAME: &CStr = c"CUDA-SIM (PTX on this machine's processor)";

exports! {
    fn cuInit(_flags: c_uint) { Ok(()) }
    // NVRTC asks for tables of its own, and does without them.
    fn cuGetExportTable(table: *mut *const c_void, _id: *const c_void) {
        *table = std::ptr::null();
        Err(NOT_FOUND)
    }
    fn cuDriverGetVersion(version: *mut c_int) { *version = 12_090; Ok(()) }
    fn cuDeviceGetCount(count: *mut c_int) { *count = state().config.devices as c_int; Ok(()) }
    fn cuDeviceGet(device: *mut c_int, ordinal: c_int) {
        *device = known(&state(), ordinal)? as c_int;
        Ok(())
    }
    fn cuDeviceGetName(name: *mut c_char, len: c_int, _device: c_int) {
        let bytes = NAME.to_bytes_with_nul();
        let len = bytes.len().min(len.max(0) as usize);
        std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), name, len);
        Ok(())
    }
    fn cuDeviceGetUuid(uuid: *mut [u8; 16], device: c_int) { *uuid = unique(device); Ok(()) }
    fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: c_int) { *uuid = unique(device); Ok(()) }
    fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) {
        *bytes = state().memory.total as usize;
        Ok(())
    }
    fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: c_int) {
        let state = state();
        known(&state, device)?;
        *value = state.config.model.attribute(attribute);
        Ok(())
    }
    fn cuDeviceCanAccessPeer(can: *mut c_int, _device: c_int, _peer: c_int) { *can = 0; Ok(()) }
    fn cuDevicePrimaryCtxRetain(context: *mut usize, device: c_int) {
        let mut state = state();
        let device = known(&state, device)?;
        *state.retained.entry(device).or_default() += 1;
        state.begin_context(PRIMARY + device, device);
        *context = PRIMARY + device;
        Ok(())
    }
    fn cuDevicePrimaryCtxRelease_v2(device: c_int) {
        let mut state = state();
        let device = known(&state, device)?;
        let retained = state.retained.get_mut(&device).filter(|retained| **retained > 0);
        let retained = retained.ok_or(INVALID_CONTEXT)?;
        *retained -= 1;
        if *retained == 0 {
            let _ = state.drain_context(PRIMARY + device);
            state.end_context(PRIMARY + device);
        }
        Ok(())
    }
    fn cuCtxCreate_v2(context: *mut usize, _flags: c_uint, device: c_int) { new_context(context, device) }
    fn cuCtxCreate_v4(context: *mut usize, _params: *const c_void, _flags: c_uint, device: c_int) {
        new_context(context, device)
    }
    fn cuCtxDestroy_v2(context: usize) {
        let mut state = state();
        if !state.contexts.contains_key(&context) || context >= PRIMARY { return Err(INVALID_CONTEXT); }
        let _ = state.drain_context(context);
        state.end_context(context);
        if CURRENT.get() == context { CURRENT.set(0); }
        Ok(())
    }
    fn cuCtxGetCurrent(context: *mut usize) { *context = CURRENT.get(); Ok(()) }
    fn cuCtxSetCurrent(context: usize) { CURRENT.set(context); Ok(()) }
    fn cuCtxGetDevice(device: *mut c_int) { *device = with_context()?.owner()?.device as c_int; Ok(()) }
    fn cuCtxSetFlags(_flags: c_uint) { Ok(()) }
    fn cuCtxSynchronize() { with_context()?.drain_context(CURRENT.get()) }
}

fn known(state: &State, device: c_int) -> Result<usize, i32> {
    usize::try_from(device).ok().filter(|&device| device < state.config.devices).ok_or(INVALID_DEVICE)
}

fn unique(device: c_int) -> [u8; 16] {
    let mut uuid = *b"cuda-sim-device0";
    uuid[15] += device as u8;
    uuid
}

unsafe fn new_context(context: *mut usize, device: c_int) -> Result<(), i32> {
    if context.is_null() {
        return Err(INVALID_VALUE);
    }
    let mut state = state();
    let device = known(&state, device)?;
    let handle = state.handle();
    state.begin_context(handle, device);
    CURRENT.set(handle);
    // SAFETY: a pointer of the caller.
    unsafe { *context = handle };
    Ok(())
}
