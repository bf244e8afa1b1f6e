//! What a worker would find out at its start, for people who want to know before.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::data_directory::DataDirectory;
use crate::error::Error;
use crate::executor::Docker;
use crate::isolation::{Isolation, Network, Wants};
use crate::probe::Need;
use crate::run::Init;

/// How one thing that jobs need came out: one sentence each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// There.
    Fine(String),
    /// Not there, and jobs run without it.
    Without(String),
    /// Not there, and no worker with these settings starts.
    Lack(String),
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Findings {
    /// By need, in their order. What comes after a lack is not known.
    pub needs: Vec<(Need, Finding)>,
    /// The network of jobs.
    pub guard: Finding,
    /// Where the engine keeps images, when that is on this machine.
    pub images: Option<PathBuf>,
}

/// Looks as [`run`](crate::run()) does at its start, beside whatever runs, and leaves nothing. Fails without an engine.
pub async fn examine(config: &Config) -> Result<Findings, Error> {
    let docker = Docker::connect().await?;
    let images = if Docker::is_local() { docker.root_folder().await } else { None };
    // In the place of the data directory, whose lock a worker may hold.
    let folder = beside(&config.data_directory()?);
    let result = examine_in(config, &docker, &folder).await;
    // The first is not there when it could not be made.
    let _ = std::fs::remove_dir_all(&folder);
    let (needs, guard) = result?;
    Ok(Findings { needs, guard, images: images.filter(|path| path.is_dir()) })
}

async fn examine_in(config: &Config, docker: &Docker, folder: &Path) -> Result<(Vec<(Need, Finding)>, Finding), Error> {
    let data = match DataDirectory::open(folder) {
        Ok(data) => data,
        Err(error) => return Ok((vec![(Need::Data, Finding::Lack(error.to_string()))], unknown())),
    };
    let wants = Wants { gpus: config.gpus.devices().to_vec(), has_init: config.init != Init::Never };
    let found = Isolation::examine(&config.isolation, &config.api, docker, &data, wants).await?;
    let _ = docker.remove_sandbox_image().await;
    let lacking = found.unfit.as_ref().map(|unfit| unfit.need);
    let fine = crate::probe::NEEDS.into_iter().filter(|need| lacking.is_none_or(|lacking| *need < lacking));
    let fine = fine.filter(|need| *need != Need::Gpus || config.gpus.count() > 0);
    let mut needs: Vec<_> = fine.map(|need| (need, Finding::Fine(praise(need).to_owned()))).collect();
    needs.extend(found.unfit.map(|unfit| (unfit.need, Finding::Lack(unfit.sentence))));
    let guard = match found.lack {
        Some(lack) if config.isolation.untrusted => Finding::Lack(lack),
        Some(lack) => Finding::Without(lack),
        None if lacking.is_some() => unknown(),
        None if config.isolation.network == Network::Guarded => Finding::Fine("its rules and bridge are in force".to_owned()),
        None => Finding::Fine("none is asked for".to_owned()),
    };
    Ok((needs, guard))
}

fn unknown() -> Finding {
    Finding::Without("not known before a container runs".to_owned())
}

fn praise(need: Need) -> &'static str {
    match need {
        Need::Container => "a container of an image made here ran",
        Need::Data => "files of the data directory are seen from a container, and back",
        Need::Limits => "cpus, memory and processes of a container are bounded",
        Need::Confinement => "a container has the runtime, rights and init of a job's",
        Need::Gpus => "a container got the gpus",
    }
}

/// A folder of its own as near to the data directory as there is a folder.
fn beside(data: &Path) -> PathBuf {
    let there = data.ancestors().skip(1).find(|path| path.is_dir()).unwrap_or(Path::new("/tmp"));
    there.join(format!(".asman-doctor-{}", std::process::id()))
}
