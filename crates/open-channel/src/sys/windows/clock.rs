//! Clocks that only go forward.
#![expect(unsafe_code, reason = "the system's clocks are C functions")]

use std::time::Duration;

use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};
use windows_sys::Win32::System::SystemInformation::GetTickCount64;

/// Milliseconds of a monotonic clock that costs a few nanoseconds to read. It ticks every 16 ms.
pub(crate) fn coarse_now() -> u64 {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { GetTickCount64() }
}

/// Time since a moment that is the same for all processes of this machine.
pub(crate) fn monotonic_now() -> Duration {
    let (mut count, mut frequency) = (0, 0);
    // SAFETY: both may be written to. The calls cannot fail.
    unsafe {
        QueryPerformanceCounter(&raw mut count);
        QueryPerformanceFrequency(&raw mut frequency);
    }
    let (count, frequency) = (count.unsigned_abs(), frequency.unsigned_abs().max(1));
    let rest = u128::from(count % frequency) * 1_000_000_000 / u128::from(frequency);
    Duration::new(count / frequency, rest as u32)
}
