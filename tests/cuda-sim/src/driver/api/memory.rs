//! Allocations, pools and copies.

#![expect(unsafe_code, reason = "functions of C with pointers of the caller")]
#![allow(non_snake_case, reason = "names of `cuda.h`")]
#![allow(clippy::missing_safety_doc, reason = "the driver's own documentation says what its arguments are")]

use std::ffi::{c_int, c_uint, c_void};

use super::super::pool::DEFAULT;
use super::super::run::Work;
use super::super::{INVALID_VALUE, NOT_SUPPORTED, OUT_OF_MEMORY, State, state};
use super::with_context;

exports! {
    fn cuMemAlloc_v2(address: *mut u64, bytes: usize) {
        if bytes == 0 { return Err(INVALID_VALUE); }
        *address = with_context()?.allocate(bytes as u64)?;
        Ok(())
    }
    // The host writes it without a word, so it counts as written.
    fn cuMemAllocManaged(address: *mut u64, bytes: usize, _flags: c_uint) {
        if bytes == 0 { return Err(INVALID_VALUE); }
        let mut state = with_context()?;
        state.ok()?;
        let owner = state.owner()?;
        if bytes as u64 > state.memory.available(owner.device) { return Err(OUT_OF_MEMORY); }
        *address = state.memory.allocate_managed(owner, bytes as u64).ok_or(NOT_SUPPORTED)?;
        Ok(())
    }
    fn cuMemAllocAsync(address: *mut u64, bytes: usize, stream: usize) {
        let mut state = with_context()?;
        let pool = DEFAULT + state.owner()?.device;
        *address = state.allocate_from(pool, stream, bytes)?;
        Ok(())
    }
    fn cuMemAllocFromPoolAsync(address: *mut u64, bytes: usize, pool: usize, stream: usize) {
        *address = with_context()?.allocate_from(pool, stream, bytes)?;
        Ok(())
    }
    // All streams are waited for, as the driver does.
    fn cuMemFree_v2(address: u64) {
        let mut state = with_context()?;
        state.drain_all()?;
        state.free(address)
    }
    fn cuMemFreeAsync(address: u64, stream: usize) { with_context()?.submit(stream, Work::Free(address)) }
    fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
        let state = with_context()?;
        *free = state.memory.available(state.owner()?.device) as usize;
        *total = state.memory.total as usize;
        Ok(())
    }
    fn cuMemPrefetchAsync_v2(
        _address: u64, _bytes: usize, _kind: c_int, _id: c_int, _flags: c_uint, _stream: usize,
    ) {
        with_context()?.ok()
    }

    fn cuDeviceGetDefaultMemPool(pool: *mut usize, device: c_int) {
        *pool = DEFAULT + device as usize;
        Ok(())
    }
    fn cuDeviceGetMemPool(pool: *mut usize, device: c_int) { *pool = DEFAULT + device as usize; Ok(()) }
    fn cuMemPoolCreate(pool: *mut usize, _properties: *const c_void) {
        let mut state = state();
        let handle = state.handle();
        state.pools.insert(handle, super::super::Pool::default());
        *pool = handle;
        Ok(())
    }
    fn cuMemPoolDestroy(pool: usize) {
        state().pools.remove(&pool).filter(|_| pool < DEFAULT).map(|_| ()).ok_or(INVALID_VALUE)
    }
    fn cuMemPoolTrimTo(pool: usize, _bytes: usize) { state().pool(pool).map(|_| ()) }
    fn cuMemPoolGetAttribute(pool: usize, attribute: c_int, value: *mut c_void) {
        state().pool_attribute(pool, attribute, value)
    }
    fn cuMemPoolSetAttribute(pool: usize, attribute: c_int, value: *const c_void) {
        state().set_pool_attribute(pool, attribute, value)
    }

    fn cuMemHostAlloc(pointer: *mut *mut c_void, bytes: usize, flags: c_uint) {
        let mut state = with_context()?;
        let memory = libc::calloc(bytes.max(1), 1);
        if memory.is_null() { return Err(OUT_OF_MEMORY); }
        state.pinned.insert(memory as usize, (bytes, flags));
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
    fn cuMemHostGetFlags(flags: *mut c_uint, pointer: *const c_void) {
        *flags = with_context()?.pinned.get(&(pointer as usize)).ok_or(INVALID_VALUE)?.1;
        Ok(())
    }

    fn cuMemsetD8_v2(to: u64, value: u8, count: usize) { fill(to, u32::from(value), 1, count, None) }
    fn cuMemsetD32_v2(to: u64, value: c_uint, count: usize) { fill(to, value, 4, count, None) }
    fn cuMemsetD8Async(to: u64, value: u8, count: usize, stream: usize) {
        fill(to, u32::from(value), 1, count, Some(stream))
    }
    fn cuMemsetD16Async(to: u64, value: u16, count: usize, stream: usize) {
        fill(to, u32::from(value), 2, count, Some(stream))
    }
    fn cuMemsetD32Async(to: u64, value: c_uint, count: usize, stream: usize) {
        fill(to, value, 4, count, Some(stream))
    }
    fn cuMemcpyHtoD_v2(to: u64, from: *const u8, bytes: usize) {
        upload(to, from, bytes, 0)?;
        with_context()?.drain(0)
    }
    fn cuMemcpyHtoDAsync_v2(to: u64, from: *const u8, bytes: usize, stream: usize) {
        upload(to, from, bytes, stream)
    }
    fn cuMemcpyDtoH_v2(to: *mut u8, from: u64, bytes: usize) {
        download(to, from, bytes, 0)?;
        with_context()?.drain(0)
    }
    fn cuMemcpyDtoHAsync_v2(to: *mut u8, from: u64, bytes: usize, stream: usize) {
        download(to, from, bytes, stream)
    }
    fn cuMemcpyDtoD_v2(to: u64, from: u64, bytes: usize) { copy(to, from, bytes, 0) }
    fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: usize) { copy(to, from, bytes, stream) }
    fn cuMemcpyPeerAsync(
        to: u64, _to_context: usize, from: u64, _from_context: usize, bytes: usize, stream: usize,
    ) {
        copy(to, from, bytes, stream)
    }
}

fn fill(to: u64, value: u32, width: u8, count: usize, stream: Option<usize>) -> Result<(), i32> {
    let work = Work::Fill { to, value, width, count: count as u64 };
    with_context()?.submit(stream.unwrap_or(0), work)
}

/// Memory that is not pinned may be changed as soon as the call is back, so it is kept.
unsafe fn upload(to: u64, from: *const u8, bytes: usize, stream: usize) -> Result<(), i32> {
    let mut state = with_context()?;
    // What a graph copies is read when it is launched.
    let stream = state.key(stream)?;
    let work = if state.capture_of(stream).is_some() || is_pinned(&state, from as usize, bytes) {
        Work::UploadPinned { to, from: from as usize, bytes: bytes as u64 }
    } else if bytes == 0 {
        Work::Upload { to, bytes: Vec::new() }
    } else {
        // SAFETY: the caller promises that the memory has so many bytes.
        Work::Upload { to, bytes: unsafe { std::slice::from_raw_parts(from, bytes) }.to_vec() }
    };
    state.submit(stream, work)
}

/// A copy to memory that is not pinned is complete when the call is back.
fn download(to: *mut u8, from: u64, bytes: usize, stream: usize) -> Result<(), i32> {
    let mut state = with_context()?;
    let stream = state.key(stream)?;
    let may_wait = state.capture_of(stream).is_some() || is_pinned(&state, to as usize, bytes);
    state.submit(stream, Work::Download { to: to as usize, from, bytes: bytes as u64 })?;
    if may_wait { Ok(()) } else { state.drain(stream) }
}

fn is_pinned(state: &State, start: usize, bytes: usize) -> bool {
    let before = state.pinned.range(..=start).next_back();
    before.is_some_and(|(&first, &(len, _))| start + bytes <= first + len)
}

fn copy(to: u64, from: u64, bytes: usize, stream: usize) -> Result<(), i32> {
    with_context()?.submit(stream, Work::Copy { to, from, bytes: bytes as u64 })
}
