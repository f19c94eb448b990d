//! The functions of `libcuda` that `cudarc` and NVRTC call.
//!
//! Source: NVIDIA, "CUDA Driver API"; names and arguments are those of `cuda.h`.
//!
//! **Invariant:** what a real driver refuses is refused here, with the same error.

#![expect(unsafe_code, reason = "functions of C with pointers of the caller")]

use std::ffi::{CStr, c_char};
use std::sync::MutexGuard;

use super::{CURRENT, INVALID_CONTEXT, INVALID_VALUE, State, state};

/// Functions of C that give an error, and run on pointers that the caller promises to be what the documentation says.
macro_rules! api {
    ($(fn $name:ident($($argument:ident: $ty:ty),* $(,)?) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $ty),*) -> std::ffi::c_int {
            #[allow(unused_unsafe, reason = "not every function needs it")]
            // SAFETY: pointers are what the driver's documentation says, as promised by the caller.
            let run = || -> Result<(), i32> { unsafe { $body } };
            run().err().unwrap_or(0)
        }
    )*};
}

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
    // SAFETY: a text of C, as promised by the caller.
    unsafe { CStr::from_ptr(pointer) }.to_str().map_err(|_| INVALID_VALUE)
}
