//! Durations as people write them: `90s`, `1h30m`, `2 Hrs`, `1w`, `250ms`, `PT1H`; a bare number is milliseconds.
//!
//! `asman.duration_seconds` in SQL and the page accept the same texts: `vectors/definitions.json` is tested in all three.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::limits::DURATION_MAX;

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration; write it as 90s, 20m, 1h30m, 2d or 1w")]
pub struct InvalidDuration(pub String);

/// Reads `90s`, `20m`, `1h30m`, `1.5h`, `250ms`, `2 Days`, `1w`, `1 hour, 30 minutes`, `PT1H30M` or a bare number of milliseconds.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, InvalidDuration> {
    let invalid = || InvalidDuration(text.chars().take(40).collect());
    let trimmed = text.trim();
    if let Ok(ms) = trimmed.parse::<f64>() {
        return from_ms(ms).ok_or_else(invalid);
    }
    let lower = trimmed.to_ascii_lowercase();
    // ISO 8601 without dates, because a month has no fixed length.
    let mut rest = lower.strip_prefix("pt").unwrap_or(&lower);
    let mut total_ms = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(invalid)?;
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        total_ms += number * unit_ms(&rest[..letters]).ok_or_else(invalid)?;
        rest = rest[letters..].trim_start();
        rest = rest.strip_prefix(',').map_or(rest, str::trim_start);
    }
    if total_ms == 0.0 && !lower.contains(|c: char| c.is_ascii_digit()) {
        Err(invalid())
    } else {
        from_ms(total_ms).ok_or_else(invalid)
    }
}

fn unit_ms(unit: &str) -> Option<f64> {
    Some(match unit {
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000.0,
        "d" | "day" | "days" => 86_400_000.0,
        "w" | "wk" | "wks" | "week" | "weeks" => 604_800_000.0,
        _ => return None,
    })
}

/// A duration that is not negative and not above [`DURATION_MAX`].
fn from_ms(ms: f64) -> Option<std::time::Duration> {
    let seconds = ms / 1000.0;
    (seconds >= 0.0 && seconds <= DURATION_MAX.as_secs_f64()).then(|| std::time::Duration::from_secs_f64(seconds))
}

/// Writes whole units, largest first: `1h30m`, `250ms`. [`parse_duration`] reads it back to the millisecond.
pub fn format_duration(duration: std::time::Duration) -> String {
    let mut ms = duration.as_millis();
    let mut text = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if ms >= size {
            text += &format!("{}{unit}", ms / size);
            ms %= size;
        }
    }
    if text.is_empty() { "0ms".to_owned() } else { text }
}

/// A duration in a JSON body: text or a number of milliseconds. Written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(type = "string | number"))]
pub struct Duration(pub std::time::Duration);

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Duration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"90s\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                parse_duration(text).map(Duration).map_err(E::custom)
            }
            fn visit_f64<E: de::Error>(self, ms: f64) -> Result<Duration, E> {
                self.visit_str(&ms.to_string())
            }
            fn visit_u64<E: de::Error>(self, ms: u64) -> Result<Duration, E> {
                self.visit_str(&ms.to_string())
            }
            fn visit_i64<E: de::Error>(self, ms: i64) -> Result<Duration, E> {
                self.visit_str(&ms.to_string())
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl std::str::FromStr for Duration {
    type Err = InvalidDuration;
    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        parse_duration(text).map(Self)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_duration(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, ms) in [
            ("90s", 90_000),
            ("20m", 1_200_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("250ms", 250),
            ("1500", 1_500),
            ("1.5h", 5_400_000),
            ("2 days", 172_800_000),
            ("2 Hrs", 7_200_000),
            ("1w", 604_800_000),
            ("2 WEEKS", 1_209_600_000),
            ("5M", 300_000),
            ("1 hour, 30 minutes", 5_400_000),
            ("PT1H30M", 5_400_000),
            ("0", 0),
        ] {
            assert_eq!(parse_duration(text).unwrap().as_millis(), ms, "{text}");
        }
        for bad in ["soon", "", "-5", "5 parsecs", "h", "1e400", "NaN", "99999d", "1h30", "PT", ",", "1mo", "P1D", "1h,,2m"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_written_duration_reads_back() {
        for ms in [0, 1, 250, 90_000, 5_400_000, 90_061_001] {
            let duration = std::time::Duration::from_millis(ms);
            assert_eq!(parse_duration(&format_duration(duration)).unwrap(), duration);
        }
    }
}
