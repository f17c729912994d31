//! Durations as people write them in the configuration and on the command line: `90s`, `1h 30m`, `30d`. A day has
//! 24 hours.
//!
//! A setting is a plain [`Duration`] with `#[serde(with = "crate::clock::human_duration")]`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serializer};

/// Duration that is displayed as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanDuration(pub Duration);

/// Error for a text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a span of time: write it like \"90s\", \"5m\", \"1h 30m\" or \"30d\" (units ms, s, m, h, d)")]
pub struct BadDuration(String);

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Parses a duration: numbers with units, in any order, with or without spaces between them.
///
/// # Errors
/// [`BadDuration`] shows how a duration is written.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let bad = || BadDuration(text.chars().take(64).collect());
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, after) = after.split_at(letters);
        let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        let number: u64 = number.parse().map_err(|_| bad())?;
        total = number.checked_mul(millis).and_then(|part| total.checked_add(part)).ok_or_else(bad)?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(total))
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return f.write_str("0s");
        }
        let mut between = "";
        for (unit, millis) in UNITS {
            // One day is written as "24h", which is what people write.
            if left < millis || (unit == "d" && left < 2 * millis && left % millis == 0 && self.0.as_secs() == 86_400) {
                continue;
            }
            write!(f, "{between}{}{unit}", left / millis)?;
            (left, between) = (left % millis, " ");
        }
        Ok(())
    }
}

/// Serialises a duration as text, e.g. `"1h 30m"`.
///
/// # Errors
/// The serialiser's own.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&HumanDuration(*duration))
}

/// Deserialises a duration from text.
///
/// # Errors
/// [`BadDuration`] as the deserialiser's error.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

/// Serialisation of a setting that may be absent.
pub mod option {
    use super::{Deserializer, Duration, HumanDuration, Serializer};

    /// Serialises a present duration; leave an absent one out with `skip_serializing_if`.
    ///
    /// # Errors
    /// The serialiser's own.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.collect_str(&HumanDuration(*duration)),
            None => serializer.serialize_none(),
        }
    }

    /// Deserialises a present duration.
    ///
    /// # Errors
    /// [`super::BadDuration`] as the deserialiser's error.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let millis = |text: &str| parse_duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("90s"), Ok(90_000));
        assert_eq!(millis("1h 30m"), Ok(5_400_000));
        assert_eq!(millis("1h30m"), Ok(5_400_000));
        assert_eq!(millis("30d"), Ok(2_592_000_000));
        assert_eq!(millis("50ms"), Ok(50));
        assert_eq!(millis("0s"), Ok(0));
        for bad in
            ["", "5", "m", "5 m", "-5m", "1.5h", "5min", "1 fortnight", "99999999999999999999s", "999999999999999d"]
        {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["0s", "90s", "24h", "30d", "180d", "1h 30m", "50ms", "1d 1h"] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(parse_duration(&HumanDuration(duration).to_string()).unwrap(), duration, "{text}");
        }
        assert_eq!(HumanDuration(Duration::from_hours(24)).to_string(), "24h");
    }
}
