//! Modules, functions and launches.

#![expect(unsafe_code, reason = "functions of C with pointers of the caller")]
#![allow(non_snake_case, reason = "names of `cuda.h`")]
#![allow(clippy::missing_safety_doc, reason = "the driver's own documentation says what its arguments are")]

use std::collections::HashMap;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::Arc;

use super::super::run::{KernelLaunch, Work};
use super::super::{CURRENT, INVALID_HANDLE, INVALID_VALUE, LoadedFunction, LoadedModule};
use super::{text, with_context};
use crate::finding::{Finding, FindingKind};
use crate::lower::{Symbol, Symbols, kernels};
use crate::ptx::{self, Space};

const NO_BINARY_FOR_GPU: i32 = 209;
const INVALID_PTX: i32 = 218;
const FILE_NOT_FOUND: i32 = 301;
const NOT_FOUND: i32 = 500;

exports! {
    fn cuModuleLoadData(module: *mut usize, image: *const c_char) {
        // ELF files and fat binaries hold instructions of real devices.
        let magic = image.cast::<[u8; 4]>().read_unaligned();
        if magic == *b"\x7fELF" || magic == 0xBA55_ED50_u32.to_le_bytes() { return Err(NO_BINARY_FOR_GPU); }
        load(module, text(image).map_err(|_| INVALID_PTX)?)
    }
    fn cuModuleLoad(module: *mut usize, path: *const c_char) {
        let source = std::fs::read(text(path)?).map_err(|_| FILE_NOT_FOUND)?;
        if source.starts_with(b"\x7fELF") { return Err(NO_BINARY_FOR_GPU); }
        load(module, std::str::from_utf8(&source).map_err(|_| INVALID_PTX)?)
    }
    fn cuModuleUnload(module: usize) {
        let mut state = with_context()?;
        state.drain_all()?;
        let unloaded = state.modules.remove(&module).ok_or(INVALID_HANDLE)?;
        for (address, _) in unloaded.globals.into_values() { state.free(address)?; }
        state.functions.retain(|_, function| function.module != module);
        Ok(())
    }
    fn cuModuleGetFunction(function: *mut usize, module: usize, name: *const c_char) {
        let name = text(name)?;
        let state = with_context()?;
        let module = state.modules.get(&module).ok_or(INVALID_HANDLE)?;
        *function = *module.functions.get(name).ok_or(NOT_FOUND)?;
        Ok(())
    }
    fn cuModuleGetGlobal_v2(address: *mut u64, bytes: *mut usize, module: usize, name: *const c_char) {
        let name = text(name)?;
        let state = with_context()?;
        let module = state.modules.get(&module).ok_or(INVALID_HANDLE)?;
        let (start, len) = *module.globals.get(name).ok_or(NOT_FOUND)?;
        *address = start;
        if !bytes.is_null() { *bytes = len as usize; }
        Ok(())
    }
    fn cuFuncGetAttribute(value: *mut c_int, attribute: c_int, function: usize) {
        let state = with_context()?;
        let function = state.functions.get(&function).ok_or(INVALID_HANDLE)?;
        let LoadedFunction { kernel, max_dynamic_shared, .. } = function;
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
        let function = state.functions.get_mut(&function).ok_or(INVALID_HANDLE)?;
        if attribute == 8 {
            let shared = function.kernel.shared_bytes as c_int;
            if value < 0 || value + shared > limit { return Err(INVALID_VALUE); }
            function.max_dynamic_shared = value;
        }
        Ok(())
    }
    fn cuFuncSetCacheConfig(_function: usize, _config: c_int) { Ok(()) }
    fn cuFuncGetParamInfo(function: usize, index: usize, offset: *mut usize, bytes: *mut usize) {
        let state = with_context()?;
        let function = state.functions.get(&function).ok_or(INVALID_HANDLE)?;
        let (start, len) = *function.kernel.params.get(index).ok_or(INVALID_VALUE)?;
        *offset = start as usize;
        if !bytes.is_null() { *bytes = len as usize; }
        Ok(())
    }
    fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
        blocks: *mut c_int, function: usize, threads: c_int, shared: usize,
    ) {
        *blocks = occupancy(function, threads, shared)?;
        Ok(())
    }
    fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        blocks: *mut c_int, function: usize, threads: c_int, shared: usize, _flags: c_uint,
    ) {
        *blocks = occupancy(function, threads, shared)?;
        Ok(())
    }
    fn cuOccupancyAvailableDynamicSMemPerBlock(
        bytes: *mut usize, function: usize, blocks: c_int, threads: c_int,
    ) {
        let steps = (0..=i64::from(with_context()?.config.model.shared_optin())).rev().step_by(128);
        let fits = |&bytes: &i64| {
            occupancy(function, threads, bytes as usize).is_ok_and(|most| most >= blocks)
        };
        *bytes = steps.filter(|bytes| bytes % 128 == 0).find(fits).unwrap_or(0) as usize;
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
}

unsafe fn load(module: *mut usize, source: &str) -> Result<(), i32> {
    let mut state = with_context()?;
    state.ok()?;
    let parsed = ptx::parse(source).map_err(|error| {
        state.findings.push(Finding::of_call(FindingKind::InvalidCall, error.to_string()));
        INVALID_PTX
    })?;
    let model = state.config.model;
    if model.is_before(&parsed.target) {
        let message = format!("`.target {}` is newer than the device, {model:?}", parsed.target);
        state.findings.push(Finding::of_call(FindingKind::InvalidCall, message));
        return Err(INVALID_PTX);
    }
    let mut symbols = Symbols::new();
    let mut globals = HashMap::new();
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
            let Some(&(target, _)) = globals.get(symbol) else { return Err(INVALID_PTX) };
            let value = target.wrapping_add(*addend as u64).to_le_bytes();
            bytes.get_mut(*at..*at + 8).ok_or(INVALID_PTX)?.copy_from_slice(&value);
        }
        // SAFETY: the allocation was just made for so many bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), state.memory.arena.host(address), bytes.len())
        };
        state.mark_written(address, size);
    }
    let handle = state.handle();
    let mut loaded = LoadedModule { context: CURRENT.get(), functions: HashMap::new(), globals };
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
    let device = state.owner()?.device;
    let LoadedFunction { kernel, max_dynamic_shared, .. } =
        state.functions.get(&function).ok_or(INVALID_HANDLE)?.clone();
    state.expect_supported(&kernel)?;
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
            "kernel {}: grid {grid:?}, block {block:?} of at most {limit} threads, {shared} bytes of dynamic \
             shared memory of at most {max_dynamic_shared}",
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
    let launch = KernelLaunch { kernel, params: bytes, grid, block, dynamic_shared: shared, device };
    state.submit(stream, Work::Launch(Box::new(launch)))
}

/// Blocks of a function that a multiprocessor holds.
fn occupancy(function: usize, threads: c_int, shared: usize) -> Result<c_int, i32> {
    let state = with_context()?;
    let kernel = &state.functions.get(&function).ok_or(INVALID_HANDLE)?.kernel;
    let threads = u32::try_from(threads).ok().filter(|&threads| threads > 0).ok_or(INVALID_VALUE)?;
    Ok(state.config.model.occupancy(threads, kernel.live_registers, kernel.shared_bytes + shared as u64))
}
