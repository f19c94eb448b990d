//! Device memory: an address space of its own, allocations in it, and what is free.
//!
//! **Invariant:** an address is never given out twice, so an access to what was freed is always found.
//! **Invariant:** device addresses are no addresses of this process.

#![expect(unsafe_code, reason = "the arena is mapped memory, which kernels read and write")]

use std::collections::BTreeMap;
use std::sync::Arc;

/// Where device addresses begin.
pub const DEVICE_BASE: u64 = 7 << 48;
/// Addresses of a device. Only what is touched takes memory.
const ARENA_BYTES: usize = 1 << 40;
/// Alignment of allocations, as `cuMemAlloc` promises at least.
const ALIGN: u64 = 512;
/// Freed allocations that are remembered, for messages.
const MAX_FREED: usize = 1 << 16;

/// The memory behind device addresses.
#[derive(Debug)]
pub struct Arena {
    base: *mut u8,
}

// SAFETY: the arena is plain memory for as long as the process lives; who may read and write when is up to the streams.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    fn new() -> Self {
        // SAFETY: a private anonymous mapping at an address that the system chooses.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                ARENA_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert!(base != libc::MAP_FAILED, "cuda-sim: no address space for the device");
        Self { base: base.cast() }
    }

    /// Where it is in this process.
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// A device address in this process.
    pub fn host(&self, address: u64) -> *mut u8 {
        self.base.wrapping_add((address - DEVICE_BASE) as usize)
    }
}

/// What is allocated.
#[derive(Debug)]
pub struct Memory {
    /// The memory behind it.
    pub arena: Arc<Arena>,
    next: u64,
    /// Start and bytes.
    live: BTreeMap<u64, u64>,
    freed: Vec<(u64, u64)>,
    used: u64,
    /// Bytes that the device has.
    pub total: u64,
    snapshot: Option<Arc<Ranges>>,
}

/// (start, end) of all allocations, and of those that were freed, in order.
#[derive(Debug, Default)]
pub struct Ranges {
    /// Live ones.
    pub live: Vec<(u64, u64)>,
    /// Freed ones.
    pub freed: Vec<(u64, u64)>,
}

impl Memory {
    /// A device with so many bytes.
    pub fn new(total: u64) -> Self {
        Self {
            arena: Arc::new(Arena::new()),
            next: DEVICE_BASE + ALIGN,
            live: BTreeMap::new(),
            freed: Vec::new(),
            used: 0,
            total,
            snapshot: None,
        }
    }

    /// Poisoned memory; `None` if there is not enough.
    pub fn allocate(&mut self, bytes: u64) -> Option<u64> {
        let bytes = bytes.max(1);
        let free = self.total.saturating_sub(self.used);
        let end = self.next.checked_add(bytes)?;
        if bytes > free || end - DEVICE_BASE > ARENA_BYTES as u64 - 2 * ALIGN {
            return None;
        }
        let start = self.next;
        // A gap behind every allocation, so that the next one is not hit by accident.
        self.next = end.next_multiple_of(ALIGN) + ALIGN;
        self.used += bytes;
        self.live.insert(start, bytes);
        self.snapshot = None;
        // SAFETY: the range is inside the arena, and nobody else's.
        unsafe { self.arena.host(start).write_bytes(0xff, bytes as usize) };
        Some(start)
    }

    /// False if nothing starts there.
    pub fn free(&mut self, start: u64) -> bool {
        let Some(bytes) = self.live.remove(&start) else { return false };
        self.used -= bytes;
        self.snapshot = None;
        if self.freed.len() < MAX_FREED {
            self.freed.push((start, start + bytes));
        }
        let page = 4096;
        let first = (self.arena.host(start) as usize).next_multiple_of(page);
        let end = (self.arena.host(start) as usize + bytes as usize) / page * page;
        if end > first {
            // SAFETY: whole pages of a range that is nobody's any more.
            unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_DONTNEED) };
        }
        true
    }

    /// Bytes that are free.
    pub fn available(&self) -> u64 {
        self.total.saturating_sub(self.used)
    }

    /// The allocation around an address: its start and bytes.
    pub fn around(&self, address: u64) -> Option<(u64, u64)> {
        let (&start, &bytes) = self.live.range(..=address).next_back()?;
        (address < start + bytes).then_some((start, bytes))
    }

    /// Where `bytes` at `address` are in this process, if they are all in one allocation.
    pub fn host(&self, address: u64, bytes: u64) -> Option<*mut u8> {
        let (start, len) = self.around(address)?;
        (bytes <= start + len - address).then(|| self.arena.host(address))
    }

    /// All allocations: start and bytes.
    pub fn live(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.live.iter().map(|(&start, &bytes)| (start, bytes))
    }

    /// What a launch is checked against.
    pub fn ranges(&mut self) -> Arc<Ranges> {
        let Self { snapshot, live, freed, .. } = self;
        let make = || {
            let mut freed = freed.clone();
            freed.sort_unstable();
            Arc::new(Ranges {
                live: live.iter().map(|(&start, &bytes)| (start, start + bytes)).collect(),
                freed,
            })
        };
        Arc::clone(snapshot.get_or_insert_with(make))
    }
}
