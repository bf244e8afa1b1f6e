//! A `BuildKit` build, in a thread and a runtime of its own.
//!
//! The client opens a session for each build, a connection through which the engine asks for logins. The client never closes it, so
//! each build would leave a connection open on both sides. Here the session ends with its runtime, and the runtime ends when the build
//! ends or its reader is dropped.

use std::io;

use bollard::errors::Error as Bollard;
use bollard::models::BuildInfo;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::builds::{CONTEXT_TIMEOUT, build_image_options, logins_of};
use crate::engine::BuildOptions;

/// Most messages that wait for the reader, so that a step writes no faster than its log is read.
const WORDS_MAX: usize = 64;

/// Runs a build and returns the engine's messages.
pub(super) fn build(
    options: &BuildOptions,
    context: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> BoxStream<'static, Result<BuildInfo, Bollard>> {
    let (sender, receiver) = mpsc::channel(WORDS_MAX);
    let (options, logins) = (build_image_options(options), logins_of(options));
    let refused = sender.clone();
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(err) => return drop(sender.try_send(Err(Bollard::IOError { err }))),
        };
        runtime.block_on(async {
            let listener_left = sender.clone();
            tokio::select! {
                () = listener_left.closed() => (),
                () = speak(options, logins, context, sender) => (),
            }
        });
        runtime.shutdown_background();
    };
    if let Err(err) = std::thread::Builder::new().name("buildkit".to_owned()).spawn(work) {
        drop(refused.try_send(Err(Bollard::IOError { err })));
    }
    futures_util::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) }).boxed()
}

async fn speak(
    options: bollard::query_parameters::BuildImageOptions,
    logins: Option<std::collections::HashMap<String, bollard::auth::DockerCredentials>>,
    context: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    sender: mpsc::Sender<Result<BuildInfo, Bollard>>,
) {
    // This runtime needs its own connection: the shared ones belong to the worker's runtime.
    let client = match bollard::Docker::connect_with_defaults() {
        Ok(client) => client.with_timeout(CONTEXT_TIMEOUT),
        Err(error) => return drop(sender.send(Err(error)).await),
    };
    let mut words = client.build_image(options, logins, Some(bollard::body_try_stream(context)));
    while let Some(word) = words.next().await {
        if sender.send(word).await.is_err() {
            return;
        }
    }
}
