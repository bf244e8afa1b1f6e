//! The gpus that a worker offers, from `--gpus`.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use protocol::limits::GPUS_MAX;

const ID_BYTES_MAX: usize = 128;

/// The gpus of `--gpus`: a number, or a list of devices.
///
/// The text is `2` (the first two in the order of `nvidia-smi`), `device=1,3` or `device=GPU-3a23c669,MIG-…`. It may be in the double
/// quotes that Docker's flag needs around a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gpus {
    /// The engine's names of the gpus: indices or UUIDs.
    devices: Vec<String>,
}

/// A text that is not a choice of gpus.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a choice of gpus; give their number (2), or list each gpu once (device=1,3 or device=GPU-3a23c669), at most {GPUS_MAX}"
)]
pub struct InvalidGpus(String);

impl Gpus {
    /// How many gpus.
    pub fn count(&self) -> u32 {
        u32::try_from(self.devices.len()).unwrap_or(u32::MAX)
    }

    /// The engine's names of the gpus.
    pub(crate) fn devices(&self) -> &[String] {
        &self.devices
    }
}

impl From<u32> for Gpus {
    /// The first `n`, in the order of `nvidia-smi`.
    fn from(n: u32) -> Self {
        Self { devices: (0..n.min(GPUS_MAX)).map(|index| index.to_string()).collect() }
    }
}

impl FromStr for Gpus {
    type Err = InvalidGpus;

    fn from_str(text: &str) -> Result<Self, InvalidGpus> {
        let invalid = || InvalidGpus(text.chars().take(80).collect());
        let plain = text.trim();
        let plain = plain.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(plain);
        let Some(list) = plain.strip_prefix("device=") else {
            let n: u32 = plain.parse().map_err(|_| invalid())?;
            return if n <= GPUS_MAX { Ok(Self::from(n)) } else { Err(invalid()) };
        };
        let devices: Option<Vec<String>> = list.split(',').map(|device| name_of(device.trim())).collect();
        let devices = devices.filter(|devices| devices.len() <= GPUS_MAX as usize).ok_or_else(invalid)?;
        // A gpu that is listed twice would go to two jobs.
        let mut seen = HashSet::new();
        if devices.iter().all(|device| seen.insert(device.to_ascii_lowercase())) { Ok(Self { devices }) } else { Err(invalid()) }
    }
}

/// Reads an index without leading zeros, or a UUID. Nothing else may get into a request to the engine.
fn name_of(device: &str) -> Option<String> {
    if let Ok(index) = device.parse::<u32>() {
        return device.bytes().all(|b| b.is_ascii_digit()).then(|| index.to_string());
    }
    let uuid = device.strip_prefix("GPU-").or_else(|| device.strip_prefix("MIG-"))?;
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/');
    (!uuid.is_empty() && device.len() <= ID_BYTES_MAX && uuid.bytes().all(is_plain)).then(|| device.to_owned())
}

impl fmt::Display for Gpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::from(self.count()) {
            write!(f, "{}", self.devices.len())
        } else {
            write!(f, "device={}", self.devices.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        text.parse::<Gpus>().unwrap().devices
    }

    #[test]
    fn a_number_means_the_first_ones_and_a_list_means_itself() {
        assert_eq!(read("0"), Vec::<String>::new());
        assert_eq!(read("2"), ["0", "1"]);
        assert_eq!(read("device=1,3"), ["1", "3"]);
        assert_eq!(read("\"device=1, 3\""), ["1", "3"]);
        assert_eq!(read("device=01"), ["1"]);
        assert_eq!(read("device=GPU-3a23c669-1f69,MIG-GPU-8b/1/0"), ["GPU-3a23c669-1f69", "MIG-GPU-8b/1/0"]);
    }

    #[test]
    fn what_would_share_a_gpu_or_name_none_is_refused() {
        for bad in ["", "all", "-1", "1.5", "device=", "device=1,1", "device=1,01", "device=GPU-A,GPU-a", "device=+1", "1025"] {
            assert!(bad.parse::<Gpus>().is_err(), "{bad}");
        }
        for bad in ["device=GPU-", "device=GPU-a b", "device=gpu0", "device=GPU-\u{e4}", "\"device=1"] {
            assert!(bad.parse::<Gpus>().unwrap_err().to_string().contains("device=1,3"), "{bad}");
        }
    }

    #[test]
    fn it_prints_what_it_reads() {
        for text in ["0", "2", "device=1,3", "device=GPU-3a23c669"] {
            assert_eq!(text.parse::<Gpus>().unwrap().to_string(), text);
        }
    }
}
