//! The ids that the client behind one socket uses for its jobs.
//!
//! A definition may have two true ids, and a queue stores its job under one of them. A client that used the other id expects
//! messages with the id that it sent. All sockets share the queue's messages, so a message is rewritten for such a socket only if
//! it names such a job.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::{Jobs, JobsMessage, ServerMessage};

use crate::hub::text_of;

/// Most ids that are remembered. The oldest are forgotten, and their jobs are named by the queue's id again.
const NAMES_MAX: usize = 200;

/// For each requested job, its id in the queue and the id that the client sent.
#[derive(Debug, Default)]
pub(super) struct Names(VecDeque<(String, String)>);

impl Names {
    /// Remembers the id that the client used for a job.
    pub(super) fn note(&mut self, row_id: &str, sent_id: &str) {
        if !protocol::is_sha256(sent_id) || self.0.iter().any(|(row, sent)| row == row_id && sent == sent_id) {
            return;
        }
        if self.0.len() >= NAMES_MAX {
            self.0.pop_front();
        }
        self.0.push_back((row_id.to_owned(), sent_id.to_owned()));
    }

    /// The message for this client, usually unchanged. If the client uses several ids for a job, the result may be one message
    /// for each id.
    pub(super) fn translate(&self, text: Arc<str>) -> Vec<Arc<str>> {
        let other = self.0.iter().filter(|(row, sent)| row != sent);
        let rows: Vec<&str> = other.map(|(row, _)| row.as_str()).filter(|row| text.contains(*row)).collect();
        if rows.is_empty() {
            return vec![text];
        }
        match serde_json::from_str(&text) {
            Ok(message) => self.renamed(message, &rows).iter().map(text_of).collect(),
            Err(_) => vec![text],
        }
    }

    fn renamed(&self, message: ServerMessage, rows: &[&str]) -> Vec<ServerMessage> {
        match message {
            ServerMessage::JobStates(message) => vec![ServerMessage::JobStates(self.listed(message, rows))],
            ServerMessage::JobStateUpdates(message) => vec![ServerMessage::JobStateUpdates(self.listed(message, rows))],
            ServerMessage::JobStatusPayload(message) if rows.contains(&message.job_id.as_str()) => {
                let names = self.names(&message.job_id);
                names.map(|job_id| ServerMessage::JobStatusPayload(protocol::LogsMessage { job_id, ..message.clone() })).collect()
            }
            ServerMessage::ClearJobCache(message) if rows.contains(&message.job_id.as_str()) => {
                let names = self.names(&message.job_id);
                names.map(|job_id| ServerMessage::ClearJobCache(protocol::ClearMessage { job_id, ..message.clone() })).collect()
            }
            other => vec![other],
        }
    }

    fn listed(&self, message: JobsMessage, rows: &[&str]) -> JobsMessage {
        let mut jobs = message.state.jobs;
        for row in rows {
            let Some(job) = jobs.remove(*row) else { continue };
            jobs.extend(self.names(row).map(|name| (name, job.clone())));
        }
        JobsMessage { state: Jobs { jobs }, ..message }
    }

    fn names(&self, row_id: &str) -> impl Iterator<Item = String> {
        self.0.iter().filter(move |(row, _)| row == row_id).map(|(_, sent)| sent.clone())
    }
}
