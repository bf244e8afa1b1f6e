//! Sizes as people write them: `512m`, `4g`, `4GiB`, `512Mi`; a bare number is bytes.
//!
//! `asman.size_bytes` in SQL and the page accept the same texts: `vectors/definitions.json` is tested in all three.

/// Why a text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size; write it as 512m, 4g or 4GiB")]
pub struct InvalidSize(pub String);

/// Reads a size in bytes. Units are powers of 1024 in every spelling, as in Docker's flags.
pub fn parse_size(text: &str) -> Result<u64, InvalidSize> {
    let invalid = || InvalidSize(text.chars().take(40).collect());
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == 'e')).unwrap_or(lower.len());
    let number: f64 = lower[..digits].parse().map_err(|_| invalid())?;
    let power = match lower[digits..].trim() {
        "" | "b" | "byte" | "bytes" => 0,
        "k" | "kb" | "ki" | "kib" => 1,
        "m" | "mb" | "mi" | "mib" => 2,
        "g" | "gb" | "gi" | "gib" => 3,
        "t" | "tb" | "ti" | "tib" => 4,
        _ => return Err(invalid()),
    };
    let bytes = number * 1024_f64.powi(power);
    // 2^53: above it a JSON number is no longer exact, and no machine has that much memory.
    if !(0.0..=9_007_199_254_740_992.0).contains(&bytes) {
        return Err(invalid());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just above")]
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [
            ("512m", 512 << 20),
            ("4g", 4 << 30),
            ("4GiB", 4 << 30),
            ("1e3", 1000),
            ("64", 64),
            ("1.5k", 1536),
            ("2 TB", 2 << 40),
            ("512Mi", 512 << 20),
            ("1 Gi", 1 << 30),
            ("100 bytes", 100),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["big", "", "-1", "4q", "1e30", "g"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
