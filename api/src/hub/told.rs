//! The earlier states of jobs: clients get every state that a job had, in order.

use std::collections::{BTreeMap, HashMap, HashSet};

use protocol::{Job, Qid, Reason};
use sql::{ChangedRow, JobRow};

/// The earlier states of jobs, in addition to the present ones.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The states that the jobs had and have left again, in the order in which their messages are sent.
    pub(super) left: Vec<(Qid, BTreeMap<String, Job>)>,
    /// Jobs whose newest change came after the events were read. The event of this change will report it.
    pub(super) ahead: HashSet<(Qid, String)>,
}

impl Told {
    pub(super) fn of(changes: &[ChangedRow], rows: &[JobRow]) -> Self {
        let now: HashMap<_, &JobRow> =
            rows.iter().filter(|row| !row.is_item).map(|row| ((row.qid, row.job_id.as_str()), row)).collect();
        let mut had: HashMap<(Qid, &str), Vec<&ChangedRow>> = HashMap::new();
        for change in changes.iter().filter(|change| change.state().is_some()) {
            let states = had.entry((change.qid, change.job_id.as_str())).or_default();
            states.pop_if(|last| last.state() == change.state());
            states.push(change);
        }
        let (mut messages, mut ahead) = (BTreeMap::<(usize, Qid), BTreeMap<String, Job>>::new(), HashSet::new());
        for (key, mut states) in had {
            let Some(row) = now.get(&key) else { continue };
            if states.pop_if(|last| last.state() == Some(row.state())).is_none() {
                ahead.insert((key.0, key.1.to_owned()));
            }
            let left = states.iter().map(|change| change.job_then(row.to_job()));
            let listed = left.filter(|job| job.finished_reason.is_none_or(Reason::is_listed));
            for (n, job) in listed.enumerate() {
                messages.entry((n, key.0)).or_default().insert(key.1.to_owned(), job);
            }
        }
        Self { left: messages.into_iter().map(|((_, qid), jobs)| (qid, jobs)).collect(), ahead }
    }
}
