//! Settings of what a worker keeps on disk. The doc comments are the text of `--help`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration as StdDuration;

use protocol::{Duration, parse_size};

use super::room::Room;
use crate::error::Error;

/// How much of the disk a worker's own images and caches may take.
#[derive(clap::Args, Clone, Debug)]
pub struct DiskConfig {
    /// Most bytes of fetched inputs to keep for later jobs; 0 keeps none.
    #[arg(long, default_value = "10g", value_parser = parse_size, value_name = "SIZE", allow_hyphen_values = true)]
    pub input_cache: u64,
    /// Most bytes of one queue's /job-cache. Above this, the worker removes the least recently used files as soon as no job of the
    /// queue runs.
    #[arg(long, default_value = "20g", value_parser = parse_size, value_name = "SIZE", allow_hyphen_values = true)]
    pub job_cache_max: u64,
    /// When the disk is this full, the worker removes kept inputs, images that it pulled or built, and caches, the least recently
    /// used first. Give the used share (85%) or the free size (20g).
    #[arg(long, default_value = "85%", value_name = "MARK", allow_hyphen_values = true)]
    pub disk_high: Mark,
    /// The worker stops removing when the disk is no fuller than this.
    #[arg(long, default_value = "75%", value_name = "MARK", allow_hyphen_values = true)]
    pub disk_low: Mark,
    /// The worker claims no jobs while less than this is free.
    #[arg(long, default_value = "1g", value_parser = parse_size, value_name = "SIZE", allow_hyphen_values = true)]
    pub disk_reserve: u64,
    /// The worker keeps images that a job used within this time, however full the disk is.
    #[arg(long, default_value = "1h", value_name = "DURATION", allow_hyphen_values = true)]
    pub image_min_age: Duration,
    /// If that was not enough, the worker also removes the engine's build cache that was not used for this long, including cache of
    /// builds that were not the worker's.
    #[arg(long, default_value = "24h", value_name = "DURATION", allow_hyphen_values = true)]
    pub build_cache_min_age: Duration,
    /// Time between two checks of the disk.
    #[arg(long = "care-every", default_value = "10s", hide = true)]
    pub check_every: Duration,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            input_cache: 10 << 30,
            job_cache_max: 20 << 30,
            disk_high: Mark::Used(85.0),
            disk_low: Mark::Used(75.0),
            disk_reserve: 1 << 30,
            image_min_age: Duration(StdDuration::from_hours(1)),
            build_cache_min_age: Duration(StdDuration::from_hours(24)),
            check_every: Duration(StdDuration::from_secs(10)),
        }
    }
}

impl DiskConfig {
    /// Refuses marks that contradict each other.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let is_reversed = match (self.disk_high, self.disk_low) {
            (Mark::Used(high), Mark::Used(low)) => low > high,
            (Mark::Free(high), Mark::Free(low)) => low < high,
            // With a share and a size, the size of the disk decides which mark is higher, so both orders are allowed.
            _ => false,
        };
        if is_reversed {
            return Err(Error::Config("--disk-low must leave at least as much of the disk free as --disk-high".to_owned()));
        }
        if self.check_every.0.is_zero() {
            return Err(Error::Config("--care-every must be above 0".to_owned()));
        }
        Ok(())
    }
}

/// How full a disk is: the used share or the free size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// Percent used.
    Used(f64),
    /// Bytes free.
    Free(u64),
}

/// A text that is not a [`Mark`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a disk limit; write used space as a percentage, such as 85%, or free space as a size, such as 20g")]
pub struct InvalidMark(String);

impl Mark {
    /// Bytes to remove until the disk is no fuller than this.
    pub(super) fn excess(self, room: Room) -> u64 {
        let free = match self {
            Self::Free(bytes) => bytes,
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a disk's size")]
            Self::Used(percent) => (room.total as f64 * (1.0 - percent / 100.0)) as u64,
        };
        free.saturating_sub(room.free)
    }
}

impl FromStr for Mark {
    type Err = InvalidMark;

    fn from_str(text: &str) -> Result<Self, InvalidMark> {
        let invalid = || InvalidMark(text.chars().take(40).collect());
        let Some(percent) = text.trim().strip_suffix('%') else {
            return parse_size(text).map(Self::Free).map_err(|_| invalid());
        };
        let percent: f64 = percent.trim().parse().map_err(|_| invalid())?;
        if (0.0..=100.0).contains(&percent) { Ok(Self::Used(percent)) } else { Err(invalid()) }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used(percent) => write!(f, "{percent}%"),
            Self::Free(bytes) => write!(f, "{bytes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_read_as_people_write_them() {
        assert_eq!("85%".parse(), Ok(Mark::Used(85.0)));
        assert_eq!(" 99.5 %".parse(), Ok(Mark::Used(99.5)));
        assert_eq!("20g".parse(), Ok(Mark::Free(20 << 30)));
        for bad in ["", "%", "101%", "-1%", "NaN%", "much"] {
            assert!(bad.parse::<Mark>().unwrap_err().to_string().contains("85%"), "{bad}");
        }
    }

    #[test]
    fn the_excess_is_what_must_be_removed_to_meet_the_mark() {
        let room = Room { total: 1000, free: 100 };
        assert_eq!(Mark::Used(85.0).excess(room), 50);
        assert_eq!(Mark::Used(90.0).excess(room), 0);
        assert_eq!(Mark::Free(250).excess(room), 150);
        assert_eq!(Mark::Free(100).excess(room), 0);
    }

    #[test]
    fn a_low_mark_above_the_high_mark_is_refused() {
        let check = |high: &str, low: &str| {
            let config = DiskConfig { disk_high: high.parse().unwrap(), disk_low: low.parse().unwrap(), ..DiskConfig::default() };
            config.check().is_ok()
        };
        assert!(check("85%", "75%") && check("10g", "20g") && check("5g", "80%"));
        assert!(!check("75%", "85%") && !check("20g", "10g"));
    }
}
