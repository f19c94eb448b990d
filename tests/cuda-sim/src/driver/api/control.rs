//! Errors' names, and the simulator's own functions, which `crate::loader` calls through the loaded library.

#![expect(unsafe_code, reason = "functions of C with pointers of the caller")]
#![allow(non_snake_case, reason = "names of `cuda.h`")]
#![allow(clippy::missing_safety_doc, reason = "the driver's own documentation says what its arguments are")]

use std::ffi::{c_char, c_int};

use super::super::{Config, INVALID_VALUE, Report, state};
use super::text;

exports! {
    fn cuGetErrorName(error: c_int, name: *mut *const c_char) { error_text(error, name) }
    fn cuGetErrorString(error: c_int, name: *mut *const c_char) { error_text(error, name) }

    // Of the simulator alone: `cudasim` calls them through the loaded library.
    fn cudasim_configure(json: *const c_char) {
        let config: Config = serde_json::from_str(text(json)?).map_err(|_| INVALID_VALUE)?;
        let mut state = state();
        state.drain_all().ok();
        state.memory.total = config.memory;
        state.config = config;
        state.launches.clear();
        state.all_reduces = 0;
        Ok(())
    }
    fn cudasim_report(length: *mut usize, pointer: *mut *mut c_char) {
        let mut state = state();
        let report = Report {
            findings: std::mem::take(&mut state.findings),
            counters: std::mem::take(&mut state.counters),
            printed: std::mem::take(&mut state.printed),
            blas_flops: std::mem::take(&mut state.blas_flops),
            blas_products: std::mem::take(&mut state.blas_products),
        };
        state.sticky.clear();
        let json = serde_json::to_string(&report).map_err(|_| INVALID_VALUE)?;
        *length = json.len();
        *pointer = std::ffi::CString::new(json).map_err(|_| INVALID_VALUE)?.into_raw();
        Ok(())
    }
    fn cudasim_free(pointer: *mut c_char) { drop(std::ffi::CString::from_raw(pointer)); Ok(()) }
}

unsafe fn error_text(error: c_int, name: *mut *const c_char) -> Result<(), i32> {
    let text = match error {
        0 => c"CUDA_SUCCESS",
        1 => c"CUDA_ERROR_INVALID_VALUE",
        2 => c"CUDA_ERROR_OUT_OF_MEMORY",
        101 => c"CUDA_ERROR_INVALID_DEVICE",
        201 => c"CUDA_ERROR_INVALID_CONTEXT",
        209 => c"CUDA_ERROR_NO_BINARY_FOR_GPU",
        218 => c"CUDA_ERROR_INVALID_PTX",
        301 => c"CUDA_ERROR_FILE_NOT_FOUND",
        400 => c"CUDA_ERROR_INVALID_HANDLE",
        500 => c"CUDA_ERROR_NOT_FOUND",
        600 => c"CUDA_ERROR_NOT_READY",
        700 => c"CUDA_ERROR_ILLEGAL_ADDRESS",
        702 => c"CUDA_ERROR_LAUNCH_TIMEOUT",
        710 => c"CUDA_ERROR_ASSERT",
        716 => c"CUDA_ERROR_MISALIGNED_ADDRESS",
        719 => c"CUDA_ERROR_LAUNCH_FAILED",
        900 => c"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
        901 => c"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED",
        903 => c"CUDA_ERROR_STREAM_CAPTURE_UNMATCHED",
        905 => c"CUDA_ERROR_STREAM_CAPTURE_ISOLATION",
        907 => c"CUDA_ERROR_CAPTURED_EVENT",
        801 => c"CUDA_ERROR_NOT_SUPPORTED",
        _ => c"CUDA_ERROR_UNKNOWN",
    };
    // SAFETY: a pointer of the caller.
    unsafe { *name = text.as_ptr() };
    Ok(())
}
