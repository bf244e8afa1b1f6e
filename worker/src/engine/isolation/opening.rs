//! Chooses, sets up, checks and reports the isolation at a worker's start.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::guard::{Guard, Openings, Problem, destinations_of};
use super::sandbox::Sandboxes;
use super::{Isolation, IsolationConfig, Network, SHARED_KERNEL, sandbox, versions};
use crate::data_directory::DataDirectory;
use crate::engine::probe::{ContainerStyle, Probe, Unfit};
use crate::engine::{Confinement, Docker, EngineFacts, Fault, ImageFacts};
use crate::error::Error;
use crate::labels::LABEL_SANDBOX;
use crate::network::Resolvers;

/// gVisor's runtime, which runs a kernel of its own between a job and this machine's kernel.
const GVISOR: &str = "runsc";

/// The problems that a start would have.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) unfit: Option<Unfit>,
    /// Why the network is not guarded.
    pub(crate) problem: Option<String>,
}

/// Settings of a worker's containers besides isolation.
#[derive(Clone, Debug)]
pub(crate) struct Wants {
    pub(crate) gpus: Vec<String>,
    pub(crate) has_init: bool,
}

impl Isolation {
    /// Chooses the isolation, checks that containers of jobs can run, makes the network and its rules, and logs the stance.
    ///
    /// The worker changes nothing on the machine before the check: if the engine sees another data directory under this path, another
    /// worker's objects would look like this worker's own.
    pub(crate) async fn open(
        config: &IsolationConfig,
        api: &str,
        docker: &Docker,
        data: &DataDirectory,
        wants: Wants,
    ) -> Result<Self, Error> {
        let engine = Arc::clone(&docker.facts);
        let mut isolation = Self::choose(config, &engine)?;
        let probe = isolation.probe(docker, data, wants, &engine);
        probe.run(data).await.map_err(refused)?.map_err(|unfit| Error::Machine(unfit.sentence))?;
        isolation.probe = Some(probe);
        sandbox::sweep(docker, data).await.map_err(refused)?;
        isolation.open_guard(api, docker, data).await?;
        isolation.sandboxes = match isolation.open_sandboxes(docker, data, &engine).await {
            Ok(sandboxes) => sandboxes,
            Err(fault) => {
                isolation.close().await;
                return Err(refused(fault));
            }
        };
        isolation.report(&engine);
        Ok(isolation)
    }

    fn choose(config: &IsolationConfig, engine: &EngineFacts) -> Result<Self, Error> {
        let runtime = choose_runtime(config, engine)?;
        Ok(Self {
            disk_bytes: config.disk_bytes()?,
            refuses_root: config.untrusted && !engine.has_user_namespaces && shares_kernel(runtime.as_deref(), engine),
            refuses_builds: config.untrusted && !shares_kernel(runtime.as_deref(), engine) && shares_kernel(None, engine),
            cannot_bound_rootfs: AtomicBool::new(!engine.may_bound_rootfs),
            writers: Arc::default(),
            resolvers: Resolvers::choose(&config.dns, config.untrusted),
            config: config.clone(),
            runtime,
            guard: None,
            sandboxes: None,
            probe: None,
        })
    }

    fn probe(&self, docker: &Docker, data: &DataDirectory, wants: Wants, engine: &EngineFacts) -> Probe {
        let confinement =
            Confinement { rootfs_bytes: None, dns: Vec::new(), ..self.rights(&ImageFacts::default(), "none".to_owned()) };
        let mut labels = data.owner_labels();
        labels.insert(LABEL_SANDBOX.to_owned(), data.label());
        let shares_kernel = shares_kernel(self.runtime.as_deref(), engine);
        let style = ContainerStyle { confinement, gpus: wants.gpus, has_init: wants.has_init, shares_kernel };
        Probe::new(docker, data, labels, style)
    }

    async fn open_guard(&mut self, api: &str, docker: &Docker, data: &DataDirectory) -> Result<(), Error> {
        if self.config.network != Network::Guarded {
            return Ok(());
        }
        let openings = self.openings(api).await;
        let (guard, problem) = Guard::open(docker, data, openings).await.map_err(refused)?;
        if let Some(problem) = problem {
            self.without_rules(&guard, problem).await?;
        }
        self.guard = Some(guard);
        Ok(())
    }

    /// Reports the problems that [`open`](Self::open) would have. Leaves nothing behind.
    pub(crate) async fn examine(
        config: &IsolationConfig,
        api: &str,
        docker: &Docker,
        data: &DataDirectory,
        wants: Wants,
    ) -> Result<Found, Error> {
        let engine = Arc::clone(&docker.facts);
        let isolation = Self::choose(config, &engine)?;
        let probed = isolation.probe(docker, data, wants, &engine).run(data).await.map_err(refused)?;
        if let Err(unfit) = probed {
            return Ok(Found { unfit: Some(unfit), problem: None });
        }
        if config.network != Network::Guarded {
            return Ok(Found { unfit: None, problem: None });
        }
        let (guard, problem) = Guard::open(docker, data, isolation.openings(api).await).await.map_err(refused)?;
        guard.close().await;
        Ok(Found { unfit: None, problem: problem.map(unguarded) })
    }

    /// Checks again that jobs can run: after an outage of the engine, another engine may answer.
    pub(crate) async fn prove(&self, data: &DataDirectory) -> Result<(), String> {
        let engine = |fault: Fault| format!("Docker does not answer ({fault}); see `asman doctor`");
        if let Some(probe) = &self.probe {
            probe.run(data).await.map_err(engine)?.map_err(|unfit| unfit.sentence)?;
        }
        match &self.guard {
            Some(guard) => guard.prove().await,
            None => Ok(()),
        }
    }

    /// The private addresses that jobs may reach.
    async fn openings(&self, api: &str) -> Openings {
        let mut allowed = self.config.network_allow.clone();
        if !self.config.untrusted {
            allowed.extend(destinations_of(api).await);
        }
        Openings { allowed, resolvers: self.resolvers.clone() }
    }

    async fn open_sandboxes(
        &self,
        docker: &Docker,
        data: &DataDirectory,
        engine: &EngineFacts,
    ) -> Result<Option<Sandboxes>, Fault> {
        if self.config.network == Network::None || !shares_kernel(self.runtime.as_deref(), engine) {
            return Ok(None);
        }
        Ok(Some(Sandboxes::open(docker, data, self.network().await?, self.dns())))
    }

    async fn without_rules(&self, guard: &Guard, problem: Problem) -> Result<(), Error> {
        let sentence = unguarded(problem);
        if self.config.untrusted {
            guard.close().await;
            return Err(Error::Machine(sentence));
        }
        tracing::warn!("{sentence}");
        Ok(())
    }

    fn report(&self, engine: &EngineFacts) {
        let stance = if self.config.untrusted { "untrusted" } else { "trusted" };
        let runtime = self.runtime.as_deref().unwrap_or(&engine.default_runtime);
        let network = match (self.config.network, &self.guard) {
            (Network::Guarded, Some(guard)) if guard.has_rules() => "guarded",
            (Network::Guarded, _) => "not guarded",
            (Network::None, _) => "none",
            (Network::Open, _) => "open",
        };
        tracing::info!(engine = engine.name, stance, runtime, network, disk = %self.config.disk, pids = self.config.pids, "jobs are isolated");
        if self.config.untrusted && shares_kernel(self.runtime.as_deref(), engine) {
            tracing::warn!(
                runtime,
                "JOBS OF STRANGERS SHARE THIS MACHINE'S KERNEL: one hole in it or in the runtime gives them control of this machine"
            );
        }
        // The warnings matter when jobs share this machine's kernel. With gVisor they are only debug messages.
        let is_exposed = shares_kernel(self.runtime.as_deref(), engine);
        for sentence in versions::warnings(engine) {
            if is_exposed {
                tracing::warn!("{sentence}");
            } else {
                tracing::debug!("{sentence}");
            }
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "maps errors")]
fn refused(fault: Fault) -> Error {
    Error::Docker(fault.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "maps problems")]
fn unguarded(problem: Problem) -> String {
    format!("jobs can reach this machine and its private networks: {problem}, or use --network none")
}

fn choose_runtime(config: &IsolationConfig, engine: &EngineFacts) -> Result<Option<String>, Error> {
    let is_there = |name: &str| engine.runtimes.iter().any(|runtime| runtime == name);
    let asked = match &config.runtime {
        Some(name) if !is_there(name) => return Err(Error::Machine(format!("{} does not have the runtime {name:?} of --runtime; it has {}", engine.noun, engine.runtimes.join(", ")))),
        Some(name) => name.as_str(),
        None if !config.untrusted => return Ok(None),
        None if is_there(GVISOR) || !engine.takes_runtime => GVISOR,
        None => return Err(Error::Machine(
            "--untrusted needs gVisor: install `runsc` and register it with the Docker engine (`runsc install`, then restart the \
             engine), or name another runtime with --runtime; runc shares this machine's kernel with strangers"
                .to_owned(),
        )),
    };
    if engine.takes_runtime || asked == engine.default_runtime {
        return Ok(Some(asked.to_owned()));
    }
    Err(Error::Machine(format!(
        "{} runs every container with its default runtime ({}) and not with {asked}; set `runtime = \"{asked}\"` under [engine] in its \
         containers.conf and start it again, or name {} with --runtime",
        engine.noun, engine.default_runtime, engine.default_runtime
    )))
}

fn shares_kernel(runtime: Option<&str>, engine: &EngineFacts) -> bool {
    SHARED_KERNEL.contains(&runtime.unwrap_or(&engine.default_runtime))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(runtimes: &[&str]) -> EngineFacts {
        let runtimes: Vec<_> = runtimes.iter().map(|name| (*name).to_owned()).collect();
        EngineFacts {
            default_runtime: "runc".to_owned(),
            runtimes,
            takes_runtime: true,
            noun: "the engine",
            ..EngineFacts::default()
        }
    }

    fn config(untrusted: bool, runtime: Option<&str>) -> IsolationConfig {
        IsolationConfig { untrusted, runtime: runtime.map(str::to_owned), ..IsolationConfig::default() }
    }

    #[test]
    fn an_engine_that_takes_no_runtime_must_have_it_as_its_default() {
        let choose = |untrusted, runtime, default: &str| {
            let facts = EngineFacts { default_runtime: default.to_owned(), takes_runtime: false, ..engine(&["runc", "runsc"]) };
            choose_runtime(&config(untrusted, runtime), &facts)
        };
        assert_eq!(choose(false, None, "runc").unwrap(), None);
        assert_eq!(choose(true, None, "runsc").unwrap().as_deref(), Some("runsc"));
        assert_eq!(choose(true, Some("runc"), "runc").unwrap().as_deref(), Some("runc"));
        for (untrusted, runtime) in [(true, None), (false, Some("runsc"))] {
            let problem = choose(untrusted, runtime, "runc").unwrap_err().to_string();
            assert!(problem.contains("default runtime (runc)") && problem.contains("`runtime = \"runsc\"`"), "{problem}");
        }
    }

    #[test]
    fn strangers_get_gvisor_or_what_the_owner_names() {
        let choose = |untrusted, runtime, runtimes: &[&str]| choose_runtime(&config(untrusted, runtime), &engine(runtimes));
        assert_eq!(choose(false, None, &["runc", "runsc"]).unwrap(), None);
        assert_eq!(choose(true, None, &["runc", "runsc"]).unwrap().as_deref(), Some("runsc"));
        assert_eq!(choose(true, Some("runc"), &["runc"]).unwrap().as_deref(), Some("runc"));
        let problem = choose(true, None, &["runc"]).unwrap_err();
        assert!(matches!(&problem, Error::Machine(sentence) if sentence.contains("runsc install")), "{problem}");
        assert!(
            choose(false, Some("kata"), &["runc"])
                .unwrap_err()
                .to_string()
                .contains("not have the runtime \"kata\" of --runtime; it has runc")
        );
    }
}
