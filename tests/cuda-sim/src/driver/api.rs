//! The functions of `libcuda` that `cudarc` and NVRTC call.
//!
//! Source: NVIDIA, "CUDA Driver API"; names and arguments are those of `cuda.h`.
//!
//! **Invariant:** what a real driver refuses is refused here, with the same error.

#![expect(unsafe_code, reason = "functions of C with pointers of the caller")]
#![allow(non_snake_case, reason = "names of `cuda.h`")]
#![allow(clippy::missing_safety_doc, reason = "the driver's own documentation says what its arguments are")]

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;

use super::run::{KernelLaunch, Work};
use super::stream::{Event, Mark, Stream};
use super::{Config, LoadedFunction, LoadedModule, State, state};
use crate::finding::{Finding, FindingKind};
use crate::lower::{Symbol, Symbols, kernels};
use crate::ptx::{self, Space};

const INVALID_VALUE: i32 = 1;
const INVALID_CONTEXT: i32 = 201;
const NOT_FOUND: i32 = 500;
/// Handle of the primary context.
const PRIMARY: usize = 0xC0DA;
const NAME: &CStr = c"CUDA-SIM (PTX on this machine's processor)";

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

macro_rules! api {
    ($(fn $name:ident($($argument:ident: $ty:ty),* $(,)?) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $ty),*) -> c_int {
            #[allow(unused_unsafe, reason = "not every function needs it")]
            // SAFETY: pointers are what the driver's documentation says, as promised by the caller.
            let run = || -> Result<(), i32> { unsafe { $body } };
            run().err().unwrap_or(0)
        }
    )*};
}

fn with_context() -> Result<std::sync::MutexGuard<'static, State>, i32> {
    if CURRENT.get() == 0 { Err(INVALID_CONTEXT) } else { Ok(state()) }
}

unsafe fn text<'a>(pointer: *const c_char) -> Result<&'a str, i32> {
    if pointer.is_null() {
        return Err(INVALID_VALUE);
    }
    // SAFETY: a text of C, as promised by the caller.
    unsafe { CStr::from_ptr(pointer) }.to_str().map_err(|_| INVALID_VALUE)
}

api! {
    fn cuInit(_flags: c_uint) { Ok(()) }
    // NVRTC asks for tables of its own, and does without them.
    fn cuGetExportTable(table: *mut *const c_void, _id: *const c_void) { *table = std::ptr::null(); Err(NOT_FOUND) }
    fn cuDriverGetVersion(version: *mut c_int) { *version = 12_090; Ok(()) }
    fn cuDeviceGetCount(count: *mut c_int) { *count = 1; Ok(()) }
    fn cuDeviceGet(device: *mut c_int, ordinal: c_int) {
        if ordinal != 0 { return Err(101); }
        *device = 0;
        Ok(())
    }
    fn cuDeviceGetName(name: *mut c_char, len: c_int, _device: c_int) {
        let bytes = NAME.to_bytes_with_nul();
        let len = bytes.len().min(len.max(0) as usize);
        std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), name, len);
        Ok(())
    }
    fn cuDeviceGetUuid(uuid: *mut [u8; 16], _device: c_int) { *uuid = *b"cuda-sim-device0"; Ok(()) }
    fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], _device: c_int) { *uuid = *b"cuda-sim-device0"; Ok(()) }
    fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) { *bytes = state().memory.total as usize; Ok(()) }
    fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, _device: c_int) {
        *value = state().config.model.attribute(attribute);
        Ok(())
    }
    fn cuDevicePrimaryCtxRetain(context: *mut usize, _device: c_int) {
        state().retained += 1;
        *context = PRIMARY;
        Ok(())
    }
    fn cuDevicePrimaryCtxRelease_v2(_device: c_int) {
        let mut state = state();
        if state.retained == 0 { return Err(INVALID_CONTEXT); }
        state.retained -= 1;
        if state.retained == 0 {
            let _ = state.drain_all();
            state.end_context();
        }
        Ok(())
    }
    fn cuCtxCreate_v2(context: *mut usize, _flags: c_uint, _device: c_int) { new_context(context) }
    fn cuCtxCreate_v4(context: *mut usize, _params: *const c_void, _flags: c_uint, _device: c_int) { new_context(context) }
    fn cuCtxDestroy_v2(context: usize) {
        state().contexts.retain(|&other| other != context);
        if CURRENT.get() == context { CURRENT.set(0); }
        Ok(())
    }
    fn cuCtxGetCurrent(context: *mut usize) { *context = CURRENT.get(); Ok(()) }
    fn cuCtxSetCurrent(context: usize) { CURRENT.set(context); Ok(()) }
    fn cuCtxGetDevice(device: *mut c_int) { *device = 0; Ok(()) }
    fn cuCtxSetFlags(_flags: c_uint) { Ok(()) }
    fn cuCtxSynchronize() { with_context()?.drain_all() }

    fn cuStreamCreate(stream: *mut usize, flags: c_uint) { new_stream(stream, flags) }
    fn cuStreamCreateWithPriority(stream: *mut usize, flags: c_uint, _priority: c_int) { new_stream(stream, flags) }
    fn cuStreamDestroy_v2(stream: usize) {
        let mut state = with_context()?;
        // Its work is done first, as the driver promises.
        let result = state.drain(stream);
        state.streams.remove(&stream);
        result
    }
    fn cuStreamSynchronize(stream: usize) { with_context()?.drain(stream) }
    fn cuStreamQuery(stream: usize) {
        let mut state = with_context()?;
        state.ok()?;
        let is_empty = state.streams.get(&stream).is_none_or(Stream::is_empty);
        // Whoever asks in a loop gets on, but not at once.
        let _ = state.drain(stream);
        if is_empty { Ok(()) } else { Err(600) }
    }
    fn cuStreamGetFlags(stream: usize, flags: *mut c_uint) {
        *flags = with_context()?.streams.get(&stream).ok_or(400)?.flags;
        Ok(())
    }
    fn cuStreamGetPriority(_stream: usize, priority: *mut c_int) { *priority = 0; Ok(()) }
    fn cuStreamIsCapturing(_stream: usize, status: *mut c_int) { *status = 0; Ok(()) }
    fn cuStreamWaitEvent(stream: usize, event: usize, _flags: c_uint) {
        let mut state = with_context()?;
        let mark = state.events.get(&event).ok_or(400)?.mark.clone();
        match mark {
            Some(mark) => state.submit(stream, Work::Wait(mark)),
            None => state.ok(),
        }
    }
    fn cuLaunchHostFunc(stream: usize, function: extern "C" fn(*mut c_void), data: *mut c_void) {
        with_context()?.submit(stream, Work::Call(function, data as usize))
    }

    fn cuEventCreate(event: *mut usize, _flags: c_uint) {
        let mut state = with_context()?;
        let handle = state.handle();
        state.events.insert(handle, Event::default());
        *event = handle;
        Ok(())
    }
    fn cuEventDestroy_v2(event: usize) { state().events.remove(&event).map(|_| ()).ok_or(400) }
    fn cuEventRecord(event: usize, stream: usize) { record(event, stream) }
    fn cuEventRecordWithFlags(event: usize, stream: usize, _flags: c_uint) { record(event, stream) }
    fn cuEventSynchronize(event: usize) {
        let mut state = with_context()?;
        let mark = state.events.get(&event).ok_or(400)?.mark.clone();
        if let Some(mark) = mark.filter(|mark| !mark.is_reached()) { state.drain(mark.stream)?; }
        state.ok()
    }
    fn cuEventQuery(event: usize) {
        let mut state = with_context()?;
        state.ok()?;
        let mark = state.events.get(&event).ok_or(400)?.mark.clone();
        let Some(mark) = mark.filter(|mark| !mark.is_reached()) else { return Ok(()) };
        let _ = state.drain(mark.stream);
        Err(600)
    }
    fn cuEventElapsedTime(milliseconds: *mut f32, start: usize, end: usize) { elapsed(milliseconds, start, end) }
    fn cuEventElapsedTime_v2(milliseconds: *mut f32, start: usize, end: usize) { elapsed(milliseconds, start, end) }

    fn cuMemAlloc_v2(address: *mut u64, bytes: usize) {
        if bytes == 0 { return Err(INVALID_VALUE); }
        *address = with_context()?.allocate(bytes as u64)?;
        Ok(())
    }
    fn cuMemAllocAsync(address: *mut u64, bytes: usize, _stream: usize) {
        if bytes == 0 { return Err(INVALID_VALUE); }
        *address = with_context()?.allocate(bytes as u64)?;
        Ok(())
    }
    // All streams are waited for, as the driver does.
    fn cuMemFree_v2(address: u64) { let mut state = with_context()?; state.drain_all()?; state.free(address) }
    fn cuMemFreeAsync(address: u64, stream: usize) { with_context()?.submit(stream, Work::Free(address)) }
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        let state = with_context()?;
        *free = state.memory.available() as usize;
        *total = state.memory.total as usize;
        Ok(())
    }
    fn cuMemHostAlloc(pointer: *mut *mut c_void, bytes: usize, _flags: c_uint) {
        let mut state = with_context()?;
        let memory = libc::calloc(bytes.max(1), 1);
        if memory.is_null() { return Err(2); }
        state.pinned.insert(memory as usize, bytes);
        *pointer = memory;
        Ok(())
    }
    fn cuMemFreeHost(pointer: *mut c_void) {
        let mut state = with_context()?;
        if state.pinned.remove(&(pointer as usize)).is_none() {
            return Err(state.invalid(format!("{pointer:?} is freed, which is no pinned memory")));
        }
        libc::free(pointer);
        Ok(())
    }
    fn cuMemHostGetFlags(flags: *mut c_uint, _pointer: *const c_void) { *flags = 0; Ok(()) }
    fn cuMemsetD8_v2(to: u64, value: u8, count: usize) { fill(to, u32::from(value), 1, count, None) }
    fn cuMemsetD32_v2(to: u64, value: c_uint, count: usize) { fill(to, value, 4, count, None) }
    fn cuMemsetD8Async(to: u64, value: u8, count: usize, stream: usize) { fill(to, u32::from(value), 1, count, Some(stream)) }
    fn cuMemsetD16Async(to: u64, value: u16, count: usize, stream: usize) { fill(to, u32::from(value), 2, count, Some(stream)) }
    fn cuMemsetD32Async(to: u64, value: c_uint, count: usize, stream: usize) { fill(to, value, 4, count, Some(stream)) }
    fn cuMemcpyHtoD_v2(to: u64, from: *const u8, bytes: usize) { upload(to, from, bytes, 0)?; with_context()?.drain(0) }
    fn cuMemcpyHtoDAsync_v2(to: u64, from: *const u8, bytes: usize, stream: usize) { upload(to, from, bytes, stream) }
    fn cuMemcpyDtoH_v2(to: *mut u8, from: u64, bytes: usize) { download(to, from, bytes, 0)?; with_context()?.drain(0) }
    fn cuMemcpyDtoHAsync_v2(to: *mut u8, from: u64, bytes: usize, stream: usize) { download(to, from, bytes, stream) }
    fn cuMemcpyDtoD_v2(to: u64, from: u64, bytes: usize) { copy(to, from, bytes, 0) }
    fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: usize) { copy(to, from, bytes, stream) }
    fn cuMemcpyPeerAsync(to: u64, _to_context: usize, from: u64, _from_context: usize, bytes: usize, stream: usize) {
        copy(to, from, bytes, stream)
    }

    fn cuModuleLoadData(module: *mut usize, image: *const c_char) {
        // ELF files and fat binaries hold instructions of real devices.
        let magic = image.cast::<[u8; 4]>().read_unaligned();
        if magic == *b"\x7fELF" || magic == 0xBA55_ED50_u32.to_le_bytes() { return Err(209); }
        load(module, text(image).map_err(|_| 218)?)
    }
    fn cuModuleLoad(module: *mut usize, path: *const c_char) {
        let source = std::fs::read(text(path)?).map_err(|_| 301)?;
        if source.starts_with(b"\x7fELF") { return Err(209); }
        load(module, std::str::from_utf8(&source).map_err(|_| 218)?)
    }
    fn cuModuleUnload(module: usize) {
        let mut state = with_context()?;
        state.drain_all()?;
        let unloaded = state.modules.remove(&module).ok_or(400)?;
        for (address, _) in unloaded.globals.into_values() { state.free(address)?; }
        state.functions.retain(|_, function| function.module != module);
        Ok(())
    }
    fn cuModuleGetFunction(function: *mut usize, module: usize, name: *const c_char) {
        let name = text(name)?;
        *function = *with_context()?.modules.get(&module).ok_or(400)?.functions.get(name).ok_or(NOT_FOUND)?;
        Ok(())
    }
    fn cuModuleGetGlobal_v2(address: *mut u64, bytes: *mut usize, module: usize, name: *const c_char) {
        let name = text(name)?;
        let (start, len) = *with_context()?.modules.get(&module).ok_or(400)?.globals.get(name).ok_or(NOT_FOUND)?;
        *address = start;
        if !bytes.is_null() { *bytes = len as usize; }
        Ok(())
    }
    fn cuFuncGetAttribute(value: *mut c_int, attribute: c_int, function: usize) {
        let state = with_context()?;
        let LoadedFunction { kernel, max_dynamic_shared, .. } = state.functions.get(&function).ok_or(400)?;
        *value = match attribute {
            0 => if kernel.max_threads > 0 { kernel.max_threads as c_int } else { 1024 },
            1 => kernel.shared_bytes as c_int,
            3 => kernel.local_bytes as c_int,
            4 => kernel.live_registers.min(255) as c_int,
            8 => *max_dynamic_shared,
            _ => 0,
        };
        Ok(())
    }
    fn cuFuncSetAttribute(function: usize, attribute: c_int, value: c_int) {
        let mut state = with_context()?;
        let limit = state.config.model.shared_optin();
        let function = state.functions.get_mut(&function).ok_or(400)?;
        if attribute == 8 {
            if value < 0 || value + function.kernel.shared_bytes as c_int > limit { return Err(INVALID_VALUE); }
            function.max_dynamic_shared = value;
        }
        Ok(())
    }
    fn cuFuncSetCacheConfig(_function: usize, _config: c_int) { Ok(()) }
    fn cuFuncGetParamInfo(function: usize, index: usize, offset: *mut usize, bytes: *mut usize) {
        let state = with_context()?;
        let function = state.functions.get(&function).ok_or(400)?;
        let (start, len) = *function.kernel.params.get(index).ok_or(INVALID_VALUE)?;
        *offset = start as usize;
        if !bytes.is_null() { *bytes = len as usize; }
        Ok(())
    }
    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks: *mut c_int, function: usize, threads: c_int, shared: usize) {
        let state = with_context()?;
        let kernel = &state.functions.get(&function).ok_or(400)?.kernel;
        let bytes = kernel.shared_bytes + shared as u64;
        *blocks = state.config.model.occupancy(threads as u32, kernel.live_registers, bytes);
        Ok(())
    }
    fn cuLaunchKernel(
        function: usize, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint, block_x: c_uint, block_y: c_uint,
        block_z: c_uint, shared: c_uint, stream: usize, params: *mut *mut c_void, extra: *mut *mut c_void,
    ) {
        launch(function, [grid_x, grid_y, grid_z], [block_x, block_y, block_z], shared, stream, params, extra)
    }
    fn cuLaunchCooperativeKernel(
        function: usize, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint, block_x: c_uint, block_y: c_uint,
        block_z: c_uint, shared: c_uint, stream: usize, params: *mut *mut c_void,
    ) {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        launch(function, grid, block, shared, stream, params, std::ptr::null_mut())
    }
    fn cuGetErrorName(error: c_int, name: *mut *const c_char) { error_text(error, name) }
    fn cuGetErrorString(error: c_int, name: *mut *const c_char) { error_text(error, name) }

    // Of the simulator alone: `cudasim` calls them through the loaded library.
    fn cudasim_configure(json: *const c_char) {
        let config: Config = serde_json::from_str(text(json)?).map_err(|_| INVALID_VALUE)?;
        let mut state = state();
        state.drain_all().ok();
        state.memory.total = config.memory;
        state.config = config;
        Ok(())
    }
    fn cudasim_report(length: *mut usize, pointer: *mut *mut c_char) {
        let mut state = state();
        let report = super::Report {
            findings: std::mem::take(&mut state.findings),
            counters: std::mem::take(&mut state.counters),
            printed: std::mem::take(&mut state.printed),
        };
        state.sticky = 0;
        let json = serde_json::to_string(&report).map_err(|_| INVALID_VALUE)?;
        *length = json.len();
        *pointer = std::ffi::CString::new(json).map_err(|_| INVALID_VALUE)?.into_raw();
        Ok(())
    }
    fn cudasim_free(pointer: *mut c_char) { drop(std::ffi::CString::from_raw(pointer)); Ok(()) }
}

unsafe fn new_context(context: *mut usize) -> Result<(), i32> {
    let mut state = state();
    let handle = state.handle();
    state.contexts.push(handle);
    CURRENT.set(handle);
    // SAFETY: a pointer of the caller.
    unsafe { *context = handle };
    Ok(())
}

unsafe fn new_stream(stream: *mut usize, flags: c_uint) -> Result<(), i32> {
    let mut state = with_context()?;
    let handle = state.handle();
    state.streams.insert(handle, Stream::new(flags));
    // SAFETY: a pointer of the caller.
    unsafe { *stream = handle };
    Ok(())
}

fn record(event: usize, stream: usize) -> Result<(), i32> {
    let mut state = with_context()?;
    let mark = Arc::new(Mark::new(stream));
    state.events.get_mut(&event).ok_or(400)?.mark = Some(Arc::clone(&mark));
    state.submit(stream, Work::Record(mark))
}

unsafe fn elapsed(milliseconds: *mut f32, start: usize, end: usize) -> Result<(), i32> {
    let state = with_context()?;
    let mark = |event: usize| state.events.get(&event).ok_or(400)?.mark.clone().ok_or(400);
    let (start, end) = (mark(start)?, mark(end)?);
    if !start.is_reached() || !end.is_reached() {
        return Err(600);
    }
    // SAFETY: a pointer of the caller.
    unsafe { *milliseconds = start.milliseconds_to(&end) };
    Ok(())
}

fn fill(to: u64, value: u32, width: u8, count: usize, stream: Option<usize>) -> Result<(), i32> {
    let work = Work::Fill { to, value, width, count: count as u64 };
    with_context()?.submit(stream.unwrap_or(0), work)
}

/// Memory that is not pinned may be changed as soon as the call is back, so it is kept.
unsafe fn upload(to: u64, from: *const u8, bytes: usize, stream: usize) -> Result<(), i32> {
    let mut state = with_context()?;
    let work = if is_pinned(&state, from as usize, bytes) {
        Work::UploadPinned { to, from: from as usize, bytes: bytes as u64 }
    } else if bytes == 0 {
        Work::Upload { to, bytes: Vec::new() }
    } else {
        // SAFETY: the caller says that so many bytes are there.
        Work::Upload { to, bytes: unsafe { std::slice::from_raw_parts(from, bytes) }.to_vec() }
    };
    state.submit(stream, work)
}

/// A copy to memory that is not pinned is complete when the call is back.
fn download(to: *mut u8, from: u64, bytes: usize, stream: usize) -> Result<(), i32> {
    let mut state = with_context()?;
    let is_pinned = is_pinned(&state, to as usize, bytes);
    state.submit(stream, Work::Download { to: to as usize, from, bytes: bytes as u64 })?;
    if is_pinned { Ok(()) } else { state.drain(stream) }
}

fn is_pinned(state: &State, start: usize, bytes: usize) -> bool {
    let before = state.pinned.range(..=start).next_back();
    before.is_some_and(|(&first, &len)| start + bytes <= first + len)
}

fn copy(to: u64, from: u64, bytes: usize, stream: usize) -> Result<(), i32> {
    with_context()?.submit(stream, Work::Copy { to, from, bytes: bytes as u64 })
}

unsafe fn load(module: *mut usize, source: &str) -> Result<(), i32> {
    let mut state = with_context()?;
    state.ok()?;
    let parsed = ptx::parse(source).map_err(|error| {
        state.findings.push(Finding::of_call(FindingKind::InvalidCall, error.to_string()));
        218
    })?;
    let mut symbols = Symbols::new();
    let mut globals = std::collections::HashMap::new();
    for variable in &parsed.variables {
        let symbol = match (variable.space, variable.size) {
            (Space::Shared, None) => Symbol::DynamicShared,
            (Space::Shared, Some(size)) => Symbol::Shared(size, variable.align),
            (_, size) => {
                let size = size.unwrap_or(variable.init.len() as u64);
                let address = state.allocate(size)?;
                globals.insert(variable.name.clone(), (address, size));
                Symbol::Global(address)
            }
        };
        symbols.insert(variable.name.clone(), symbol);
    }
    for variable in &parsed.variables {
        let Some(&(address, size)) = globals.get(&variable.name) else { continue };
        let mut bytes = variable.init.clone();
        bytes.resize(size as usize, 0);
        for (at, symbol, addend) in &variable.relocations {
            let Some(&(target, _)) = globals.get(symbol) else { return Err(218) };
            let value = target.wrapping_add(*addend as u64).to_le_bytes();
            bytes.get_mut(*at..*at + 8).ok_or(218)?.copy_from_slice(&value);
        }
        // SAFETY: the allocation was just made for so many bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), state.memory.arena.host(address), bytes.len())
        };
        state.mark_written(address, size);
    }
    let handle = state.handle();
    let mut loaded = LoadedModule { globals, ..LoadedModule::default() };
    for kernel in kernels(&parsed, &symbols) {
        let function = state.handle();
        loaded.functions.insert(kernel.name.clone(), function);
        let kernel = Arc::new(kernel);
        state
            .functions
            .insert(function, LoadedFunction { kernel, max_dynamic_shared: 48 << 10, module: handle });
    }
    state.modules.insert(handle, loaded);
    // SAFETY: a pointer of the caller.
    unsafe { *module = handle };
    Ok(())
}

unsafe fn launch(
    function: usize,
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    stream: usize,
    params: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> Result<(), i32> {
    let mut state = with_context()?;
    state.ok()?;
    let LoadedFunction { kernel, max_dynamic_shared, .. } =
        state.functions.get(&function).ok_or(400)?.clone();
    let threads: u64 = block.iter().map(|&n| u64::from(n)).product();
    let limit = if kernel.max_threads > 0 { kernel.max_threads } else { 1024 };
    let fits = grid.iter().all(|&n| n > 0)
        && grid[0] <= i32::MAX as u32
        && grid[1] <= 65_535
        && grid[2] <= 65_535
        && threads > 0
        && threads <= limit.min(1024)
        && block[2] <= 64
        && i64::from(shared) <= i64::from(max_dynamic_shared);
    if !fits {
        let message = format!(
            "kernel {}: grid {grid:?}, block {block:?} of at most {limit} threads, {shared} bytes of dynamic shared memory of at most {max_dynamic_shared}",
            kernel.name
        );
        state.findings.push(Finding::of_call(FindingKind::InvalidLaunch, message));
        return Err(INVALID_VALUE);
    }
    let mut bytes = vec![0; kernel.param_bytes as usize];
    // SAFETY: the caller gives a pointer for each parameter, or a buffer and its size between marks.
    unsafe {
        if !params.is_null() {
            for (i, &(offset, size)) in kernel.params.iter().enumerate() {
                let from = params.add(i).read().cast::<u8>();
                std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr().add(offset as usize), size as usize);
            }
        } else if !extra.is_null() {
            let (buffer, size) =
                (extra.add(1).read().cast::<u8>(), extra.add(3).read().cast::<usize>().read());
            if size != bytes.len() {
                let message = format!(
                    "kernel {}: {size} bytes of arguments, its parameters have {}",
                    kernel.name,
                    bytes.len()
                );
                state.findings.push(Finding::of_call(FindingKind::InvalidLaunch, message));
                return Err(INVALID_VALUE);
            }
            std::ptr::copy_nonoverlapping(buffer, bytes.as_mut_ptr(), size);
        } else if !kernel.params.is_empty() {
            return Err(INVALID_VALUE);
        }
    }
    let launch = KernelLaunch { kernel, params: bytes, grid, block, dynamic_shared: shared };
    state.submit(stream, Work::Launch(Box::new(launch)))
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
        801 => c"CUDA_ERROR_NOT_SUPPORTED",
        _ => c"CUDA_ERROR_UNKNOWN",
    };
    // SAFETY: a pointer of the caller.
    unsafe { *name = text.as_ptr() };
    Ok(())
}
