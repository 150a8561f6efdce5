//! A number of seconds on the command line.

use std::time::Duration;

/// Thirty years. More is a mistake, and far more does not fit a clock.
const MOST: f64 = 1e9;

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if seconds.is_nan() {
        return Err("not a number of seconds".to_owned());
    }
    if seconds > MOST {
        return Err(format!("more than {MOST} seconds: choose a shorter time"));
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be more than zero seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_positive_number_of_seconds() {
        assert_eq!(seconds("5"), Ok(Duration::from_secs(5)));
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(seconds("1e9"), Ok(Duration::from_secs(1_000_000_000)));
    }

    #[test]
    fn a_wrong_time_is_told_what_is_wrong_with_it() {
        for (text, problem) in [
            ("0", "more than zero"),
            ("-1", "more than zero"),
            ("1e-30", "more than zero"),
            ("soon", "not a number"),
            ("", "not a number"),
            ("NaN", "not a number"),
            ("inf", "more than 1000000000 seconds"),
            ("1e300", "more than 1000000000 seconds"),
        ] {
            let error = seconds(text).expect_err(text);
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
