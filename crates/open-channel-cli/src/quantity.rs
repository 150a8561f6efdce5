//! Numbers with their units, as short as people like them.

use std::time::Duration;

/// `1234` as `1.2k`.
pub(crate) fn count(number: f64) -> String {
    scaled(number, 1000.0, &["", "k", "M", "G", "T"])
}

/// `1536` as `1.5 KiB`.
pub(crate) fn bytes(number: f64) -> String {
    scaled(number, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB"])
}

fn scaled(mut number: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    // What would be rounded up to a whole step is one of the next unit.
    while number >= step - 0.5 && unit + 1 < units.len() {
        number /= step;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && number < 9.95);
    format!("{number:.digits$}{}", units[unit])
}

/// The two largest units: `3d 4h`, `5m 1s`, `1.5s`, `20ms`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{}ms", time.as_millis()),
        1..10 => format!("{:.1}s", time.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (999.0, "999"),
            (999.6, "1.0k"),
            (1234.0, "1.2k"),
            (12_345.0, "12k"),
            (999_600.0, "1.0M"),
            (3.4e9, "3.4G"),
            (1e18, "1000000T"),
        ] {
            assert_eq!(count(number), text);
        }
        for (number, text) in
            [(0.0, "0 B"), (1023.0, "1023 B"), (1536.0, "1.5 KiB"), (1e7, "9.5 MiB")]
        {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn times_have_two_units() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1500, "1.5s"),
            (59_999, "59s"),
            (61_000, "1m 1s"),
            (3_661_000, "1h 1m"),
            (90_000_000, "1d 1h"),
        ] {
            assert_eq!(time(Duration::from_millis(millis)), text);
        }
    }
}
