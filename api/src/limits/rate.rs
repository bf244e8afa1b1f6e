//! How limits are written, and the bucket of one socket.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// A number per second, minute or hour, such as `1200/m`. The whole number may come at once. A number without a unit is per
/// minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    seconds: u32,
}

impl Rate {
    /// Without a limit.
    pub const OFF: Self = Self { count: 0, seconds: 60 };

    /// A number per minute.
    pub const fn per_minute(count: u32) -> Self {
        Self { count, seconds: 60 }
    }

    /// A bucket of `count` tokens that is full again after the unit.
    pub(super) fn quota(self) -> Option<Quota> {
        let burst = NonZeroU32::new(self.count)?;
        Quota::with_period(Duration::from_secs(self.seconds.into()) / self.count).map(|quota| quota.allow_burst(burst))
    }
}

/// Why a text is not a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a limit; write {1}, or off for no limit")]
pub struct InvalidLimit(String, &'static str);

impl FromStr for Rate {
    type Err = InvalidLimit;
    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        let invalid = || InvalidLimit(text.to_owned(), "it as 20/s, 1200/m or 5000/h");
        if is_off(text) {
            return Ok(Self::OFF);
        }
        let (count, unit) = text.split_once('/').unwrap_or((text, "m"));
        let seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return Err(invalid()),
        };
        let count = count.trim().parse().ok().filter(|n| *n <= 1_000_000).ok_or_else(invalid)?;
        Ok(Self { count, seconds })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.seconds {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        if self.count == 0 { f.write_str("off") } else { write!(f, "{}/{unit}", self.count) }
    }
}

/// A number of things that exist at the same time; 0 means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u32);

impl FromStr for Count {
    type Err = InvalidLimit;
    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        if is_off(text) {
            return Ok(Self(0));
        }
        text.trim().parse().map(Self).map_err(|_| InvalidLimit(text.to_owned(), "a whole number"))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("off") } else { write!(f, "{}", self.0) }
    }
}

/// A time of silence; 0 means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle(pub Duration);

impl FromStr for Idle {
    type Err = InvalidLimit;
    fn from_str(text: &str) -> Result<Self, InvalidLimit> {
        if is_off(text) {
            return Ok(Self(Duration::ZERO));
        }
        protocol::parse_duration(text).map(Self).map_err(|_| InvalidLimit(text.to_owned(), "a time such as 90s"))
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() { f.write_str("off") } else { f.write_str(&protocol::format_duration(self.0)) }
    }
}

fn is_off(text: &str) -> bool {
    matches!(text.trim(), "off" | "none" | "0")
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It is handled.
    Pass,
    /// It is ignored.
    Ignore,
    /// The socket sends too much: the number of ignored messages has reached the size of the bucket.
    Close,
}

/// The messages of one socket.
#[derive(Debug)]
pub(crate) struct MessageBucket {
    bucket: Option<DefaultDirectRateLimiter>,
    n_ignored: u32,
    n_ignored_max: u32,
}

impl MessageBucket {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { bucket: rate.quota().map(RateLimiter::direct), n_ignored: 0, n_ignored_max: rate.count }
    }

    pub(crate) fn take(&mut self) -> Passage {
        let Some(bucket) = &self.bucket else { return Passage::Pass };
        if bucket.check().is_ok() {
            return Passage::Pass;
        }
        metrics::counter!("asman_limited_total", "limit" => "messages_per_socket").increment(1);
        self.n_ignored += 1;
        if self.n_ignored >= self.n_ignored_max { Passage::Close } else { Passage::Ignore }
    }

    /// Resets the count of ignored messages: only a flood that continues closes the socket.
    pub(crate) fn forgive(&mut self) {
        self.n_ignored = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_as_it_is_written() {
        for text in ["20/s", "1200/m", "5/h", "off"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!("0".parse::<Rate>().unwrap(), Rate::OFF);
        assert_eq!("30".parse::<Rate>().unwrap(), Rate::per_minute(30));
        assert_eq!(("off".parse::<Count>(), "7".parse::<Count>()), (Ok(Count(0)), Ok(Count(7))));
        assert_eq!("90s".parse::<Idle>().unwrap().to_string(), "1m30s");
        for bad in ["", "many", "-1/s", "5/y", "9999999/s"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_flood_is_ignored_and_then_closes_the_socket() {
        let mut bucket = MessageBucket::new("2/h".parse().unwrap());
        let seen: Vec<_> = (0..4).map(|_| bucket.take()).collect();
        assert_eq!(seen, [Passage::Pass, Passage::Pass, Passage::Ignore, Passage::Close]);
        let mut open = MessageBucket::new(Rate::OFF);
        assert!((0..10_000).all(|_| open.take() == Passage::Pass));
    }
}
