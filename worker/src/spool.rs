//! The spool: finishes that the API has not taken yet, one file each.
//!
//! A finish is written before it is sent, and removed when the API took or refused it. So no crash, restart or outage loses a finish. The
//! files have mode 0600, because they contain the queue's name.

use std::io;
use std::path::PathBuf;

use protocol::{ClaimedJob, FinishRequest, JobId, QueueName};
use serde::{Deserialize, Serialize};

use crate::atomic_file::write_durably;
use crate::data_directory::{DataDirectory, file_stem};

/// One finish, with its queue and job.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SpooledFinish {
    pub(crate) queue: QueueName,
    pub(crate) job_id: JobId,
    pub(crate) finish: FinishRequest,
}

impl SpooledFinish {
    /// The claim that the finish ends.
    pub(crate) fn job(&self) -> ClaimedJob {
        ClaimedJob { job_id: self.job_id.clone(), epoch: self.finish.epoch }
    }
}

/// The folder of unsent finishes.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
}

impl Spool {
    pub(crate) fn of(data: &DataDirectory) -> Self {
        Self { folder: data.spool_folder() }
    }

    fn path(&self, job: &ClaimedJob) -> PathBuf {
        self.folder.join(format!("{}.json", file_stem(job)))
    }

    /// Stores a finish until [`Spool::remove`].
    pub(crate) async fn keep(&self, finish: &SpooledFinish) -> io::Result<()> {
        let path = self.path(&finish.job());
        let bytes = serde_json::to_vec(finish)?;
        tokio::task::spawn_blocking(move || write_durably(&path, &bytes)).await?
    }

    /// Removes a finish that the API took or refused.
    pub(crate) fn remove(&self, job: &ClaimedJob) {
        match std::fs::remove_file(self.path(job)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, job = %job.job_id, "cannot remove a delivered finish from the spool; the next start sends it again");
            }
            _ => (),
        }
    }

    /// Number of finishes on disk.
    pub(crate) fn depth(&self) -> usize {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json")).count()
    }

    /// The finishes that earlier runs could not deliver. A file that cannot be read stays and is logged.
    pub(crate) fn list(&self) -> Vec<SpooledFinish> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
        let read = |path: PathBuf| -> Option<SpooledFinish> {
            let finish = std::fs::read(&path).map_err(serde_json::Error::io).and_then(|bytes| serde_json::from_slice(&bytes));
            finish.inspect_err(|error| tracing::error!(%error, path = %path.display(), "cannot read a finish in the spool")).ok()
        };
        paths.filter_map(read).collect()
    }
}
