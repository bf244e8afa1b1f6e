//! Which web pages of other origins may use an API that serves one machine alone. The user of the machine allows an origin once.
//! The consent is stored on disk and can be revoked at any time.
//!
//! Requests call [`Consents::admits`]. Sockets, event streams and submissions on a socket outlive their request, so they call
//! [`Consents::still_admits`] with the [`Guest`] that the request got. A consent that this process or the command line revokes
//! ends at once. If the file cannot be read, no page is admitted.
//!
//! A page cannot give the consent to itself: the form at `/consent` accepts requests only from our own pages, outside of frames,
//! with a one-time token, and requires two actions.

mod file;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use file::{Consent, ConsentError, ConsentFile, ORIGINS_MAX};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// Most refused origins that the page shows.
const REFUSED_MAX: usize = 20;
/// Most forms that may be open.
const FORMS_MAX: usize = 64;
const FORM_LIFE: Duration = Duration::from_mins(10);

/// The number of another origin that was admitted. Requests and sockets of its pages carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guest(usize);

/// The consents of one API.
#[derive(Debug)]
pub(crate) struct Consents {
    file: Option<ConsentFile>,
    state: Mutex<ConsentState>,
}

#[derive(Debug, Default)]
struct ConsentState {
    /// The version of the file that was read.
    version: Option<file::Version>,
    admitted: Vec<Consent>,
    /// Every origin that was ever admitted, by its guest's number.
    guests: Vec<String>,
    numbers: HashMap<String, Guest>,
    /// Origins that were refused lately, newest first.
    refused: VecDeque<String>,
    forms: VecDeque<(Uuid, Instant)>,
}

impl Consents {
    /// The consents of a file. Without a file none are stored.
    pub(crate) fn new(file: Option<ConsentFile>) -> Self {
        Self { file, state: Mutex::default() }
    }

    /// The guest for pages of this origin, if the origin is allowed.
    pub(crate) fn admits(&self, origin: &str) -> Option<Guest> {
        self.with(|state| state.admitted.iter().any(|consent| consent.origin == origin).then(|| state.guest(origin)))
    }

    /// Whether a caller may continue. A guest may do so only while its origin is allowed, every other caller always.
    pub(crate) fn still_admits(&self, guest: Option<Guest>) -> bool {
        let Some(Guest(number)) = guest else { return true };
        self.with(|state| {
            state.guests.get(number).is_some_and(|origin| state.admitted.iter().any(|consent| consent.origin == *origin))
        })
    }

    /// Records that a page of this origin was refused. Returns true if it is not among the lately refused ones.
    pub(crate) fn note_refused(&self, origin: &str) -> bool {
        self.with(|state| {
            let is_known = state.refused.iter().any(|known| known == origin);
            if !is_known {
                state.refused.push_front(origin.to_owned());
                state.refused.truncate(REFUSED_MAX);
            }
            !is_known
        })
    }

    /// The allowed origins, and those that were refused lately.
    pub(crate) fn list(&self) -> (Vec<Consent>, Vec<String>) {
        self.with(|state| {
            let is_admitted = |origin: &&String| state.admitted.iter().any(|consent| consent.origin == **origin);
            let refused = state.refused.iter().filter(|origin| !is_admitted(origin)).cloned().collect();
            (state.admitted.clone(), refused)
        })
    }

    /// Allows an origin. Fails if there is no file.
    pub(crate) fn allow(&self, origin: &str) -> Result<(), ConsentError> {
        self.file.as_ref().map_or(Err(ConsentError::NoFile), |file| file.allow(origin).map(|_| ()))
    }

    /// Revokes an origin.
    pub(crate) fn revoke(&self, origin: &str) -> Result<(), ConsentError> {
        self.file.as_ref().map_or(Ok(()), |file| file.revoke(origin).map(|_| ()))
    }

    /// A token for one form.
    pub(crate) fn open_form(&self) -> Uuid {
        let token = Uuid::new_v4();
        self.with(|state| {
            state.forms.push_back((token, Instant::now()));
            if state.forms.len() > FORMS_MAX {
                state.forms.pop_front();
            }
        });
        token
    }

    /// Whether a form came back with a valid token. Each token is valid once.
    pub(crate) fn close_form(&self, token: &str) -> bool {
        let Ok(token) = token.parse::<Uuid>() else { return false };
        self.with(|state| {
            state.forms.retain(|(_, opened)| opened.elapsed() < FORM_LIFE);
            let found = state.forms.iter().position(|(known, _)| bool::from(known.as_bytes().ct_eq(token.as_bytes())));
            found.and_then(|at| state.forms.remove(at)).is_some()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut ConsentState) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            state.refresh(file);
        }
        act(&mut state)
    }
}

impl ConsentState {
    /// Reads the file again if it has changed.
    fn refresh(&mut self, file: &ConsentFile) {
        let version = file.version();
        if self.version == Some(version) {
            return;
        }
        self.version = Some(version);
        self.admitted = file.list().unwrap_or_else(|error| {
            tracing::warn!(%error, "consents cannot be read; pages of other origins are refused");
            Vec::new()
        });
    }

    fn guest(&mut self, origin: &str) -> Guest {
        if let Some(guest) = self.numbers.get(origin) {
            return *guest;
        }
        let guest = Guest(self.guests.len());
        self.guests.push(origin.to_owned());
        self.numbers.insert(origin.to_owned(), guest);
        guest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_process_writes_counts_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = ConsentFile::at(folder.path().join("consent.json"));
        let consents = Consents::new(Some(file.clone()));
        assert_eq!(consents.admits("https://a.example"), None);
        file.allow("https://a.example").unwrap();
        let guest = consents.admits("https://a.example");
        assert!(guest.is_some() && consents.still_admits(guest) && consents.still_admits(None));
        file.revoke("https://a.example").unwrap();
        assert!(!consents.still_admits(guest) && consents.admits("https://a.example").is_none());
        file.allow("https://a.example").unwrap();
        assert_eq!(consents.admits("https://a.example"), guest);
    }

    #[test]
    fn a_form_counts_once() {
        let consents = Consents::new(None);
        let token = consents.open_form().to_string();
        assert!(!consents.close_form("") && !consents.close_form(&Uuid::new_v4().to_string()));
        assert!(consents.close_form(&token) && !consents.close_form(&token));
        let first = consents.open_form().to_string();
        for _ in 0..FORMS_MAX {
            consents.open_form();
        }
        assert!(!consents.close_form(&first), "so many forms may be open");
    }

    #[test]
    fn refusals_are_known_once_and_bounded() {
        let consents = Consents::new(None);
        assert!(consents.note_refused("https://a.example") && !consents.note_refused("https://a.example"));
        for n in 0..REFUSED_MAX {
            consents.note_refused(&format!("https://{n}.example"));
        }
        assert_eq!(consents.list().1.len(), REFUSED_MAX);
        assert!(consents.note_refused("https://a.example"));
    }
}
