//! Large answers, with limits of their own.
//!
//! A stranger's log or list must not take the memory, or the database connections, that a submission needs. [`READERS_MAX`]
//! requests at a time read such answers. The data that waits for its receiver takes at most [`UNITS_MAX`] units. A receiver that
//! takes nothing for [`ROOM_TIMEOUT`] loses its answer. Frames of sockets have a separate budget of the same size. A request that
//! finds no space within [`ROOM_TIMEOUT`] is answered with 429.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc::{self, error::SendTimeoutError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::ApiError;
use crate::limits::limited;

/// Most requests that read at a time: fewer than the connections of the ordinary pool.
const READERS_MAX: usize = 4;
/// An answer up to this size does not count.
const UNIT_BYTES: usize = 64 * 1024;
/// Most units at a time: 64 MiB.
const UNITS_MAX: u32 = 1024;
/// Units of an answer of unknown size: the pieces that wait, and the piece that is being made.
const UNITS_OF_STREAM: u32 = 32;
const ROOM_TIMEOUT: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_secs(2);

/// The budget for large answers.
#[derive(Clone, Debug)]
pub(crate) struct Large {
    readers: Arc<Semaphore>,
    units: Arc<Semaphore>,
    /// The budget of sockets, so that their slow receivers do not block requests.
    frames: Arc<Semaphore>,
    room_timeout: Duration,
}

/// Accepts the pieces of an answer.
pub(crate) struct Pieces {
    pieces: mpsc::Sender<Result<Bytes, std::io::Error>>,
    room_timeout: Duration,
}

/// The receiver has left or takes nothing.
#[derive(Debug)]
pub(crate) struct Left;

/// Why an answer ends early.
#[derive(Debug)]
pub(crate) enum Broken {
    Left,
    Api(ApiError),
}

impl From<Left> for Broken {
    fn from(_: Left) -> Self {
        Self::Left
    }
}

impl From<ApiError> for Broken {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl Pieces {
    /// Sends one piece.
    pub(crate) async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Left> {
        match self.pieces.send_timeout(Ok(piece.into()), self.room_timeout).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Timeout(_) | SendTimeoutError::Closed(_)) => Err(Left),
        }
    }
}

impl Large {
    pub(crate) fn new() -> Self {
        Self::with_timeout(ROOM_TIMEOUT)
    }

    fn with_timeout(room_timeout: Duration) -> Self {
        let of = |n| Arc::new(Semaphore::new(n));
        Self { readers: of(READERS_MAX), units: of(UNITS_MAX as usize), frames: of(UNITS_MAX as usize), room_timeout }
    }

    /// Does work that reads much data, as soon as one of the [`READERS_MAX`] permits is free.
    pub(crate) async fn read<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, ApiError>
    where
        ApiError: From<E>,
    {
        let _turn = self.room(&self.readers, 1).await?;
        Ok(work.await?)
    }

    /// Reads a JSON text and answers with it.
    pub(crate) async fn answer(&self, work: impl Future<Output = Result<String, ApiError>>) -> Result<Response, ApiError> {
        let turn = self.room(&self.readers, 1).await?;
        let text = Bytes::from(work.await?);
        if text.len() <= UNIT_BYTES {
            return Ok(json(Body::from(text)));
        }
        let units = u32::try_from(text.len().div_ceil(UNIT_BYTES)).unwrap_or(UNITS_MAX).min(UNITS_MAX);
        // The reader's permit is kept until then, so that the permits also bound the data that was read and has no space yet.
        let taken = self.room(&self.units, units).await?;
        drop(turn);
        let length = HeaderValue::from(text.len());
        let mut answer = self.begin(taken, move |pieces| async move {
            for start in (0..text.len()).step_by(UNIT_BYTES) {
                pieces.send(text.slice(start..text.len().min(start + UNIT_BYTES))).await?;
            }
            Ok(())
        });
        answer.headers_mut().insert(header::CONTENT_LENGTH, length);
        Ok(answer)
    }

    /// Space for a frame of a socket while it is sent; sending has its own time limit. Small frames need none.
    pub(crate) async fn frame(&self, n_bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(n_bytes / UNIT_BYTES).unwrap_or(UNITS_MAX).min(UNITS_MAX);
        if units == 0 { None } else { Arc::clone(&self.frames).acquire_many_owned(units).await.ok() }
    }

    /// Answers with a JSON text whose pieces are made one after the other. If it breaks off, the connection ends.
    pub(crate) async fn stream<F>(&self, make: impl FnOnce(Pieces) -> F + Send + 'static) -> Result<Response, ApiError>
    where
        F: Future<Output = Result<(), Broken>> + Send + 'static,
    {
        Ok(self.begin(self.room(&self.units, UNITS_OF_STREAM).await?, make))
    }

    async fn room(&self, semaphore: &Arc<Semaphore>, units: u32) -> Result<OwnedSemaphorePermit, ApiError> {
        match timeout(self.room_timeout, Arc::clone(semaphore).acquire_many_owned(units)).await {
            Ok(Ok(taken)) => Ok(taken),
            Ok(Err(_)) | Err(_) => Err(limited(
                "large_answers",
                protocol::ErrorCode::AnswerLimit,
                RETRY,
                "the server sends too many large answers now; try again later",
            )),
        }
    }

    fn begin<F>(&self, taken: OwnedSemaphorePermit, make: impl FnOnce(Pieces) -> F + Send + 'static) -> Response
    where
        F: Future<Output = Result<(), Broken>> + Send + 'static,
    {
        let (sender, mut receiver) = mpsc::channel(1);
        let (last, room_timeout) = (sender.clone(), self.room_timeout);
        tokio::spawn(async move {
            if let Err(Broken::Api(error)) = make(Pieces { pieces: sender, room_timeout }).await {
                tracing::error!(cause = %error, "a large answer broke off");
                // Without an error the receiver would take the part for the whole.
                let _ = last.send_timeout(Err(std::io::Error::other("the answer broke off")), room_timeout).await;
            }
            drop(taken);
        });
        json(Body::from_stream(stream::poll_fn(move |context| receiver.poll_recv(context))))
    }
}

/// A JSON answer.
fn json(body: Body) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn text_of(response: Response) -> String {
        String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn answers_of_every_size_arrive_whole_and_leave_their_room() {
        let large = Large::new();
        for size in [0, 1, UNIT_BYTES, UNIT_BYTES + 1, 3 * UNIT_BYTES, 5 * UNIT_BYTES + 7] {
            let answer = large.answer(async { Ok("x".repeat(size)) }).await.unwrap();
            assert_eq!(text_of(answer).await.len(), size);
        }
        // Every unit is free again.
        drop(timeout(ROOM_TIMEOUT, Arc::clone(&large.units).acquire_many_owned(UNITS_MAX)).await.unwrap().unwrap());
        assert_eq!(large.readers.available_permits(), READERS_MAX);
    }

    #[tokio::test]
    async fn a_receiver_that_takes_nothing_loses_its_answer_and_others_get_its_room() {
        let large = Large::with_timeout(Duration::from_millis(200));
        let all = UNITS_MAX as usize * UNIT_BYTES;
        let idle = large.answer(async { Ok("x".repeat(all)) }).await.unwrap();
        let small = || large.answer(async { Ok("y".repeat(2 * UNIT_BYTES)) });
        // The same timeout as the sender's: either the space was free in time, or the request was refused.
        let next = match small().await {
            Ok(answer) => answer,
            Err(_) => small().await.unwrap(),
        };
        assert_eq!(text_of(next).await.len(), 2 * UNIT_BYTES);
        assert!(to_bytes(idle.into_body(), usize::MAX).await.map_or(0, |bytes| bytes.len()) < all);
    }

    #[tokio::test]
    async fn an_answer_that_breaks_off_is_told_from_a_whole_one() {
        let large = Large::new();
        let broken = large.stream(async |pieces| {
            pieces.send("[").await?;
            Err(Broken::from(ApiError::Stopping))
        });
        assert!(to_bytes(broken.await.unwrap().into_body(), usize::MAX).await.is_err());
    }
}
