//! A job's container from its creation to its end.

use std::sync::Arc;
use std::time::Duration;

use protocol::{EndCode, Step};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::log::Written;
use super::{Ended, RunError, Task, signalled};
use crate::engine::refusals::{self, Phase};
use crate::engine::{Fault, Prepared, Present, Runs, Watch};

/// The task that reads a container's output into the log.
type Pump = AbortOnDropHandle<Result<Written, Fault>>;

impl Task<'_> {
    /// Prepares, creates and starts the container, and waits for its end.
    pub(super) async fn launch(&self) -> Result<Ended, RunError> {
        let secrets = self.secrets().await?;
        let engine = &self.host.engine;
        let prepared = Box::pin(async { tokio::try_join!(engine.files().bring(&self.job, self), self.image()) });
        let (mounts, image) = self.unless_stopped(prepared).await?;
        let id = image.as_ref().map(|image| image.id.clone()).unwrap_or_default();
        let spec = self.container_spec(id, mounts, secrets)?;
        let mut prepared = self.unless_stopped(engine.prepare(&self.job, spec)).await?;
        let (id, watch) = tokio::join!(self.create_twice(&mut prepared), engine.watch(&self.job));
        let id = id?;
        let id = self.container.get_or_init(|| id);
        let pump = self.start_twice(id, &prepared).await?;
        drop(prepared);
        self.see_to_its_end(id, Duration::ZERO, watch, pump).await
    }

    /// The job's image. None for a job that has none.
    async fn image(&self) -> Result<Option<Present>, RunError> {
        match self.host.engine.images() {
            Some(images) => images.ensure(&self.job).await.map(Some),
            None if self.job.parsed.definition.is_script() => Ok(None),
            // The API does not give such a job to a worker that runs scripts, but an API of an older release may.
            None => Err(RunError::Host("this worker runs only scripts, and the job needs a container".to_owned())),
        }
    }

    /// Creates the container, with a second attempt if the cause of a refusal may have passed.
    async fn create_twice(&self, prepared: &mut Prepared) -> Result<String, RunError> {
        match self.host.engine.create(prepared).await {
            Ok(id) => Ok(id),
            Err(fault) => {
                self.unless_stopped(self.doubt(Phase::Create, &fault, None, prepared)).await?;
                self.host.engine.create(prepared).await.map_err(|fault| refused_twice(&fault))
            }
        }
    }

    /// Finds out what a refusal means. `Ok` means that the cause may have passed and the worker should try once more.
    async fn doubt(&self, phase: Phase, fault: &Fault, id: Option<&str>, prepared: &Prepared) -> Result<(), RunError> {
        let exit_code = match id {
            Some(id) => self.host.engine.end(id).await.ok().map(|end| end.exit_code),
            None => None,
        };
        match refusals::container(phase, fault, exit_code) {
            Some(code) => Err(fault.refusal(code)),
            None => self.host.engine.doubt(fault, prepared).await,
        }
    }

    /// Starts the container and the reading of its output, with a second attempt if the cause of a refusal may have passed.
    async fn start_twice(&self, id: &str, prepared: &Prepared) -> Result<Pump, RunError> {
        match self.start(id).await? {
            Ok(pump) => Ok(pump),
            Err(fault) => {
                self.unless_stopped(self.doubt(Phase::Start, &fault, Some(id), prepared)).await?;
                self.start(id).await?.map_err(|fault| refused_twice(&fault))
            }
        }
    }

    async fn start(&self, id: &str) -> Result<Result<Pump, Fault>, RunError> {
        let frames = match self.host.engine.attach(id).await {
            Ok(frames) => frames,
            // Some engines prepare the container for this call, so it fails for the same causes as the start.
            Err(fault) => return Ok(Err(fault)),
        };
        let log = self.log.clone();
        let pump = AbortOnDropHandle::new(tokio::spawn(async move { Ok(log.pump(frames).await) }));
        Ok(self.host.engine.start(id).await.map(|()| pump))
    }

    /// Waits for the end of a container that an earlier worker process started.
    pub(super) async fn go_on(&self, id: &str) -> Result<Ended, RunError> {
        self.hide_given_secrets().await?;
        // Nothing has to keep the image, because its container uses it.
        let pump = tokio::spawn(self.log.clone().resume(Arc::clone(&self.host.engine) as Arc<dyn Runs>, id.to_owned()));
        let age = self.host.engine.age(id).await.map_err(Fault::broken)?;
        let watch = self.host.engine.watch(&self.job).await;
        self.see_to_its_end(id, age, watch, AbortOnDropHandle::new(pump)).await
    }

    /// Waits for the container's end and reads its output completely. `age` is how long it has run already.
    async fn see_to_its_end(
        &self,
        id: &str,
        age: Duration,
        mut watch: Box<dyn Watch + '_>,
        pump: Pump,
    ) -> Result<Ended, RunError> {
        let limit = self.job.limit.time;
        let began = Instant::now();
        let is_timed_out = self.await_end(id, limit.saturating_sub(age), &mut *watch).await?;
        if self.stop.is_requested() {
            return Err(RunError::Stopped);
        }
        let mut end = self.host.engine.end(id).await.map_err(Fault::broken)?;
        if age.is_zero() {
            // For a very short run, the engine may report an end before the start.
            end.duration = began.elapsed();
        }
        if !is_timed_out && watch.over().is_none() {
            signalled::check(&*self.host.engine, end).await?;
        }
        let pumped = async { pump.await.map_err(|error| RunError::Host(error.to_string()))?.map_err(Fault::broken) };
        let written = self.unless_stopped(pumped).await?;
        if let Some(sentence) = watch.over() {
            return Err(RunError::failed(EndCode::DiskExceeded, Step::Running, sentence));
        }
        let note = match watch.note() {
            None if !is_timed_out => self.host.engine.explain(&self.job, id, end.exit_code).await?,
            note => note,
        };
        // An earlier worker may have stopped the container for its time limit and then been killed.
        let is_timed_out = is_timed_out || (age > Duration::ZERO && end.duration > limit);
        Ok(Ended { end, is_timed_out, written, note })
    }

    /// Returns when the container has ended: by itself, because of its time limit (then true), because of what it wrote, or because the
    /// job must stop.
    async fn await_end(&self, id: &str, time_left: Duration, watch: &mut (dyn Watch + '_)) -> Result<bool, RunError> {
        let engine = &self.host.engine;
        let is_timed_out = tokio::select! {
            biased;
            ended = engine.wait(id) => return ended.map(|()| false).map_err(Fault::broken),
            () = tokio::time::sleep(time_left) => true,
            () = self.stop.requested() => false,
            // No grace, because the container would write more in that time.
            () = watch.until_over(id) => return engine.stop(id, Duration::ZERO).await.map(|()| false).map_err(Fault::broken),
        };
        engine.stop(id, self.host.stop_grace).await.map_err(Fault::broken)?;
        // Write the line after the stop, because a blocked log must not let the job continue. If no time was left at the beginning, an
        // earlier worker stopped the container and most likely wrote the line. The result's message names the time limit in any case.
        if is_timed_out && !time_left.is_zero() {
            let line = format!("the job ran longer than {} and was stopped", protocol::format_duration(self.job.limit.time));
            self.log.error(Step::Running, line).await;
        }
        Ok(is_timed_out)
    }
}

/// What a second refusal means, after a trial that succeeded.
fn refused_twice(fault: &Fault) -> RunError {
    fault.refusal(refusals::container_after_trial(fault, true).unwrap_or(EndCode::EngineRefused))
}
