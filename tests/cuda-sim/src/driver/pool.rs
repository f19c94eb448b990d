//! Pools, from which streams allocate.
//!
//! A pool here keeps nothing back: what is reserved is what is in use. That is what a program must be able to
//! live with.

#![expect(unsafe_code, reason = "attributes are read and written through pointers of the caller")]

use std::ffi::c_void;

use super::{INVALID_HANDLE, INVALID_VALUE, NOT_SUPPORTED, State};

/// Handle of the default pool of device 0; the others' are behind it.
pub(super) const DEFAULT: usize = 0xB001_0000;

/// A pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pool {
    used: u64,
    high: u64,
    /// `CU_MEMPOOL_ATTR_REUSE_*`, as they were set.
    reuse: [i32; 3],
    release_threshold: u64,
}

impl Default for Pool {
    fn default() -> Self {
        Self { used: 0, high: 0, reuse: [1; 3], release_threshold: 0 }
    }
}

impl State {
    /// The pool; default pools exist without being created.
    pub(super) fn pool(&mut self, handle: usize) -> Result<&mut Pool, i32> {
        if (DEFAULT..DEFAULT + self.config.devices).contains(&handle) {
            return Ok(self.pools.entry(handle).or_default());
        }
        self.pools.get_mut(&handle).ok_or(INVALID_HANDLE)
    }

    pub(super) fn allocate_from(&mut self, pool: usize, stream: usize, bytes: usize) -> Result<u64, i32> {
        if bytes == 0 {
            return Err(INVALID_VALUE);
        }
        let stream = self.key(stream)?;
        // A node that allocates would give another address at each launch.
        if let Some(graph) = self.capture_of(stream) {
            self.break_capture(graph);
            return Err(NOT_SUPPORTED);
        }
        self.pool(pool)?;
        let address = self.allocate(bytes as u64)?;
        let pool_of = self.pool(pool)?;
        pool_of.used += bytes as u64;
        pool_of.high = pool_of.high.max(pool_of.used);
        self.pool_of.insert(address, pool);
        Ok(address)
    }

    /// An address was freed.
    pub(super) fn give_back(&mut self, address: u64, bytes: u64) {
        if let Some(pool) = self.pool_of.remove(&address).and_then(|pool| self.pools.get_mut(&pool)) {
            pool.used -= bytes;
        }
    }

    /// Reads an attribute into the caller's memory: an `int` for the first three, else a 64-bit number.
    pub(super) fn pool_attribute(&mut self, pool: usize, attribute: i32, to: *mut c_void) -> Result<(), i32> {
        let pool = *self.pool(pool)?;
        let number = match attribute {
            1..=3 => {
                // SAFETY: the caller gives memory of the type that the attribute has.
                unsafe { to.cast::<i32>().write(pool.reuse[attribute as usize - 1]) };
                return Ok(());
            }
            4 => pool.release_threshold,
            5 | 7 => pool.used,
            6 | 8 => pool.high,
            _ => return Err(INVALID_VALUE),
        };
        // SAFETY: as above.
        unsafe { to.cast::<u64>().write(number) };
        Ok(())
    }

    /// Sets an attribute; of the high marks only 0 can be set.
    pub(super) fn set_pool_attribute(
        &mut self,
        pool: usize,
        attribute: i32,
        from: *const c_void,
    ) -> Result<(), i32> {
        let pool = self.pool(pool)?;
        match attribute {
            // SAFETY: the caller gives memory of the type that the attribute has.
            1..=3 => pool.reuse[attribute as usize - 1] = unsafe { from.cast::<i32>().read() },
            // SAFETY: as above.
            4 => pool.release_threshold = unsafe { from.cast::<u64>().read() },
            // SAFETY: as above.
            6 | 8 if unsafe { from.cast::<u64>().read() } == 0 => pool.high = pool.used,
            _ => return Err(INVALID_VALUE),
        }
        Ok(())
    }
}
