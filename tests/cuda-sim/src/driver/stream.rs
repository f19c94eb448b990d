//! Streams and events: queues of work, and marks in them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use super::State;
use super::run::Work;

/// A queue.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    queue: VecDeque<(u64, Work)>,
    /// It does not wait for the stream 0, nor that one for it.
    is_independent: bool,
    /// Given at its making.
    pub(super) flags: u32,
}

impl Stream {
    /// The one that is always there.
    pub(super) fn null() -> Self {
        Self::default()
    }

    pub(super) fn new(flags: u32) -> Self {
        Self { queue: VecDeque::new(), is_independent: flags & 1 != 0, flags }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// One recording of an event.
#[derive(Debug)]
pub(crate) struct Mark {
    pub(super) stream: usize,
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
    pub(super) fn new(stream: usize) -> Self {
        Self { stream, is_reached: AtomicBool::new(false), at: AtomicU64::new(0) }
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
    /// Puts work at the end of a stream, and does it unless it can wait.
    pub(super) fn submit(&mut self, stream: usize, work: Work) -> Result<(), i32> {
        self.ok()?;
        self.sequence += 1;
        let sequence = self.sequence;
        let Some(queue) = self.streams.get_mut(&stream) else {
            return Err(self.invalid(format!("stream {stream:#x} does not exist")));
        };
        queue.queue.push_back((sequence, work));
        if self.config.lazy { Ok(()) } else { self.drain(stream) }
    }

    /// Does all work of a stream.
    pub(super) fn drain(&mut self, stream: usize) -> Result<(), i32> {
        self.drain_until(stream, u64::MAX);
        self.ok()
    }

    /// Does all work of all streams.
    pub(super) fn drain_all(&mut self) -> Result<(), i32> {
        let streams: Vec<usize> = self.streams.keys().copied().collect();
        for stream in streams {
            self.drain_until(stream, u64::MAX);
        }
        self.ok()
    }

    /// Does the work of a stream that was submitted up to a point, and what it waits for.
    fn drain_until(&mut self, stream: usize, last: u64) {
        loop {
            let Some(queue) = self.streams.get_mut(&stream) else { return };
            if queue.queue.front().is_none_or(|(sequence, _)| *sequence > last) {
                return;
            }
            let is_independent = queue.is_independent;
            let Some((sequence, work)) = queue.queue.pop_front() else { return };
            if stream == 0 {
                let others =
                    self.streams.iter().filter(|(other, queue)| **other != 0 && !queue.is_independent);
                let others: Vec<usize> = others.map(|(&other, _)| other).collect();
                for other in others {
                    self.drain_until(other, sequence);
                }
            } else if !is_independent {
                self.drain_until(0, sequence);
            }
            if let Work::Wait(mark) = &work {
                let stream = mark.stream;
                if !mark.is_reached() {
                    self.drain_until(stream, sequence);
                }
            }
            if self.sticky == 0
                && let Err(code) = self.perform(work)
            {
                self.sticky = code;
            }
        }
    }
}
