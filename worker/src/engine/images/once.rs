//! Lets only one pull or build of an image run at a time in this process, even with several workers. A second job waits and then finds
//! the image present.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Turns = HashMap<String, Arc<tokio::sync::Mutex<()>>>;

/// Images that are being pulled or built, or that a job waits for.
static TURNS: LazyLock<Mutex<Turns>> = LazyLock::new(Mutex::default);

/// The right to pull or build an image, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    held: Option<OwnedMutexGuard<()>>,
}

/// Waits until no other job pulls or builds the image.
pub(crate) async fn one_at_a_time(image: &str) -> Turn {
    let turn = Arc::clone(TURNS.lock().unwrap_or_else(PoisonError::into_inner).entry(image.to_owned()).or_default());
    Turn { held: Some(turn.lock_owned().await) }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        TURNS.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, turn| Arc::strong_count(turn) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_nothing_is_kept() {
        let first = one_at_a_time("once-test").await;
        let mut second = std::pin::pin!(one_at_a_time("once-test"));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(one_at_a_time("once-test-other").await);
        drop(first);
        drop(second.await);
        let turns = TURNS.lock().unwrap();
        assert!(!turns.keys().any(|image| image.starts_with("once-test")));
    }
}
