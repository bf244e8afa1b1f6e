//! Every statement that the product sends to `PostgreSQL`, and the thin Rust layer that loads and types it.
//!
//! Input: checked values of `protocol`. Output: rows, one struct for each shape. This crate does not know HTTP and keeps no state
//! between calls. Statements are in files (`sql/queries`), never here. No transaction stays open after its statement.
//!
//! Only the database's clock is used in decisions; durations travel as seconds.

mod address;
mod alias;
mod database;
mod definition;
mod event;
mod item;
mod job;
mod log_chunk;
mod page;
mod policy;
mod pooler;
mod queued;
mod relay;
mod report;
mod running;
mod supersession;
mod tuned_pool;
mod waiting_class;
mod webhook;
mod worker;

pub use database::{Db, Settings, settings_of};
pub use definition::{ListedDefinition, StoredDefinition, whole as whole_definition};
pub use event::{ChangedRow, Changes, EventCursor, HistoryRow, OldestWriter};
pub use item::{EventRow, ItemClaim, ItemRow, ItemSummary, PeekedItem, StageCounts, StagedItem};
pub use job::{CancelOutcome, Counts, JobRow, LISTED_FAILED, LISTED_FAILED_MAX, Needs, ResultRow};
pub use log_chunk::{Appended, LogCursor, LogPage, LogPlace, LogTail, NewChunk, NewerRow};
pub use page::{PageCursor, PageRow};
pub use policy::{PolicyChange, PolicyRow};
pub use queued::{ClaimGroup, ClaimedRow, Claims, OwedCallbacks, Slot, Submission, SubmitOutcome, Submitted};
pub use report::{DEPTH_MAX, DepthRow, Intervals, LoadRow, OutcomeRow, TimesRow};
pub use running::{ClaimKey, ClaimStatus, CompareRow, FinishRow, ORPHAN_GRACE, ReleaseRow, SweptRow};
pub use supersession::SupersededRow;
pub use webhook::{DueWebhook, SettledWebhook, WebhookBacklog, WebhookRoom, WebhookTry};
pub use worker::{WorkerRow, WorkerSeen};

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the database cannot be used.
    #[error(transparent)]
    Address(#[from] migrations::AddressError),
    /// A file or host that the address names cannot be used.
    #[error(transparent)]
    Dial(#[from] migrations::Error),
    /// The pooler gives each statement another connection, which is not supported.
    #[error("the database is behind a pooler in statement mode; set it to transaction or session mode")]
    StatementPooler,
    /// No connection could be opened, or it broke. Trying again may help.
    #[error("the database cannot be reached: {0}")]
    Unreachable(sqlx::Error),
    /// The database refused the statement: a constraint, a bad value, or a bug in this program.
    #[error("the database refused a statement: {0}")]
    Refused(sqlx::Error),
    /// The job would have too many namespaces.
    #[error("{} namespaces hold this job, which is the limit", protocol::limits::NAMESPACES_MAX)]
    TooManyNamespaces,
    /// A text contains a character that `PostgreSQL` cannot store, such as NUL.
    #[error("a text contains a character that cannot be stored, such as NUL; remove it")]
    Text,
    /// The schema is missing or older than this program.
    #[error("the database's schema is {}, this program needs version {needed}; run `asman db migrate`", found.map_or("missing".to_owned(), |found| format!("at version {found}")))]
    Schema {
        /// Newest applied migration.
        found: Option<i32>,
        /// The required version.
        needed: i32,
    },
    /// A migration of a newer release, which this program cannot work with.
    #[error(
        "the database's schema is at version {found}, of a newer release that this program, with version {known}, cannot work with; upgrade this program"
    )]
    Newer {
        /// Newest applied migration.
        found: i32,
        /// The newest version that this program has.
        known: i32,
    },
    /// The procedures and views are older than this program, or belong to another one.
    #[error("the database's procedures and views are not those of this program; run `asman db migrate`")]
    Procedures,
    /// A row contains a word that this program does not know.
    #[error("the database contains the unknown word {0:?}; upgrade this program")]
    UnknownWord(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(ref refused)
                if refused.constraint().is_some_and(|name| name.ends_with("_namespaces_are_bounded")) =>
            {
                Self::TooManyNamespaces
            }
            // 22021: a character outside of the encoding; 22P05: one that only JSON can represent.
            sqlx::Error::Database(ref refused) if matches!(refused.code().as_deref(), Some("22021" | "22P05")) => Self::Text,
            sqlx::Error::Database(ref refused) if !is_passing(refused.code().as_deref()) => Self::Refused(error),
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_) => Self::Refused(error),
            _ => Self::Unreachable(error),
        }
    }
}

/// Classes of SQLSTATE for temporary errors: connection lost (08), a server that is read-only as standbys are (25006), deadlock
/// or serialization failure (40), disk full, out of memory, too many connections (53), a database closed to connections for a
/// while (55000), a lock that was not granted in time (55P03), a cancelled statement (57014), a server that stops or starts
/// (57P0x), files that cannot be read or written (58).
fn is_passing(code: Option<&str>) -> bool {
    const CLASSES: [&str; 5] = ["08", "40", "53", "57P0", "58"];
    const CODES: [&str; 4] = [READ_ONLY, "55000", "55P03", "57014"];
    code.is_some_and(|code| CLASSES.iter().any(|class| code.starts_with(class)) || CODES.contains(&code))
}

/// SQLSTATE of a write on a read-only server.
const READ_ONLY: &str = "25006";

/// Result of every call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::is_passing;

    #[test]
    fn what_another_try_may_get_over_is_told_from_what_stays_refused() {
        // Disk full, out of memory, too many connections, a cancelled statement, a lock timeout, read-only, stopping, deadlock.
        for code in ["53100", "53200", "53300", "57014", "55P03", "25006", "57P01", "40P01", "08006", "58030"] {
            assert!(is_passing(Some(code)), "{code}");
        }
        // A broken constraint, a missing table, a refused right, a text of another encoding.
        for code in ["23505", "42P01", "42501", "22021"] {
            assert!(!is_passing(Some(code)), "{code}");
        }
        assert!(!is_passing(None));
    }
}
