//! Graphs: work that a stream records instead of doing, to be done many times.
//!
//! The order in which work was submitted is one of the orders that its dependencies allow, so a graph is a
//! list.
//!
//! **Invariant:** work that is recorded has no effect until the graph is launched.

use super::run::Work;
use super::{INVALID_HANDLE, INVALID_VALUE, NOT_SUPPORTED, State};

/// What a stream may not do while it records.
const UNSUPPORTED: i32 = 900;
const INVALIDATED: i32 = 901;
const UNMATCHED: i32 = 903;
const ISOLATION: i32 = 905;
pub(super) const CAPTURED_EVENT: i32 = 907;

const AUTO_FREE_ON_LAUNCH: u64 = 1;
const DEVICE_LAUNCH: u64 = 4;
const ALL_FLAGS: u64 = 15;

/// Recorded work.
#[derive(Debug)]
pub(crate) struct Graph {
    work: Vec<Work>,
    /// The stream on which recording was started.
    origin: usize,
    is_broken: bool,
}

impl State {
    pub(super) fn begin_capture(&mut self, stream: usize) -> Result<(), i32> {
        let stream = self.key(stream)?;
        let handle = self.handle();
        let queue = self.streams.get_mut(&stream).ok_or(INVALID_HANDLE)?;
        // The stream 0 orders others' work, and cannot record.
        if queue.is_null {
            return Err(UNSUPPORTED);
        }
        if queue.capture.is_some() {
            return Err(INVALID_VALUE);
        }
        queue.capture = Some(handle);
        self.graphs.insert(handle, Graph { work: Vec::new(), origin: stream, is_broken: false });
        Ok(())
    }

    pub(super) fn end_capture(&mut self, stream: usize) -> Result<usize, i32> {
        let stream = self.key(stream)?;
        let handle = self.capture_of(stream).ok_or(INVALID_VALUE)?;
        let graph = self.graphs.get(&handle).ok_or(INVALID_HANDLE)?;
        if graph.origin != stream {
            return Err(UNMATCHED);
        }
        let is_broken = graph.is_broken;
        for queue in self.streams.values_mut().filter(|queue| queue.capture == Some(handle)) {
            queue.capture = None;
        }
        if is_broken {
            self.graphs.remove(&handle);
            return Err(INVALIDATED);
        }
        Ok(handle)
    }

    /// The graph that a stream records into.
    pub(super) fn capture_of(&self, stream: usize) -> Option<usize> {
        self.streams.get(&stream).and_then(|queue| queue.capture)
    }

    /// 0 for none, 1 while recording, 2 after a mistake.
    pub(super) fn capture_status(&self, stream: usize) -> Result<i32, i32> {
        let graph = self.capture_of(self.key(stream)?);
        Ok(graph.map_or(0, |graph| 1 + i32::from(self.graphs[&graph].is_broken)))
    }

    /// Work that waits for recorded work is recorded too.
    pub(super) fn join_capture(&mut self, stream: usize, graph: usize) -> Result<(), i32> {
        let queue = self.streams.get_mut(&stream).ok_or(INVALID_HANDLE)?;
        if *queue.capture.get_or_insert(graph) == graph { Ok(()) } else { Err(ISOLATION) }
    }

    pub(super) fn record_work(&mut self, graph: usize, work: Work) -> Result<(), i32> {
        let broken = match &work {
            Work::Wait(mark) if mark.graph != Some(graph) => Some(ISOLATION),
            Work::Free(_) => Some(NOT_SUPPORTED),
            _ => None,
        };
        if let Some(code) = broken {
            self.break_capture(graph);
            return Err(code);
        }
        let graph = self.graphs.get_mut(&graph).ok_or(INVALID_HANDLE)?;
        if graph.is_broken {
            return Err(INVALIDATED);
        }
        if !matches!(work, Work::Wait(_) | Work::Record(_)) {
            graph.work.push(work);
        }
        Ok(())
    }

    pub(super) fn break_capture(&mut self, graph: usize) {
        if let Some(graph) = self.graphs.get_mut(&graph) {
            graph.is_broken = true;
        }
    }

    /// Waiting for a stream that records is a mistake.
    pub(super) fn refuse_capture(&mut self, stream: usize) -> Result<(), i32> {
        let Some(graph) = self.capture_of(stream) else { return Ok(()) };
        self.break_capture(graph);
        Err(UNSUPPORTED)
    }

    pub(super) fn instantiate(&mut self, graph: usize, flags: u64) -> Result<usize, i32> {
        if flags & !ALL_FLAGS != 0 || flags & DEVICE_LAUNCH != 0 && flags & AUTO_FREE_ON_LAUNCH != 0 {
            return Err(INVALID_VALUE);
        }
        if flags & DEVICE_LAUNCH != 0 {
            return Err(NOT_SUPPORTED);
        }
        let work = self.graphs.get(&graph).ok_or(INVALID_HANDLE)?.work.clone();
        let handle = self.handle();
        self.executables.insert(handle, work);
        Ok(handle)
    }

    pub(super) fn launch_graph(&mut self, executable: usize, stream: usize) -> Result<(), i32> {
        let work = self.executables.get(&executable).ok_or(INVALID_HANDLE)?.clone();
        work.into_iter().try_for_each(|work| self.submit(stream, work))
    }
}
