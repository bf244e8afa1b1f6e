//! A job's container from its creation to its end.

use std::sync::Arc;
use std::time::Duration;

use protocol::{EndCode, Step};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::watch::Watch;
use super::{Ended, RunError, Task, broken, image, inputs, signalled, trial};
use crate::ends::Phase;
use crate::executor::{ContainerSpec, Fault};
use crate::log::Written;

/// The output of a container on its way to the log.
type Pump = AbortOnDropHandle<Result<Written, Fault>>;

impl Task<'_> {
    /// Prepares, creates and starts the container and awaits its end.
    pub(super) async fn launch(&self) -> Result<Ended, RunError> {
        let secrets = self.secrets().await?;
        let prepared = Box::pin(async { tokio::try_join!(inputs::write(self), image::ensure(self), self.see_network()) });
        let (mounts, image, ()) = self.unless_halted(prepared).await?;
        let _in_use = self.host.images.used(&image);
        let mut spec = self.container_spec(image, mounts)?;
        let mut place = self.unless_halted(self.confine(&mut spec, secrets)).await?;
        let (id, watch) = tokio::join!(self.create_twice(&spec), Watch::open(self));
        let id = id?;
        let id = self.container.get_or_init(|| id);
        if let Some(place) = &mut place {
            place.settle();
        }
        let pump = self.start_twice(id, &spec).await?;
        drop(place);
        self.see_to_its_end(id, Duration::ZERO, watch, pump).await
    }

    /// Creates the container, once more where the first refusal may have passed.
    async fn create_twice(&self, spec: &ContainerSpec) -> Result<String, RunError> {
        match self.create(spec.clone()).await {
            Ok(id) => Ok(id),
            Err(fault) => {
                self.unless_halted(self.doubt(Phase::Create, &fault, None, spec)).await?;
                self.create(spec.clone()).await.map_err(|fault| trial::refused_twice(&fault))
            }
        }
    }

    /// Starts the container with its output on the way to the log, likewise.
    async fn start_twice(&self, id: &str, spec: &ContainerSpec) -> Result<Pump, RunError> {
        match self.start(id).await? {
            Ok(pump) => Ok(pump),
            Err(fault) => {
                self.unless_halted(self.doubt(Phase::Start, &fault, Some(id), spec)).await?;
                self.start(id).await?.map_err(|fault| trial::refused_twice(&fault))
            }
        }
    }

    async fn start(&self, id: &str) -> Result<Result<Pump, Fault>, RunError> {
        let frames = self.host.executor.attach(id).await.map_err(broken)?;
        let log = self.log.clone();
        let pump = AbortOnDropHandle::new(tokio::spawn(async move { Ok(log.pump(frames).await) }));
        Ok(self.host.executor.start(id).await.map(|()| pump))
    }

    /// Awaits the end of a container that was started by an earlier worker process.
    pub(super) async fn go_on(&self, id: &str) -> Result<Ended, RunError> {
        self.hide_given_secrets().await?;
        // Its container is enough to keep its image.
        let pump = tokio::spawn(self.log.clone().resume(Arc::clone(&self.host.executor), id.to_owned()));
        let age = self.host.executor.age(id).await.map_err(broken)?;
        let watch = Watch::open(self).await;
        self.see_to_its_end(id, age, watch, AbortOnDropHandle::new(pump)).await
    }

    /// The container's output is in the log when this returns. `age` is how long it has run already.
    async fn see_to_its_end(&self, id: &str, age: Duration, mut watch: Watch, pump: Pump) -> Result<Ended, RunError> {
        let limit = self.limit();
        let began = Instant::now();
        let is_timed_out = self.await_end(id, limit.saturating_sub(age), &mut watch).await?;
        if self.halt.is_halted() {
            return Err(RunError::Halted);
        }
        let mut ending = self.host.executor.ending(id).await.map_err(broken)?;
        if age.is_zero() {
            // The engine may note an early end before the start.
            ending.duration = began.elapsed();
        }
        if !is_timed_out && watch.over_disk().is_none() {
            signalled::check(&*self.host.executor, ending).await?;
        }
        let pumped = async { pump.await.map_err(|error| RunError::Host(error.to_string()))?.map_err(broken) };
        let written = self.unless_halted(pumped).await?;
        if let Some(sentence) = watch.over_disk() {
            return Err(RunError::failed(EndCode::DiskExceeded, Step::Running, sentence));
        }
        let note = self.host.containers.as_ref().and_then(|containers| watch.note(containers.isolation.pids()));
        let note = match note {
            None if !is_timed_out => self.program_note(id, ending.exit_code).await?,
            note => note,
        };
        // It may have been stopped for its time by a worker that then was killed itself.
        let is_timed_out = is_timed_out || (age > Duration::ZERO && ending.duration > limit);
        Ok(Ended { ending, is_timed_out, written, note })
    }

    /// Returns when the container has ended, by itself, by its time limit (then true), for what it wrote, or because the task was
    /// halted.
    async fn await_end(&self, id: &str, time_left: Duration, watch: &mut Watch) -> Result<bool, RunError> {
        let executor = &self.host.executor;
        let is_timed_out = tokio::select! {
            biased;
            ended = executor.wait(id) => return ended.map(|()| false).map_err(broken),
            () = tokio::time::sleep(time_left) => true,
            () = self.halt.halted() => false,
            // Without a grace, in which it would write on.
            () = watch.until_over(self, id) => return executor.stop(id, Duration::ZERO).await.map(|()| false).map_err(broken),
        };
        executor.stop(id, self.host.stop_grace).await.map_err(broken)?;
        // After the stop: a log that nobody takes must not let the job run on. With no time left from the beginning, an earlier
        // worker stopped it and most likely said so; the result's message says it in any case.
        if is_timed_out && !time_left.is_zero() {
            let line = format!("the job ran longer than {} and was stopped", protocol::format_duration(self.limit()));
            self.log.error(Step::Running, line).await;
        }
        Ok(is_timed_out)
    }
}
