//! All jobs of a queue as one message, shared by all sockets that need one at the same time.

use std::sync::Arc;
use std::time::Instant;

use protocol::{Qid, ServerMessage};
use sql::Result;

use super::Hub;
use super::message::{jobs_message, text_of};

/// A whole snapshot as text.
pub(crate) type Snapshot = Arc<str>;

impl Hub {
    /// All jobs of a queue as one message, kept until the next hint.
    pub(crate) async fn snapshot(&self, qid: Qid) -> Result<Snapshot> {
        let kept = || self.with(|channels| channels.get(&qid).and_then(|channel| channel.feed.snapshot.clone()));
        if let Some(kept) = kept() {
            return Ok(kept);
        }
        // Many sockets that connect or lag at the same time share one read. It must have begun after their request.
        let asked = Instant::now();
        let reading = self.with(|channels| channels.get(&qid).map(|channel| Arc::clone(&channel.reading))).unwrap_or_default();
        let mut last = reading.lock().await;
        if let Some((_, text)) = last.as_ref().filter(|(began, _)| *began >= asked) {
            return Ok(Arc::clone(text));
        }
        let _turn = self.snapshots.acquire().await;
        let began = Instant::now();
        let text = self.read_snapshot(qid).await?;
        *last = Some((began, Arc::clone(&text)));
        Ok(text)
    }

    async fn read_snapshot(&self, qid: Qid) -> Result<Snapshot> {
        let marks = self.with(|channels| channels.get(&qid).map(|channel| *channel.marks.borrow()));
        // The list is read after the cursor, so it contains at least everything up to the cursor.
        let cursor = self.db.event_horizon(qid).await?.state_cursor();
        let rows = self.db.list_jobs(qid).await?;
        let text = text_of(&ServerMessage::JobStates(jobs_message(&rows, cursor)));
        self.with(|channels| {
            let Some(channel) = channels.get_mut(&qid) else { return };
            // The snapshot is kept only if no hint came during the read.
            if Some(*channel.marks.borrow()) == marks {
                channel.feed.snapshot = Some(Arc::clone(&text));
            }
        });
        Ok(text)
    }
}
