//! Streams and events: queues of work, and marks in them.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use super::run::Work;
use super::{CURRENT, INVALID_CONTEXT, State};

/// Streams that every context has, under these names.
const LEGACY_NAMES: usize = 2;

/// A queue.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    queue: VecDeque<(u64, Work)>,
    /// It is the stream 0 of its context, which waits for the others, and they for it.
    pub(super) is_null: bool,
    /// Not for this one.
    is_independent: bool,
    pub(super) context: usize,
    /// Given at its making.
    pub(super) flags: u32,
    /// The graph that its work goes into.
    pub(super) capture: Option<usize>,
    /// A function of the program that has not come back.
    call: Option<JoinHandle<()>>,
}

impl Stream {
    /// The one that a context always has.
    pub(super) fn null(context: usize) -> Self {
        Self { is_null: true, context, ..Self::default() }
    }

    pub(super) fn new(context: usize, flags: u32) -> Self {
        Self { is_independent: flags & 1 != 0, context, flags, ..Self::default() }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.call.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

/// One recording of an event.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(super) stream: usize,
    /// The graph that it is recorded in; then it is never reached.
    pub(super) graph: Option<usize>,
    is_reached: AtomicBool,
    /// Nanoseconds since the first of all marks.
    at: AtomicU64,
}

/// An event: its last recording.
#[derive(Debug, Default)]
pub(crate) struct Event {
    pub(super) mark: Option<Arc<Mark>>,
}

impl Mark {
    pub(super) fn new(stream: usize, graph: Option<usize>) -> Self {
        Self { stream, graph, is_reached: AtomicBool::new(false), at: AtomicU64::new(0) }
    }

    pub(super) fn is_reached(&self) -> bool {
        self.is_reached.load(Ordering::Relaxed)
    }

    pub(super) fn reach(&self) {
        static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        self.at.store(START.elapsed().as_nanos() as u64, Ordering::Relaxed);
        self.is_reached.store(true, Ordering::Relaxed);
    }

    pub(super) fn milliseconds_to(&self, later: &Self) -> f32 {
        let at = |mark: &Self| mark.at.load(Ordering::Relaxed) as f64;
        ((at(later) - at(self)) / 1e6) as f32
    }
}

impl State {
    /// The stream that a program means: 0 is that of the current context.
    pub(super) fn key(&self, stream: usize) -> Result<usize, i32> {
        match (stream <= LEGACY_NAMES, CURRENT.get()) {
            (false, _) => Ok(stream),
            (true, 0) => Err(INVALID_CONTEXT),
            (true, context) => Ok(context),
        }
    }

    /// Puts work at the end of a stream, and does it unless it can wait.
    pub(crate) fn submit(&mut self, stream: usize, work: Work) -> Result<(), i32> {
        self.ok()?;
        let stream = self.key(stream)?;
        if let Work::Wait(mark) = &work
            && let Some(graph) = mark.graph
        {
            self.join_capture(stream, graph)?;
        }
        if let Some(graph) = self.capture_of(stream) {
            return self.record_work(graph, work);
        }
        self.sequence += 1;
        let sequence = self.sequence;
        let Some(queue) = self.streams.get_mut(&stream) else {
            return Err(self.invalid(format!("stream {stream:#x} does not exist")));
        };
        if let Some(&code) = self.sticky.get(&queue.context) {
            return Err(code);
        }
        queue.queue.push_back((sequence, work));
        if !self.config.lazy {
            self.drain_until(stream, u64::MAX, false);
        }
        // A kernel's failure is reported by the next call, as on a real device.
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Puts work into the first of several streams, which is done once all of them have come to it, and for
    /// which all of them wait.
    pub(crate) fn submit_to_all(&mut self, streams: &[usize], work: Work) -> Result<(), i32> {
        let Some((&first, others)) = streams.split_first() else { return Ok(()) };
        for &stream in others {
            let mark = Arc::new(Mark::new(stream, None));
            self.submit(stream, Work::Record(Arc::clone(&mark)))?;
            self.submit(first, Work::Wait(mark))?;
        }
        self.submit(first, work)?;
        let done = Arc::new(Mark::new(first, None));
        self.submit(first, Work::Record(Arc::clone(&done)))?;
        others.iter().try_for_each(|&stream| self.submit(stream, Work::Wait(Arc::clone(&done))))
    }

    /// The stream that a program means, and its device.
    pub(crate) fn stream_and_device(&self, stream: usize) -> Option<(usize, usize)> {
        let key = self.key(stream).ok()?;
        let device = self.contexts.get(&self.streams.get(&key)?.context)?;
        Some((key, *device))
    }

    /// Does all work of a stream, and waits until it is done.
    pub(crate) fn drain(&mut self, stream: usize) -> Result<(), i32> {
        let stream = self.key(stream)?;
        self.refuse_capture(stream)?;
        self.drain_until(stream, u64::MAX, true);
        self.failed.take().map_or_else(|| self.ok(), Err)
    }

    /// Does what can be done of a stream without waiting; whether that is all.
    pub(super) fn poll(&mut self, stream: usize) -> bool {
        let is_idle = self.streams.get(&stream).is_none_or(Stream::is_idle);
        // Whoever asks in a loop gets on, but not at once.
        self.drain_until(stream, u64::MAX, false);
        is_idle
    }

    /// Does all work of all streams of a context.
    pub(super) fn drain_context(&mut self, context: usize) -> Result<(), i32> {
        let mut own: Vec<usize> =
            self.streams.iter().filter(|(_, queue)| queue.context == context).map(|(&key, _)| key).collect();
        own.sort_unstable();
        own.iter().try_for_each(|&stream| self.refuse_capture(stream))?;
        for stream in own {
            self.drain_until(stream, u64::MAX, true);
        }
        self.ok()
    }

    /// Does all work of all contexts.
    pub(super) fn drain_all(&mut self) -> Result<(), i32> {
        let mut contexts: Vec<usize> = self.contexts.keys().copied().collect();
        contexts.sort_unstable();
        contexts.into_iter().try_for_each(|context| self.drain_context(context))
    }

    /// Does the work of a stream that was submitted up to a point, and first what it depends on. False if
    /// functions of the program are still to come back and may not be waited for.
    fn drain_until(&mut self, stream: usize, last: u64, waits: bool) -> bool {
        loop {
            let Some(queue) = self.streams.get_mut(&stream) else { return true };
            match queue.call.take_if(|call| waits || call.is_finished()) {
                Some(call) => drop(call.join()),
                None if queue.call.is_some() => return false,
                None => {}
            }
            let Some(&(sequence, ref work)) = queue.queue.front().filter(|(sequence, _)| *sequence <= last)
            else {
                return true;
            };
            let awaited = match work {
                Work::Wait(mark) if !mark.is_reached() => Some(mark.stream),
                _ => None,
            };
            let before = self.before(stream).into_iter().chain(awaited);
            if !before.collect::<Vec<_>>().into_iter().all(|other| self.drain_until(other, sequence, waits)) {
                return false;
            }
            let Some(queue) = self.streams.get_mut(&stream) else { return true };
            let context = queue.context;
            let Some((_, work)) = queue.queue.pop_front() else { return true };
            if self.sticky.contains_key(&context) {
                continue;
            }
            match work {
                Work::Call(function, data) => {
                    queue.call = Some(std::thread::spawn(move || function(data as *mut c_void)));
                }
                Work::Launch(launch) => {
                    if let Err(code) = self.launch(&launch) {
                        self.sticky.insert(context, code);
                    }
                }
                work => {
                    if let Err(code) = self.perform(work) {
                        self.failed.get_or_insert(code);
                    }
                }
            }
        }
    }

    /// Streams whose earlier work comes first, by the rule of the stream 0.
    fn before(&self, stream: usize) -> Vec<usize> {
        let Some(queue) = self.streams.get(&stream) else { return Vec::new() };
        if queue.is_independent {
            return Vec::new();
        }
        if !queue.is_null {
            return vec![queue.context];
        }
        let blocking =
            |other: &Stream| other.context == queue.context && !other.is_null && !other.is_independent;
        let mut others: Vec<usize> =
            self.streams.iter().filter(|(_, other)| blocking(other)).map(|(&key, _)| key).collect();
        others.sort_unstable();
        others
    }
}
