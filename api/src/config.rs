//! Settings of one API process. `asman api --help` is the reference page.

use std::net::SocketAddr;
use std::path::PathBuf;

use protocol::{Duration, QueueName, limits};

use crate::blob::S3Config;
use crate::limits::Limits;
use crate::local::LocalDoor;

/// Settings of one API process.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// PostgreSQL, such as `postgres://user:password@host/asman` or `host=… dbname=…`, as libpq reads it. Directly, or through a pooler
    /// in session or transaction mode.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// A direct connection for LISTEN where --database-url goes through a pooler. Without one, and when no notification arrives, the
    /// API polls.
    #[arg(long, env = "DATABASE_LISTEN_URL", hide_env_values = true)]
    pub listen_url: Option<String>,
    /// Folder that holds the files of /f, unless --s3-bucket is given.
    #[arg(long, env = "ASMAN_BLOB_DIRECTORY", default_value = "./asman-blobs")]
    pub blob_directory: PathBuf,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the help of the whole command")]
    pub s3: S3Config,
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
    /// What one address, queue or socket may ask for.
    #[command(flatten)]
    pub limits: Limits,
    /// Where clients reach this API, such as `https://queue.example`: webhooks name results by it. Without it they give a path.
    #[arg(long, env = "ASMAN_PUBLIC_URL", value_parser = public_url)]
    pub public_url: Option<String>,
    /// Let webhooks reach loopback and private addresses, on any port. Link-local ones, where clouds keep credentials, stay closed.
    #[arg(long, env = "ASMAN_ALLOW_PRIVATE_WEBHOOKS", value_parser = clap::builder::FalseyValueParser::new())]
    pub allow_private_webhooks: bool,
    /// Pause after a webhook's first failed try; it doubles up to an hour.
    #[arg(long, default_value = "10s", hide = true)]
    pub webhook_backoff: Duration,
    /// A webhook that is being tried is left alone for this long, then its sender is taken for dead.
    #[arg(long, default_value = "30s", hide = true)]
    pub webhook_lease: Duration,
    /// A client that takes longer than this for the head of a request, or between two pieces of its body, is cut off; so is a
    /// connection that is idle for as long.
    #[arg(long, env = "ASMAN_PATIENCE", default_value = "30s")]
    pub patience: Duration,
    /// After the stop signal, `/readyz` says no for this long while requests are still taken, so that load balancers look away first.
    #[arg(long, env = "ASMAN_STOP_DELAY", default_value = "0s")]
    pub stop_delay: Duration,
    /// A socket that does not take a message within this time is closed.
    #[arg(long, default_value = "10s", hide = true)]
    pub send_timeout: Duration,
    /// Queue of the task-queue API at `/api/v1/queue`. Any queue's is at `/q/<queue>/api/v1/queue`.
    #[arg(long, env = "ASMAN_TASK_QUEUE", hide_env_values = true, value_name = "QUEUE")]
    pub task_queue_name: Option<QueueName>,
    /// The same, by the variable that existing deployments of that API set.
    #[arg(long, env = "SQL_QUEUE_NAME", hide = true, hide_env_values = true)]
    pub sql_queue_name: Option<QueueName>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the help of the whole command")]
    pub door: LocalDoor,
    /// The program that `/download/asman` gives; none where this process is not it.
    #[arg(skip)]
    pub executable: Option<PathBuf>,
}

/// Without the slash at its end.
fn public_url(text: &str) -> Result<String, &'static str> {
    let url = url::Url::parse(text).map_err(|_| "it is no URL")?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err("it must be an http or https URL without parameters");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
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
            s3: S3Config::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            lease: Duration(limits::LEASE),
            poll: Duration(std::time::Duration::from_secs(2)),
            notifications: true,
            limits: Limits::default(),
            public_url: None,
            allow_private_webhooks: false,
            webhook_backoff: Duration(std::time::Duration::from_secs(10)),
            webhook_lease: Duration(std::time::Duration::from_secs(30)),
            patience: Duration(std::time::Duration::from_secs(30)),
            stop_delay: Duration(std::time::Duration::ZERO),
            send_timeout: Duration(std::time::Duration::from_secs(10)),
            task_queue_name: None,
            sql_queue_name: None,
            door: LocalDoor::default(),
            executable: None,
        }
    }
}
