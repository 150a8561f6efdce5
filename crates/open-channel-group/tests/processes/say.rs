//! Output of the other processes: lines with the time of the monotonic clock in front.

macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write;
        let line = format!("{} {}\n", $crate::system::now(), format_args!($($words)*));
        // The test may be over.
        let _ = std::io::stdout().lock().write_all(line.as_bytes());
    }};
}

pub(crate) use say;
