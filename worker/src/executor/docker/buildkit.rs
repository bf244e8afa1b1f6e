//! A `BuildKit` build with everything that belongs to it, on a thread of its own.
//!
//! The client gives the engine a session, a connection by which it asks for logins, and never closes it: each build would leave one
//! open on both sides. Here it ends with the runtime that it lives in, which ends with the build or with whoever listens to it.

use std::io;

use bollard::errors::Error as Bollard;
use bollard::models::BuildInfo;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

use super::images::{CONTEXT_TIMEOUT, build_image_options, logins_of};
use crate::executor::BuildOptions;

/// Words that wait for the listener, so that a step is as fast as its log.
const WORDS_MAX: usize = 64;

/// The engine's words of a build.
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
    // A connection of this runtime's own: the shared ones live in the worker's.
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
