//! Has the processor fetch memory that will be used soon.
//!
//! The one place with unsafe code: there is no safe word for it yet. It reads nothing, so that no
//! address is wrong for it.

/// Starts to fetch so many bytes from an address, which need not be valid, and does not wait for them.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "a hint that reads nothing; see above")]
pub fn fetch(address: *const u8, bytes: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    /// Bytes of a line of the processor's caches.
    const LINE: usize = 64;
    let mut line = address.wrapping_sub(address.addr() % LINE);
    let end = address.wrapping_add(bytes);
    while line < end {
        // SAFETY: the instruction is a hint. It never faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
        line = line.wrapping_add(LINE);
    }
}

/// Other processors are left to their own foresight.
#[cfg(not(target_arch = "x86_64"))]
pub const fn fetch(_address: *const u8, _bytes: usize) {}
