//! Tokens, as hashes.
//!
//! SHA-256 and not a slow password hash: a token is long and random, so it cannot be guessed, and a slow hash would cost time on
//! every request.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use protocol::ErrorCode;

use crate::error::ApiError;

/// Shortest token that a policy accepts.
const CHARS_MIN: usize = 16;
/// Longest token that a policy accepts.
const CHARS_MAX: usize = 255;

/// SHA-256 of a token.
#[derive(Clone, Copy)]
pub(crate) struct TokenHash([u8; 32]);

impl std::fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

impl TokenHash {
    pub(crate) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Compares in constant time.
    pub(crate) fn is(&self, stored: &[u8]) -> bool {
        self.0.as_slice().ct_eq(stored).into()
    }
}

/// The hash of a token that a policy will require from now on.
pub(crate) fn hash_new(what: &str, token: &str) -> Result<Vec<u8>, ApiError> {
    let is_sound = (CHARS_MIN..=CHARS_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_sound {
        return Err(ApiError::refused(
            ErrorCode::InvalidToken,
            format!(
                "{what} must have {CHARS_MIN} to {CHARS_MAX} visible ASCII characters without spaces; generate it with `openssl rand -hex 32`"
            ),
        ));
    }
    Ok(TokenHash::of(token).0.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash_and_never_printed() {
        let stored = hash_new("ownerToken", "0123456789abcdef").unwrap();
        let hash = TokenHash::of("0123456789abcdef");
        assert!(hash.is(&stored) && !TokenHash::of("0123456789abcdeg").is(&stored) && !hash.is(&[]));
        assert_eq!(format!("{hash:?}"), "TokenHash(..)");
        for bad in ["short", "0123456789 abcdef", "0123456789abcdéf", &"x".repeat(256)] {
            assert!(hash_new("ownerToken", bad).is_err(), "{bad}");
        }
    }
}
