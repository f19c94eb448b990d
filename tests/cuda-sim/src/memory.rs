//! Device memory: an address space of its own, allocations in it, and what is free.
//!
//! A device address is the address of the byte in this process with bits set that no pointer has, so a
//! program that follows one ends at once. Managed memory, which the host may touch, has addresses without
//! these bits.
//!
//! **Invariant:** an address is never given out twice, so an access to what was freed is always found.

#![expect(unsafe_code, reason = "the arena is mapped memory, which kernels read and write")]

use std::collections::BTreeMap;
use std::sync::Arc;

/// Bits that make a device address of an address of this process.
const DEVICE_TAG: u64 = 7 << 48;
/// Bits of a device address that are the address in this process.
pub const HOST_BITS: u64 = (1 << 48) - 1;
/// The address that memory is requested at, so that addresses are the same in every run. No window of generic
/// addresses overlaps it.
const ARENA_HINT: usize = 1 << 44;
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

// SAFETY: the arena is plain memory for as long as the process lives; who may read and write when is up to
// the streams.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    fn new() -> Self {
        // SAFETY: a private anonymous mapping at an address that the system chooses.
        let base = unsafe {
            libc::mmap(
                ARENA_HINT as *mut libc::c_void,
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

    /// The memory of a device address.
    pub fn host(&self, address: u64) -> *mut u8 {
        self.base.with_addr((address & HOST_BITS) as usize)
    }
}

/// A live allocation.
#[derive(Debug, Clone, Copy)]
struct Allocation {
    bytes: u64,
    owner: Owner,
}

/// Whose memory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Ordinal.
    pub device: usize,
    /// Handle; its end gives the memory back.
    pub context: usize,
}

/// What is allocated.
#[derive(Debug)]
pub struct Memory {
    /// The memory behind it.
    pub arena: Arc<Arena>,
    /// The next free address of this process.
    next: u64,
    /// Allocations by their first address.
    live: BTreeMap<u64, Allocation>,
    freed: Vec<(u64, u64)>,
    /// Bytes that each device has in use.
    used: Vec<u64>,
    /// Bytes that each device has.
    pub total: u64,
    /// Ranges by device, rebuilt after a change.
    snapshots: BTreeMap<usize, Arc<Ranges>>,
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
    /// Devices with so many bytes each.
    pub fn new(total: u64) -> Self {
        let arena = Arena::new();
        Self {
            next: arena.base as u64 + ALIGN,
            arena: Arc::new(arena),
            live: BTreeMap::new(),
            freed: Vec::new(),
            used: Vec::new(),
            total,
            snapshots: BTreeMap::new(),
        }
    }

    /// Poisoned memory of a device; `None` if there is not enough.
    pub fn allocate(&mut self, owner: Owner, bytes: u64) -> Option<u64> {
        self.take(owner, bytes, DEVICE_TAG)
    }

    /// Allocates at an address that the host may use too; `None` also if the system gave no address space for
    /// that.
    pub fn allocate_managed(&mut self, owner: Owner, bytes: u64) -> Option<u64> {
        if self.arena.base.addr() != ARENA_HINT { None } else { self.take(owner, bytes, 0) }
    }

    fn take(&mut self, owner: Owner, bytes: u64, tag: u64) -> Option<u64> {
        let bytes = bytes.max(1);
        let end = self.next.checked_add(bytes)?;
        if bytes > self.available(owner.device)
            || end - self.arena.base as u64 > ARENA_BYTES as u64 - 2 * ALIGN
        {
            return None;
        }
        let start = self.next | tag;
        // A gap behind every allocation, so that the next one is not hit by accident.
        self.next = end.next_multiple_of(ALIGN) + ALIGN;
        if self.used.len() <= owner.device {
            self.used.resize(owner.device + 1, 0);
        }
        self.used[owner.device] += bytes;
        self.live.insert(start, Allocation { bytes, owner });
        self.snapshots.clear();
        // SAFETY: the range is inside the arena, and nothing else uses it.
        unsafe { self.arena.host(start).write_bytes(0xff, bytes as usize) };
        Some(start)
    }

    /// Takes memory back: how many bytes; `None` if nothing starts there.
    pub fn free(&mut self, start: u64) -> Option<u64> {
        let Allocation { bytes, owner } = self.live.remove(&start)?;
        self.used[owner.device] -= bytes;
        self.snapshots.clear();
        if self.freed.len() < MAX_FREED {
            self.freed.push((start, start + bytes));
        }
        let page = 4096;
        let first = (self.arena.host(start) as usize).next_multiple_of(page);
        let end = (self.arena.host(start) as usize + bytes as usize) / page * page;
        if end > first {
            // SAFETY: whole pages of a range that nothing uses any more.
            unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_DONTNEED) };
        }
        Some(bytes)
    }

    /// Bytes of a device that are free.
    pub fn available(&self, device: usize) -> u64 {
        self.total.saturating_sub(self.used.get(device).copied().unwrap_or(0))
    }

    /// The allocation around an address: its start and bytes.
    pub fn around(&self, address: u64) -> Option<(u64, u64)> {
        let (&start, allocation) = self.live.range(..=address).next_back()?;
        (address < start + allocation.bytes).then_some((start, allocation.bytes))
    }

    /// Where `bytes` at `address` are in this process, if they are all in one allocation.
    pub fn host(&self, address: u64, bytes: u64) -> Option<*mut u8> {
        let (start, len) = self.around(address)?;
        (bytes <= start + len - address).then(|| self.arena.host(address))
    }

    /// The device whose memory is at an address.
    pub fn device_of(&self, address: u64) -> Option<usize> {
        let (start, _) = self.around(address)?;
        self.live.get(&start).map(|allocation| allocation.owner.device)
    }

    /// All allocations of a context: start and bytes.
    pub fn live(&self, context: usize) -> impl Iterator<Item = (u64, u64)> + '_ {
        let own = self.live.iter().filter(move |(_, allocation)| allocation.owner.context == context);
        own.map(|(&start, allocation)| (start, allocation.bytes))
    }

    /// The ranges that a launch on a device may access.
    pub fn ranges(&mut self, device: usize) -> Arc<Ranges> {
        if let Some(ranges) = self.snapshots.get(&device) {
            return Arc::clone(ranges);
        }
        let mut freed = self.freed.clone();
        freed.sort_unstable();
        let own = self.live.iter().filter(|(_, allocation)| allocation.owner.device == device);
        let live = own.map(|(&start, allocation)| (start, start + allocation.bytes)).collect();
        let ranges = Arc::new(Ranges { live, freed });
        self.snapshots.insert(device, Arc::clone(&ranges));
        ranges
    }
}
