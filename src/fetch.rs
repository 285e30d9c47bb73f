//! Has the processor fetch memory that will be used soon.
//!
//! The one place with unsafe code: there is no safe word for it yet. It reads nothing, so that no
//! address is wrong for it.

/// Into which of the processor's caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The smallest: for what is used within microseconds, since the next few dozen fetches displace it.
    First,
    /// The one after it, which has room for some milliseconds of fetches.
    Second,
}

/// Where in memory something is kept, and what leads to it. Both may have moved meanwhile: then it is
/// not fetched, and nothing else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    index: usize,
    value: usize,
}

impl Kept {
    /// A value that is kept at an address, and the address of what leads to it.
    pub fn at<I, V>(index: *const I, value: *const V) -> Self {
        Self {
            index: index.addr(),
            value: value.addr(),
        }
    }

    /// Starts to fetch it: of the value two lines.
    #[inline]
    pub fn fetch(&self, level: Level) {
        fetch::<1>(std::ptr::without_provenance(self.index), level);
        fetch::<2>(std::ptr::without_provenance(self.value), level);
    }
}

/// Starts to fetch so many lines from an address, which need not be valid, and does not wait for them.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "a hint that reads nothing; see above")]
#[inline]
pub fn fetch<const LINES: usize>(address: *const u8, level: Level) {
    use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
    /// Bytes of a line of the processor's caches.
    const LINE: usize = 64;
    for line in 0..LINES {
        let line = address.wrapping_add(line * LINE).cast();
        // SAFETY: the instruction is a hint. It never faults, whatever the address.
        unsafe {
            match level {
                Level::First => _mm_prefetch::<_MM_HINT_T0>(line),
                Level::Second => _mm_prefetch::<_MM_HINT_T1>(line),
            }
        }
    }
}

/// Other processors are left to their own foresight.
#[cfg(not(target_arch = "x86_64"))]
pub const fn fetch<const LINES: usize>(_address: *const u8, _level: Level) {}
