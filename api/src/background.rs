//! The background tasks that a process needs, and what happens when one of them ends.
//!
//! Each runs until the process stops. If one panics or returns early, the process would look healthy and do only half of its
//! work. So [`Background::broken`] names the task, and `serve` ends the process. All such tasks are started here, and a test
//! finds tasks that are started elsewhere.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;

/// Cheap to clone; all clones start tasks of the same set.
#[derive(Clone, Debug)]
pub(crate) struct Background {
    tasks: Arc<Mutex<JoinSet<()>>>,
    broken: watch::Sender<Option<&'static str>>,
}

/// Names its task when the task ends, in whatever way.
struct Ended {
    name: &'static str,
    broken: watch::Sender<Option<&'static str>>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.broken.send_if_modified(|first| first.replace(first.unwrap_or(self.name)).is_none());
    }
}

impl Background {
    pub(crate) fn new() -> Self {
        Self { tasks: Arc::default(), broken: watch::Sender::new(None) }
    }

    /// Starts a task that runs as long as the process.
    pub(crate) fn start(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let ended = Ended { name, broken: self.broken.clone() };
        self.lock().spawn(async move {
            let _ended = ended;
            task.await;
        });
    }

    /// The name of the first task that ended. Waits while all of them run.
    pub(crate) async fn broken(&self) -> &'static str {
        let mut broken = self.broken.subscribe();
        // The sender lives as long as `self`.
        let name = broken.wait_for(Option::is_some).await.ok().and_then(|name| *name);
        name.unwrap_or("a task")
    }

    /// Ends all of them.
    pub(crate) async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.lock());
        tasks.shutdown().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_named() {
        let background = Background::new();
        background.start("the feed", std::future::pending());
        background.start("the sweep", async { panic!("as a bug in this program would") });
        assert_eq!(background.broken().await, "the sweep");
        background.stop().await;
        assert_eq!(background.broken().await, "the sweep", "the first one is the cause");
    }

    #[tokio::test]
    async fn a_task_that_returns_is_named() {
        let background = Background::new();
        background.start("the notifier", async {});
        assert_eq!(background.broken().await, "the notifier");
    }

    /// Files that start a task for one request, one connection or one try. Such a task is either awaited or may be lost. All
    /// other tasks go through [`Background::start`].
    const OTHERS: [&str; 5] = ["batcher.rs", "large.rs", "mcp/socket.rs", "routes/blobs.rs", "compat/task_queue/claims.rs"];

    #[test]
    fn nothing_runs_in_the_background_unseen() {
        let source = include_dir::include_dir!("$CARGO_MANIFEST_DIR/src");
        let mut files = Vec::new();
        collect(&source, &mut files);
        let spawning = |file: &&&include_dir::File<'_>| {
            let text = file.contents_utf8().unwrap_or_default();
            text.lines().any(|line| line.contains("tokio::spawn(") && !line.trim_start().starts_with("//"))
        };
        let names: Vec<_> = files.iter().filter(spawning).map(|file| file.path().to_string_lossy()).collect();
        let unknown: Vec<_> = names.iter().filter(|name| **name != "background.rs" && !OTHERS.contains(&&***name)).collect();
        assert!(unknown.is_empty(), "start these with Background::start: {unknown:?}");
    }

    fn collect<'a>(dir: &'a include_dir::Dir<'a>, into: &mut Vec<&'a include_dir::File<'a>>) {
        into.extend(dir.files());
        dir.dirs().for_each(|dir| collect(dir, into));
    }
}
