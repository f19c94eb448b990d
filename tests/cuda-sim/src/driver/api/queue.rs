//! Streams, events and graphs.

#![expect(unsafe_code, reason = "functions of C with pointers of the caller")]
#![allow(non_snake_case, reason = "names of `cuda.h`")]
#![allow(clippy::missing_safety_doc, reason = "the driver's own documentation says what its arguments are")]

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use super::super::graph::CAPTURED_EVENT;
use super::super::run::Work;
use super::super::stream::{Event, Mark, Stream};
use super::super::{CURRENT, INVALID_HANDLE, INVALID_VALUE, NOT_READY, State, state};
use super::with_context;

exports! {
    fn cuStreamCreate(stream: *mut usize, flags: c_uint) { new_stream(stream, flags) }
    fn cuStreamCreateWithPriority(stream: *mut usize, flags: c_uint, _priority: c_int) {
        new_stream(stream, flags)
    }
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
        let stream = state.key(stream)?;
        state.refuse_capture(stream)?;
        if state.poll(stream) { Ok(()) } else { Err(NOT_READY) }
    }
    fn cuStreamGetFlags(stream: usize, flags: *mut c_uint) {
        let state = with_context()?;
        *flags = state.streams.get(&state.key(stream)?).ok_or(INVALID_HANDLE)?.flags;
        Ok(())
    }
    fn cuStreamGetPriority(_stream: usize, priority: *mut c_int) { *priority = 0; Ok(()) }
    fn cuStreamWaitEvent(stream: usize, event: usize, _flags: c_uint) {
        let mut state = with_context()?;
        let mark = state.events.get(&event).ok_or(INVALID_HANDLE)?.mark.clone();
        match mark {
            Some(mark) => state.submit(stream, Work::Wait(mark)),
            None => state.ok(),
        }
    }
    // Host memory that managed memory is attached to is the same everywhere here.
    fn cuStreamAttachMemAsync(_stream: usize, _address: u64, _bytes: usize, _flags: c_uint) {
        with_context()?.ok()
    }
    fn cuLaunchHostFunc(stream: usize, function: extern "C" fn(*mut c_void), data: *mut c_void) {
        with_context()?.submit(stream, Work::Call(function, data as usize))
    }

    fn cuStreamBeginCapture_v2(stream: usize, _mode: c_int) { with_context()?.begin_capture(stream) }
    fn cuStreamEndCapture(stream: usize, graph: *mut usize) {
        *graph = 0;
        *graph = with_context()?.end_capture(stream)?;
        Ok(())
    }
    fn cuStreamIsCapturing(stream: usize, status: *mut c_int) {
        *status = with_context()?.capture_status(stream)?;
        Ok(())
    }
    fn cuGraphInstantiateWithFlags(executable: *mut usize, graph: usize, flags: u64) {
        *executable = with_context()?.instantiate(graph, flags)?;
        Ok(())
    }
    fn cuGraphUpload(executable: usize, _stream: usize) {
        with_context()?.executables.get(&executable).map(|_| ()).ok_or(INVALID_HANDLE)
    }
    fn cuGraphLaunch(executable: usize, stream: usize) { with_context()?.launch_graph(executable, stream) }
    fn cuGraphExecDestroy(executable: usize) {
        state().executables.remove(&executable).map(|_| ()).ok_or(INVALID_HANDLE)
    }
    fn cuGraphDestroy(graph: usize) { state().graphs.remove(&graph).map(|_| ()).ok_or(INVALID_HANDLE) }

    fn cuEventCreate(event: *mut usize, _flags: c_uint) {
        let mut state = with_context()?;
        let handle = state.handle();
        state.events.insert(handle, Event::default());
        *event = handle;
        Ok(())
    }
    fn cuEventDestroy_v2(event: usize) { state().events.remove(&event).map(|_| ()).ok_or(INVALID_HANDLE) }
    fn cuEventRecord(event: usize, stream: usize) { record(event, stream) }
    fn cuEventRecordWithFlags(event: usize, stream: usize, _flags: c_uint) { record(event, stream) }
    fn cuEventSynchronize(event: usize) {
        let mut state = with_context()?;
        if let Some(mark) = pending(&mut state, event)? { state.drain(mark.stream)?; }
        state.ok()
    }
    fn cuEventQuery(event: usize) {
        let mut state = with_context()?;
        state.ok()?;
        let Some(mark) = pending(&mut state, event)? else { return Ok(()) };
        state.poll(mark.stream);
        Err(NOT_READY)
    }
    fn cuEventElapsedTime(milliseconds: *mut f32, start: usize, end: usize) {
        elapsed(milliseconds, start, end)
    }
    fn cuEventElapsedTime_v2(milliseconds: *mut f32, start: usize, end: usize) {
        elapsed(milliseconds, start, end)
    }
}

unsafe fn new_stream(stream: *mut usize, flags: c_uint) -> Result<(), i32> {
    if stream.is_null() {
        return Err(INVALID_VALUE);
    }
    let mut state = with_context()?;
    let handle = state.handle();
    state.streams.insert(handle, Stream::new(CURRENT.get(), flags));
    // SAFETY: a pointer of the caller.
    unsafe { *stream = handle };
    Ok(())
}

fn record(event: usize, stream: usize) -> Result<(), i32> {
    let mut state = with_context()?;
    let stream = state.key(stream)?;
    let mark = Arc::new(Mark::new(stream, state.capture_of(stream)));
    state.events.get_mut(&event).ok_or(INVALID_HANDLE)?.mark = Some(Arc::clone(&mark));
    state.submit(stream, Work::Record(mark))
}

/// The recording of an event that is not reached. One in a graph can't be waited for.
fn pending(state: &mut State, event: usize) -> Result<Option<Arc<Mark>>, i32> {
    let mark = state.events.get(&event).ok_or(INVALID_HANDLE)?.mark.clone();
    if let Some(graph) = mark.as_ref().and_then(|mark| mark.graph) {
        state.break_capture(graph);
        return Err(CAPTURED_EVENT);
    }
    Ok(mark.filter(|mark| !mark.is_reached()))
}

unsafe fn elapsed(milliseconds: *mut f32, start: usize, end: usize) -> Result<(), i32> {
    let state = with_context()?;
    let mark =
        |event: usize| state.events.get(&event).ok_or(INVALID_HANDLE)?.mark.clone().ok_or(INVALID_HANDLE);
    let (start, end) = (mark(start)?, mark(end)?);
    if !start.is_reached() || !end.is_reached() {
        return Err(NOT_READY);
    }
    // SAFETY: a pointer of the caller.
    unsafe { *milliseconds = start.milliseconds_to(&end) };
    Ok(())
}
