//! The checks of a worker's start, for people who want to know the results before they start the worker.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::disk::ImageStore;
use crate::engine::Docker;
use crate::engine::Init;
use crate::engine::Need;
use crate::engine::isolation::{Isolation, Network, Wants};
use crate::error::Error;

/// The result of one check, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The check passed.
    Fine(String),
    /// The check failed, and jobs run all the same.
    Without(String),
    /// The check failed, and a worker with these settings does not start.
    Problem(String),
}

/// The results of all checks.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The results for the needs of jobs, in order. After the first problem, the other results are unknown.
    pub needs: Vec<(Need, Finding)>,
    /// The network of jobs.
    pub guard: Finding,
    /// Where the engine keeps images, when that is on this machine.
    pub images: Option<PathBuf>,
}

/// Makes the checks that [`run`](crate::run()) makes at its start. It disturbs no running worker and leaves nothing behind. Fails without
/// an engine.
pub async fn examine(config: &Config) -> Result<Findings, Error> {
    let docker = Docker::connect().await?;
    let images = ImageStore::folder(&docker).await;
    // A separate folder, because a running worker may have locked the data directory.
    let folder = beside(&config.data_directory()?);
    let result = examine_in(config, &docker, &folder).await;
    // Ignore an error, because the folder does not exist when it could not be created.
    let _ = std::fs::remove_dir_all(&folder);
    let (needs, guard) = result?;
    Ok(Findings { needs, guard, images: images.filter(|path| path.is_dir()) })
}

async fn examine_in(config: &Config, docker: &Docker, folder: &Path) -> Result<(Vec<(Need, Finding)>, Finding), Error> {
    let data = match DataDirectory::open(folder) {
        Ok(data) => data,
        Err(error) => return Ok((vec![(Need::Data, Finding::Problem(error.to_string()))], unknown())),
    };
    let wants = Wants { gpus: config.gpus.devices().to_vec(), has_init: config.init != Init::Never };
    let found = Isolation::examine(&config.isolation, &config.api, docker, &data, wants).await?;
    let _ = docker.remove_sandbox_image().await;
    let missing = found.unfit.as_ref().map(|unfit| unfit.need);
    let fine = crate::engine::probe::NEEDS.into_iter().filter(|need| missing.is_none_or(|missing| *need < missing));
    let fine = fine.filter(|need| *need != Need::Gpus || config.gpus.count() > 0);
    let mut needs: Vec<_> = fine.map(|need| (need, Finding::Fine(fine_sentence(need).to_owned()))).collect();
    needs.extend(found.unfit.map(|unfit| (unfit.need, Finding::Problem(unfit.sentence))));
    let guard = match found.problem {
        Some(problem) if config.isolation.untrusted => Finding::Problem(problem),
        Some(problem) => Finding::Without(problem),
        None if missing.is_some() => unknown(),
        None if config.isolation.network == Network::Guarded => Finding::Fine("the network of jobs is guarded".to_owned()),
        None => Finding::Fine("the settings ask for no guard".to_owned()),
    };
    Ok((needs, guard))
}

fn unknown() -> Finding {
    Finding::Without("unknown until a container runs".to_owned())
}

fn fine_sentence(need: Need) -> &'static str {
    match need {
        Need::Container => "a test container ran",
        Need::Data => "containers and the worker see each other's files in the data directory",
        Need::Limits => "the engine limits cpus, memory and processes of a container",
        Need::Confinement => "a container gets the runtime, rights and init of jobs",
        Need::Gpus => "a container gets the gpus",
    }
}

/// A path for a new folder in the closest existing parent of the data directory.
fn beside(data: &Path) -> PathBuf {
    let there = data.ancestors().skip(1).find(|path| path.is_dir()).unwrap_or(Path::new("/tmp"));
    there.join(format!(".asman-doctor-{}", std::process::id()))
}
