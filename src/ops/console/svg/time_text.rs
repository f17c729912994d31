//! Times in UTC as short texts.

use crate::clock::UnixMillis;

/// Hour and minute of a time in UTC, as `10:02`.
pub(in crate::ops::console) fn clock_time(at: UnixMillis) -> String {
    part(at, 11..16)
}

/// Day and time in UTC, as `26 Nov 10:02`.
pub(in crate::ops::console) fn day_and_time(at: UnixMillis) -> String {
    format!("{} {}", day(at), clock_time(at))
}

/// Day of a time in UTC, as `26 Nov`.
pub(super) fn day(at: UnixMillis) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month: usize = part(at, 5..7).parse().unwrap_or(0);
    let name = month.checked_sub(1).and_then(|month| MONTHS.get(month)).copied().unwrap_or("?");
    format!("{} {name}", part(at, 8..10).trim_start_matches('0'))
}

fn part(at: UnixMillis, range: std::ops::Range<usize>) -> String {
    at.to_string().get(range).unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extreme_times_have_labels() {
        assert_eq!(day_and_time("2026-01-02T03:04:05Z".parse().unwrap()), "2 Jan 03:04");
        for at in [i64::MIN, i64::MAX] {
            assert!(!day_and_time(UnixMillis(at)).is_empty());
        }
    }
}
