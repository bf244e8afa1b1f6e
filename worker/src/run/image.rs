//! The image of a job: present, or pulled with progress in the build log.
//!
//! One pull per image at a time in the process, whatever the number of workers in it: who comes second finds it present.
//! Bounds: a pull without a word for two minutes has failed; at most 1,000 progress lines.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use protocol::Step;

use super::{RunError, Task};
use crate::image::{ImageReference, InvalidImage};

const SILENCE_MAX: Duration = Duration::from_mins(2);
const PROGRESS_LINES_MAX: usize = 1_000;

type Pulls = HashMap<String, Arc<tokio::sync::Mutex<()>>>;

/// Images that are being pulled or waited for.
static PULLS: LazyLock<Mutex<Pulls>> = LazyLock::new(Mutex::default);

/// Gives the id of the job's image, which is then present.
pub(super) async fn ensure(task: &Task<'_>) -> Result<String, RunError> {
    let definition = &task.parsed.definition;
    let Some(text) = definition.image.as_deref().filter(|image| !image.trim().is_empty()) else {
        return Err(RunError::job(Step::Build, "this worker cannot build images yet; give an image"));
    };
    let image: ImageReference = text.parse().map_err(|error: InvalidImage| RunError::job(Step::Pull, error.to_string()))?;
    if let Some(id) = present(task, &image).await? {
        return Ok(id);
    }
    let name = image.to_string();
    let pull = Arc::clone(PULLS.lock().unwrap_or_else(PoisonError::into_inner).entry(name.clone()).or_default());
    let result = pull_once(task, &image, &pull).await;
    drop(pull);
    PULLS.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, pull| Arc::strong_count(pull) > 1);
    result
}

async fn present(task: &Task<'_>, image: &ImageReference) -> Result<Option<String>, RunError> {
    task.host.docker.image_id(image).await.map_err(|fault| RunError::of(Step::Pull, fault))
}

async fn pull_once(task: &Task<'_>, image: &ImageReference, pull: &tokio::sync::Mutex<()>) -> Result<String, RunError> {
    let _one_at_a_time = pull.lock().await;
    if let Some(id) = present(task, image).await? {
        return Ok(id);
    }
    task.host.api.stats.pulls.add(1);
    task.log.line(Step::Pull, format!("pulling {image}")).await;
    follow(task, image).await?;
    let id = present(task, image).await?;
    id.ok_or_else(|| RunError::job(Step::Pull, format!("{image} was pulled and is not there")))
}

/// Pulls, with one log line for each change of a layer's state.
async fn follow(task: &Task<'_>, image: &ImageReference) -> Result<(), RunError> {
    let mut words = std::pin::pin!(task.host.docker.pull(image));
    let mut states: HashMap<String, String> = HashMap::new();
    let mut lines = 0;
    loop {
        let silent = |_| RunError::job(Step::Pull, format!("{image}: the registry said nothing for 2 minutes"));
        let Some(word) = tokio::time::timeout(SILENCE_MAX, words.next()).await.map_err(silent)? else { return Ok(()) };
        let word = word.map_err(|fault| RunError::of(Step::Pull, fault))?;
        let is_news = !word.status.is_empty() && states.get(&word.layer) != Some(&word.status);
        if is_news && lines < PROGRESS_LINES_MAX {
            lines += 1;
            let line = if word.layer.is_empty() { word.status.clone() } else { format!("{}: {}", word.layer, word.status) };
            task.log.line(Step::Pull, line).await;
            states.insert(word.layer, word.status);
        }
    }
}
