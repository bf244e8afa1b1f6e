//! Which web pages of other origins may use an API that serves one machine alone, because the person at it said so: once for an
//! origin, kept on disk, and taken back at any time.
//!
//! One answer for all doors. Requests ask [`Consents::admits`], and what outlives its request (sockets, event streams, a submission on
//! a socket) asks [`Consents::still_admits`] with the [`Guest`] that it got. A consent that is taken back, here or by the command line,
//! counts from then on. A file that cannot be read lets nobody in.
//!
//! Nothing that comes from a page may give the consent: the form at `/consent` is answered to our own pages alone, in no frame, with a
//! token that was given out with it, and takes two acts.

mod file;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use file::{Consent, ConsentError, ConsentFile, ORIGINS_MAX};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// Origins that were refused, of which the page knows.
const REFUSED_MAX: usize = 20;
/// Forms that may be open.
const FORMS_MAX: usize = 64;
const FORM_LIFE: Duration = Duration::from_mins(10);

/// A page of another origin that was let in, for as long as something of it lives here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guest(usize);

/// The consents of one API.
#[derive(Debug)]
pub(crate) struct Consents {
    file: Option<ConsentFile>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Which writing of the file was read.
    version: Option<file::Version>,
    admitted: Vec<Consent>,
    /// Every origin that was ever let in, by its guest's number.
    guests: Vec<String>,
    numbers: HashMap<String, Guest>,
    /// Lately refused, newest first.
    refused: VecDeque<String>,
    forms: VecDeque<(Uuid, Instant)>,
}

impl Consents {
    /// Those of a file; none are kept without one.
    pub(crate) fn new(file: Option<ConsentFile>) -> Self {
        Self { file, state: Mutex::default() }
    }

    /// The guest that a page of this origin is, when it was let in.
    pub(crate) fn admits(&self, origin: &str) -> Option<Guest> {
        self.with(|state| state.admitted.iter().any(|consent| consent.origin == origin).then(|| state.guest(origin)))
    }

    /// Whether a guest may go on. Everybody else may.
    pub(crate) fn still_admits(&self, guest: Option<Guest>) -> bool {
        let Some(Guest(number)) = guest else { return true };
        self.with(|state| {
            state.guests.get(number).is_some_and(|origin| state.admitted.iter().any(|consent| consent.origin == *origin))
        })
    }

    /// Notes that a page of this origin was refused. True: it is the first time in a while.
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

    /// Who is let in, and who was refused lately and is not.
    pub(crate) fn list(&self) -> (Vec<Consent>, Vec<String>) {
        self.with(|state| {
            let is_admitted = |origin: &&String| state.admitted.iter().any(|consent| consent.origin == **origin);
            let refused = state.refused.iter().filter(|origin| !is_admitted(origin)).cloned().collect();
            (state.admitted.clone(), refused)
        })
    }

    /// Lets an origin in. Fails without a file, too.
    pub(crate) fn allow(&self, origin: &str) -> Result<(), ConsentError> {
        self.file.as_ref().map_or(Err(ConsentError::NoFile), |file| file.allow(origin).map(|_| ()))
    }

    /// Lets it in no more.
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

    /// Whether a form came back with a token that was given out, which counts once.
    pub(crate) fn close_form(&self, token: &str) -> bool {
        let Ok(token) = token.parse::<Uuid>() else { return false };
        self.with(|state| {
            state.forms.retain(|(_, opened)| opened.elapsed() < FORM_LIFE);
            let found = state.forms.iter().position(|(known, _)| bool::from(known.as_bytes().ct_eq(token.as_bytes())));
            found.and_then(|at| state.forms.remove(at)).is_some()
        })
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            state.refresh(file);
        }
        act(&mut state)
    }
}

impl State {
    /// Reads the file again when it has changed.
    fn refresh(&mut self, file: &ConsentFile) {
        let version = file.version();
        if self.version == Some(version) {
            return;
        }
        self.version = Some(version);
        self.admitted = file.list().unwrap_or_else(|error| {
            tracing::warn!(%error, "consents cannot be read; pages of other origins stay out");
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
