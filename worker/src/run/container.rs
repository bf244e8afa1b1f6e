//! A job's container from its creation to its end.

use std::sync::Arc;
use std::time::Duration;

use protocol::{EndCode, Step};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::watch::Watch;
use super::{Ended, RunError, Task, broken, image, inputs, signalled, trial};
use crate::ends::Phase;
use crate::engine::{ContainerSpec, Fault};
use crate::run::log::Written;

/// The task that reads a container's output into the log.
type Pump = AbortOnDropHandle<Result<Written, Fault>>;

impl Task<'_> {
    /// Prepares, creates and starts the container, and waits for its end.
    pub(super) async fn launch(&self) -> Result<Ended, RunError> {
        let secrets = self.secrets().await?;
        let prepared = Box::pin(async { tokio::try_join!(inputs::write(self), image::ensure(self), self.see_network()) });
        let (mounts, image, ()) = self.unless_stopped(prepared).await?;
        let _in_use = self.host.images.used(&image);
        let mut spec = self.container_spec(image, mounts)?;
        let mut start = self.unless_stopped(self.confine(&mut spec, secrets)).await?;
        let (id, watch) = tokio::join!(self.create_twice(&spec), Watch::open(self));
        let id = id?;
        let id = self.container.get_or_init(|| id);
        if let Some(start) = &mut start {
            start.joined();
        }
        let pump = self.start_twice(id, &spec).await?;
        drop(start);
        self.see_to_its_end(id, Duration::ZERO, watch, pump).await
    }

    /// Creates the container, with a second attempt if the cause of a refusal may have passed.
    async fn create_twice(&self, spec: &ContainerSpec) -> Result<String, RunError> {
        match self.create(spec.clone()).await {
            Ok(id) => Ok(id),
            Err(fault) => {
                self.unless_stopped(self.doubt(Phase::Create, &fault, None, spec)).await?;
                self.create(spec.clone()).await.map_err(|fault| trial::refused_twice(&fault))
            }
        }
    }

    /// Starts the container and the reading of its output, with a second attempt as above.
    async fn start_twice(&self, id: &str, spec: &ContainerSpec) -> Result<Pump, RunError> {
        match self.start(id).await? {
            Ok(pump) => Ok(pump),
            Err(fault) => {
                self.unless_stopped(self.doubt(Phase::Start, &fault, Some(id), spec)).await?;
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

    /// Waits for the end of a container that an earlier worker process started.
    pub(super) async fn go_on(&self, id: &str) -> Result<Ended, RunError> {
        self.hide_given_secrets().await?;
        // The image stays, because its container uses it.
        let pump = tokio::spawn(self.log.clone().resume(Arc::clone(&self.host.executor), id.to_owned()));
        let age = self.host.executor.age(id).await.map_err(broken)?;
        let watch = Watch::open(self).await;
        self.see_to_its_end(id, age, watch, AbortOnDropHandle::new(pump)).await
    }

    /// Waits for the container's end and reads its output completely. `age` is how long it has run already.
    async fn see_to_its_end(&self, id: &str, age: Duration, mut watch: Watch, pump: Pump) -> Result<Ended, RunError> {
        let limit = self.limit();
        let began = Instant::now();
        let is_timed_out = self.await_end(id, limit.saturating_sub(age), &mut watch).await?;
        if self.stop.is_requested() {
            return Err(RunError::Stopped);
        }
        let mut end = self.host.executor.end(id).await.map_err(broken)?;
        if age.is_zero() {
            // For a very short run, the engine may report an end before the start.
            end.duration = began.elapsed();
        }
        if !is_timed_out && watch.over_disk().is_none() {
            signalled::check(&*self.host.executor, end).await?;
        }
        let pumped = async { pump.await.map_err(|error| RunError::Host(error.to_string()))?.map_err(broken) };
        let written = self.unless_stopped(pumped).await?;
        if let Some(sentence) = watch.over_disk() {
            return Err(RunError::failed(EndCode::DiskExceeded, Step::Running, sentence));
        }
        let note = self.host.containers.as_ref().and_then(|containers| watch.note(containers.isolation.pids()));
        let note = match note {
            None if !is_timed_out => self.program_note(id, end.exit_code).await?,
            note => note,
        };
        // An earlier worker may have stopped the container for its time limit and then been killed.
        let is_timed_out = is_timed_out || (age > Duration::ZERO && end.duration > limit);
        Ok(Ended { end, is_timed_out, written, note })
    }

    /// Returns when the container has ended: by itself, because of its time limit (then true), because of what it wrote, or because the
    /// job must stop.
    async fn await_end(&self, id: &str, time_left: Duration, watch: &mut Watch) -> Result<bool, RunError> {
        let executor = &self.host.executor;
        let is_timed_out = tokio::select! {
            biased;
            ended = executor.wait(id) => return ended.map(|()| false).map_err(broken),
            () = tokio::time::sleep(time_left) => true,
            () = self.stop.requested() => false,
            // No grace, because the container would write more in that time.
            () = watch.until_over(self, id) => return executor.stop(id, Duration::ZERO).await.map(|()| false).map_err(broken),
        };
        executor.stop(id, self.host.stop_grace).await.map_err(broken)?;
        // Write the line after the stop, because a blocked log must not let the job continue. If no time was left at the beginning, an
        // earlier worker stopped the container and most likely wrote the line. The result's message says it in any case.
        if is_timed_out && !time_left.is_zero() {
            let line = format!("the job ran longer than {} and was stopped", protocol::format_duration(self.limit()));
            self.log.error(Step::Running, line).await;
        }
        Ok(is_timed_out)
    }
}
