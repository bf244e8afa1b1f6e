//! Settings of one API process. `asman api --help` is the reference page.

use std::net::SocketAddr;
use std::path::PathBuf;

use protocol::{Duration, QueueName, limits};

/// Settings of one API process.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// PostgreSQL, such as `postgres://user:password@host/asman`. Any pooler in session mode will do.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// A direct connection for LISTEN where --database-url goes through a pooler. Without one, and when listening fails, the
    /// API polls.
    #[arg(long, env = "DATABASE_LISTEN_URL", hide_env_values = true)]
    pub listen_url: Option<String>,
    /// Folder that holds the files of /f.
    #[arg(long, env = "ASMAN_BLOB_DIRECTORY", default_value = "./asman-blobs")]
    pub blob_directory: PathBuf,
    /// Address to listen on.
    #[arg(long, env = "ASMAN_LISTEN", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// A worker that is silent for this long has lost its claims.
    #[arg(long, env = "ASMAN_LEASE", default_value_t = Duration(limits::LEASE))]
    pub lease: Duration,
    /// How often the database is looked at although no notification came.
    #[arg(long, env = "ASMAN_POLL", default_value = "2s")]
    pub poll: Duration,
    /// Whether to listen for notifications at all; without them every change takes up to --poll to be seen elsewhere.
    #[arg(long, env = "ASMAN_NOTIFICATIONS", default_value_t = true, action = clap::ArgAction::Set)]
    pub notifications: bool,
    /// Queue of the task-queue API at /api/v1/queue. Any queue's is at /q/<queue>/api/v1/queue.
    #[arg(long, env = "ASMAN_TASK_QUEUE", hide_env_values = true, value_name = "QUEUE")]
    pub task_queue_name: Option<QueueName>,
    /// The same, by the variable that existing deployments of that API set.
    #[arg(long, env = "SQL_QUEUE_NAME", hide = true, hide_env_values = true)]
    pub sql_queue_name: Option<QueueName>,
}

impl Config {
    /// The queue that the task-queue API serves where a path names none.
    pub fn task_queue(&self) -> Option<&QueueName> {
        self.task_queue_name.as_ref().or(self.sql_queue_name.as_ref())
    }

    /// Defaults, for a process that embeds the API.
    pub fn for_database(database_url: String, blob_directory: PathBuf) -> Self {
        Self {
            database_url,
            listen_url: None,
            blob_directory,
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            lease: Duration(limits::LEASE),
            poll: Duration(std::time::Duration::from_secs(2)),
            notifications: true,
            task_queue_name: None,
            sql_queue_name: None,
        }
    }
}
