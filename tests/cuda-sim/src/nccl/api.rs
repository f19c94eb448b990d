//! The functions of `libnccl`.
//!
//! Source: NVIDIA, "NCCL"; names and arguments are those of `nccl.h`, numbers those of its enumerations. All
//! communicators of a clique belong to this process, and a group has the calls of all its ranks: that other
//! threads or processes give theirs is not modelled.

#![expect(unsafe_code, reason = "functions of C with pointers of the caller")]
#![allow(non_snake_case, reason = "names of `nccl.h`")]
#![allow(clippy::missing_safety_doc, reason = "the library's own documentation says what its arguments are")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::{c_char, c_int};
use std::sync::Arc;

use super::{AllReduce, Communicator, Part};
use crate::driver::{State, Work, state};

/// `ncclResult_t`.
const UNHANDLED_CUDA_ERROR: i32 = 1;
const INVALID_ARGUMENT: i32 = 4;
const INVALID_USAGE: i32 = 5;
const REMOTE_ERROR: i32 = 6;
/// `ncclFloat32`, `ncclFloat64` and `ncclSum`.
const FLOAT32: c_int = 7;
const FLOAT64: c_int = 8;
const SUM: c_int = 0;

thread_local! {
    /// Groups that this thread has opened, and the calls made in them.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static CALLS: RefCell<Vec<Part>> = const { RefCell::new(Vec::new()) };
}

exports! {
    fn ncclGetVersion(version: *mut c_int) { *version = 22_703; Ok(()) }
    fn ncclCommInitAll(communicators: *mut usize, count: c_int, devices: *const c_int) {
        let count = usize::try_from(count).ok().filter(|&count| count > 0).ok_or(INVALID_ARGUMENT)?;
        let device = |rank: usize| if devices.is_null() { rank as c_int } else { devices.add(rank).read() };
        let devices: Vec<c_int> = (0..count).map(device).collect();
        for (rank, handle) in begin_clique(&mut state(), &devices)?.into_iter().enumerate() {
            communicators.add(rank).write(handle);
        }
        Ok(())
    }
    fn ncclCommDestroy(communicator: usize) { end_communicator(communicator) }
    fn ncclCommAbort(communicator: usize) { end_communicator(communicator) }
    fn ncclCommGetAsyncError(communicator: usize, error: *mut c_int) {
        let state = state();
        let communicator = state.communicators.get(&communicator).ok_or(INVALID_ARGUMENT)?;
        *error = if communicator.has_failed { REMOTE_ERROR } else { 0 };
        Ok(())
    }
    fn ncclGroupStart() { DEPTH.set(DEPTH.get() + 1); Ok(()) }
    fn ncclGroupEnd() {
        let depth = DEPTH.get().checked_sub(1).ok_or(INVALID_USAGE)?;
        DEPTH.set(depth);
        if depth == 0 { end_group(&mut state()) } else { Ok(()) }
    }
    fn ncclAllReduce(
        send: u64, receive: u64, count: usize, data_type: c_int, operation: c_int,
        communicator: usize, stream: usize,
    ) {
        let is_wide = match data_type {
            FLOAT32 => false,
            FLOAT64 => true,
            _ => {
                let problem = format!("sums of NCCL's type {data_type} are not simulated");
                return Err(refuse(&mut state(), problem));
            }
        };
        let mut part = Part { communicator, send, receive, count, is_wide, stream };
        part.stream = check(&mut state(), &part, operation)?;
        CALLS.with_borrow_mut(|calls| calls.push(part));
        if DEPTH.get() == 0 { end_group(&mut state()) } else { Ok(()) }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclGetErrorString(result: c_int) -> *const c_char {
    let text = match result {
        0 => c"no error",
        UNHANDLED_CUDA_ERROR => c"unhandled cuda error",
        INVALID_ARGUMENT => c"invalid argument",
        INVALID_USAGE => c"invalid usage",
        REMOTE_ERROR => c"remote process exited or there was a network error",
        _ => c"unknown result code",
    };
    text.as_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ncclGetLastError(_communicator: usize) -> *const c_char {
    c"".as_ptr()
}

/// Communicators of devices, each of which may be there once.
fn begin_clique(state: &mut State, devices: &[c_int]) -> Result<Vec<usize>, i32> {
    let mut known = Vec::new();
    for &device in devices {
        let device = usize::try_from(device).ok().filter(|&device| device < state.devices());
        known.push(device.ok_or(INVALID_ARGUMENT)?);
    }
    let mut distinct = known.clone();
    distinct.sort_unstable();
    distinct.dedup();
    if distinct.len() < known.len() {
        return Err(INVALID_USAGE);
    }
    let (clique, ranks) = (state.handle(), known.len());
    let handles = known.into_iter().enumerate().map(|(rank, device)| {
        let handle = state.handle();
        let communicator = Communicator { clique, rank, ranks, device, has_failed: false };
        state.communicators.insert(handle, communicator);
        handle
    });
    Ok(handles.collect())
}

fn end_communicator(communicator: usize) -> Result<(), i32> {
    let mut state = state();
    match state.communicators.remove(&communicator) {
        Some(_) => Ok(()),
        None => {
            Err(refuse(&mut state, format!("a communicator {communicator:#x} is ended, and there is none")))
        }
    }
}

/// Keeps a mistake; the error of its call.
fn refuse(state: &mut State, message: String) -> i32 {
    state.invalid(message);
    INVALID_ARGUMENT
}

/// Checks a call without regard to the other ranks. Returns its stream.
fn check(state: &mut State, part: &Part, operation: c_int) -> Result<usize, i32> {
    let Some(communicator) = state.communicators.get(&part.communicator) else {
        let handle = part.communicator;
        return Err(refuse(state, format!("an all-reduce of a communicator {handle:#x}, and there is none")));
    };
    if communicator.has_failed {
        return Err(REMOTE_ERROR);
    }
    let &Communicator { rank, device, .. } = communicator;
    let who = format!("an all-reduce of rank {rank}, which is device {device}:");
    if operation != SUM {
        return Err(refuse(state, format!("{who} operation {operation} is not simulated")));
    }
    for (what, address) in [("is summed", part.send), ("is written", part.receive)] {
        let found = state.memory.device_of(address);
        if part.count > 0 && found != Some(device) {
            return Err(refuse(
                state,
                format!("{who} what {what} lies at {address:#x}, on device {found:?}"),
            ));
        }
    }
    match state.stream_and_device(part.stream) {
        Some((stream, found)) if found == device => Ok(stream),
        other => {
            let found = other.map(|(_, device)| device);
            Err(refuse(state, format!("{who} its stream is one of device {found:?}")))
        }
    }
}

/// The calls of a group go into their streams, clique by clique.
fn end_group(state: &mut State) -> Result<(), i32> {
    let mut cliques: BTreeMap<usize, Vec<(usize, usize, Part)>> = BTreeMap::new();
    for part in CALLS.take() {
        let Some(communicator) = state.communicators.get(&part.communicator) else {
            return Err(INVALID_ARGUMENT);
        };
        let &Communicator { clique, rank, ranks, .. } = communicator;
        cliques.entry(clique).or_default().push((rank, ranks, part));
    }
    for (clique, mut calls) in cliques {
        calls.sort_by_key(|&(rank, ..)| rank);
        let ranks = calls[0].1;
        if !calls.iter().map(|&(rank, ..)| rank).eq(0..ranks) {
            let found: Vec<usize> = calls.iter().map(|&(rank, ..)| rank).collect();
            state.invalid(format!(
                "an all-reduce of {ranks} ranks is called by ranks {found:?} in one group: the others would \
                 be waited for"
            ));
            return Err(INVALID_USAGE);
        }
        let parts: Vec<Part> = calls.into_iter().map(|(_, _, part)| part).collect();
        let shape = |part: &Part| (part.count, part.is_wide);
        if let Some(other) = parts.iter().find(|part| shape(part) != shape(&parts[0])) {
            let (first, other) = (shape(&parts[0]), shape(other));
            let message =
                format!("an all-reduce of ranks that differ in length or width: {first:?}, {other:?}");
            return Err(refuse(state, message));
        }
        let streams: Vec<usize> = parts.iter().map(|part| part.stream).collect();
        let work = Work::AllReduce(Arc::new(AllReduce { clique, parts }));
        state.submit_to_all(&streams, work).map_err(|_| UNHANDLED_CUDA_ERROR)?;
    }
    Ok(())
}
