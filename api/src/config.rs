//! Settings of one API process. `asman api --help` is the reference page.

use std::net::SocketAddr;
use std::path::PathBuf;

use protocol::{Duration, QueueName, limits};

use crate::blob::S3Config;
use crate::limits::Limits;
use crate::local::LocalAccess;

/// Settings of one API process.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// Address of PostgreSQL, such as `postgres://user:password@host/asman` or `host=… dbname=…`, as libpq reads it. It may be a
    /// pooler in session or transaction mode.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// Direct address of PostgreSQL for LISTEN, if --database-url is a pooler. Without it, and when no notification arrives, the
    /// API polls.
    #[arg(long, env = "DATABASE_LISTEN_URL", hide_env_values = true)]
    pub listen_url: Option<String>,
    /// Folder for the files of /f, unless --s3-bucket is given.
    #[arg(long, env = "ASMAN_BLOB_DIRECTORY", default_value = "./asman-blobs")]
    pub blob_directory: PathBuf,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the help of the whole command")]
    pub s3: S3Config,
    /// Address to listen on.
    #[arg(long, env = "ASMAN_LISTEN", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// A worker that sends nothing for this long loses its claims.
    #[arg(long, env = "ASMAN_LEASE", default_value_t = Duration(limits::LEASE))]
    pub lease: Duration,
    /// How often the API looks at the database without a notification.
    #[arg(long, env = "ASMAN_POLL", default_value = "2s")]
    pub poll: Duration,
    /// Whether to listen for notifications. Without them other processes see a change only after up to --poll.
    #[arg(long, env = "ASMAN_NOTIFICATIONS", default_value_t = true, action = clap::ArgAction::Set)]
    pub notifications: bool,
    /// Limits for one address, queue or socket.
    #[command(flatten)]
    pub limits: Limits,
    /// Address of this API for clients, such as `https://queue.example`. Webhooks use it in the addresses of results; without it
    /// they contain only a path.
    #[arg(long, env = "ASMAN_PUBLIC_URL", value_parser = public_url)]
    pub public_url: Option<String>,
    /// Let webhooks reach loopback and private addresses, on any port. Link-local addresses, where clouds serve credentials, stay
    /// closed.
    #[arg(long, env = "ASMAN_ALLOW_PRIVATE_WEBHOOKS", value_parser = clap::builder::FalseyValueParser::new())]
    pub allow_private_webhooks: bool,
    /// Pause after the first failed try of a webhook. The pause doubles up to an hour.
    #[arg(long, default_value = "10s", hide = true)]
    pub webhook_backoff: Duration,
    /// How long other processes leave a webhook alone that one process tries. After that its sender counts as dead.
    #[arg(long, default_value = "30s", hide = true)]
    pub webhook_lease: Duration,
    /// Time limit for the head of a request, for the pause between two pieces of its body, and for an idle connection. A client
    /// that exceeds it is disconnected.
    #[arg(long = "patience", env = "ASMAN_PATIENCE", default_value = "30s")]
    pub request_timeout: Duration,
    /// After the stop signal the API still serves requests for this long while `/readyz` answers 503, so that load balancers stop
    /// sending requests first.
    #[arg(long, env = "ASMAN_STOP_DELAY", default_value = "0s")]
    pub stop_delay: Duration,
    /// A socket that does not accept a message within this time is closed.
    #[arg(long, default_value = "10s", hide = true)]
    pub send_timeout: Duration,
    /// Queue of the task-queue API at `/api/v1/queue`. The same API for any queue is at `/q/<queue>/api/v1/queue`.
    #[arg(long, env = "ASMAN_TASK_QUEUE", hide_env_values = true, value_name = "QUEUE")]
    pub task_queue_name: Option<QueueName>,
    /// The same, by the variable that existing deployments of that API use.
    #[arg(long, env = "SQL_QUEUE_NAME", hide = true, hide_env_values = true)]
    pub sql_queue_name: Option<QueueName>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a comment here would become the help of the whole command")]
    pub local_access: LocalAccess,
    /// Path of the program `asman`, which `/download/asman` serves. None if this process is another program, such as a test.
    #[arg(skip)]
    pub executable: Option<PathBuf>,
}

/// Checks a public URL, and removes the slash at its end.
fn public_url(text: &str) -> Result<String, &'static str> {
    let url = url::Url::parse(text).map_err(|_| "it is not a URL; write it as https://queue.example")?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err("it must be an http or https URL without parameters");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

impl Config {
    /// The queue that the task-queue API serves for paths without a queue.
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
            request_timeout: Duration(std::time::Duration::from_secs(30)),
            stop_delay: Duration(std::time::Duration::ZERO),
            send_timeout: Duration(std::time::Duration::from_secs(10)),
            task_queue_name: None,
            sql_queue_name: None,
            local_access: LocalAccess::default(),
            executable: None,
        }
    }
}
