//! The functions of `libcuda` that `cudarc` and NVRTC call.
//!
//! Source: NVIDIA, "CUDA Driver API"; names and arguments are those of `cuda.h`.
//!
//! **Invariant:** what a real driver refuses is refused here, with the same error.

#![expect(unsafe_code, reason = "functions of C with pointers of the caller")]

use std::ffi::{CStr, c_char};
use std::sync::MutexGuard;

use super::{CURRENT, INVALID_CONTEXT, INVALID_VALUE, State, state};

mod control;
mod device;
mod memory;
mod module;
mod queue;

fn with_context() -> Result<MutexGuard<'static, State>, i32> {
    if CURRENT.get() == 0 { Err(INVALID_CONTEXT) } else { Ok(state()) }
}

unsafe fn text<'a>(pointer: *const c_char) -> Result<&'a str, i32> {
    if pointer.is_null() {
        return Err(INVALID_VALUE);
    }
    // SAFETY: a C string, as promised by the caller.
    unsafe { CStr::from_ptr(pointer) }.to_str().map_err(|_| INVALID_VALUE)
}
