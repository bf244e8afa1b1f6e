//! Which networks and sandboxes on a machine are abandoned.
//!
//! An object is abandoned when its worker is certainly dead. If this worker cannot see whether the other one is alive, the age decides: a
//! live worker replaces its idle sandboxes every [`REFRESH`], so an object older than [`ABANDONED`] is abandoned. Both rules apply only to
//! objects of this worker's user, or, if this worker runs as root, of every user of its machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::owner::{Here, Lasts, Life, Owner};

/// Longest age of an idle sandbox of a live worker.
pub(super) const REFRESH: Duration = Duration::from_hours(6);
/// Age from which an object is abandoned. It leaves a margin for machines whose clocks differ.
const ABANDONED: Duration = Duration::from_hours(24);

/// Whether an object may be removed. `owner` is its owner label, `created` is in seconds since 1970.
pub(super) fn is_abandoned(owner: Option<&str>, lasts: Lasts, created: i64, here: Option<&Here>) -> bool {
    // Objects of an earlier version have no owner label that can be read, so they stay.
    let Some(owner) = owner.and_then(Owner::parse) else { return false };
    owner.is_in_reach(here)
        && match owner.life(lasts, here) {
            Life::Alive => false,
            Life::Dead => true,
            Life::Unknown => is_old(created),
        }
}

fn is_old(created: i64) -> bool {
    let Ok(created) = u64::try_from(created) else { return false };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_secs(created)) > ABANDONED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_abandoned_when_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("lock");
        std::fs::File::create(&lock).unwrap();
        let here = Here::look();
        let text = Owner::own(&lock).unwrap().to_string();
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let is = |text: &str, age: i64| is_abandoned(Some(text), Lasts::WithItsProcess, now - age, here.as_ref());
        assert!(is(&text, 0), "no process has the lock");
        let elsewhere = text.split(',').enumerate().map(|(n, field)| if n == 1 { "other" } else { field });
        let elsewhere = elsewhere.collect::<Vec<_>>().join(",");
        assert!(!is(&elsewhere, 0) && !is(&elsewhere, 23 * 3600) && is(&elsewhere, 25 * 3600) && !is(&elsewhere, -100));
        let of_another = format!("{}{}", 77, &elsewhere[elsewhere.find(',').unwrap()..]);
        assert!(!is(&of_another, 25 * 3600));
        assert!(!is_abandoned(None, Lasts::WithItsProcess, 0, here.as_ref()));
        assert!(!is_abandoned(Some(&elsewhere), Lasts::WithItsProcess, i64::MAX, here.as_ref()));
    }
}
