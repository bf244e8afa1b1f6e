//! Natural batching: everything that arrived while the last statement ran forms the next one.
//!
//! An idle system sends batches of one without any delay; a loaded one sends hundreds in a statement. At most `in_flight`
//! statements run at once. A batch has at most `items_max` items and about `weight_max` bytes. At most [`WAITING_MAX`] items are
//! queued; further callers wait until there is space.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::background::Background;

/// Most items that wait for a statement.
const WAITING_MAX: usize = 10_000;

struct Item<T, R> {
    value: T,
    reply: oneshot::Sender<R>,
}

/// Bounds of one kind of batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Most items of a batch.
    pub(crate) items_max: usize,
    /// A batch that weighs this much is full.
    pub(crate) weight_max: usize,
    /// Most batches under way.
    pub(crate) in_flight: usize,
}

/// Handle of a batcher.
#[derive(Debug)]
pub(crate) struct Batcher<T, R> {
    items: mpsc::Sender<Item<T, R>>,
}

/// An item that has a weight in its batch.
pub(crate) trait Weight {
    /// The approximate number of bytes that it sends to the database.
    fn weight(&self) -> usize;
}

impl<T: Weight + Send + 'static, R: Send + 'static> Batcher<T, R> {
    /// Starts the batcher's task. `run` answers a batch with one result for each item, in order.
    pub(crate) fn start<F>(
        background: &Background,
        name: &'static str,
        bounds: Bounds,
        run: impl Fn(Vec<T>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Vec<R>> + Send + 'static,
    {
        let (items, waiting) = mpsc::channel(WAITING_MAX);
        background.start(name, collect(bounds, waiting, Arc::new(run)));
        Self { items }
    }

    /// Items that wait for the next statement.
    pub(crate) fn n_waiting(&self) -> usize {
        self.items.max_capacity() - self.items.capacity()
    }

    /// Submits one item and waits for its result. `None` when the process is stopping.
    pub(crate) async fn call(&self, value: T) -> Option<R> {
        let (reply, result) = oneshot::channel();
        self.items.send(Item { value, reply }).await.ok()?;
        result.await.ok()
    }
}

async fn collect<T, R, F>(
    bounds: Bounds,
    mut waiting: mpsc::Receiver<Item<T, R>>,
    run: Arc<impl Fn(Vec<T>) -> F + Send + Sync + 'static>,
) where
    T: Weight + Send + 'static,
    R: Send + 'static,
    F: Future<Output = Vec<R>> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(bounds.in_flight));
    // The permit comes first: items that arrive while no permit is free join the batch.
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        let Some(first) = waiting.recv().await else { return };
        let batch = fill(bounds, first, &mut waiting);
        let run = Arc::clone(&run);
        tokio::spawn(async move {
            let (values, replies): (Vec<T>, Vec<_>) = batch.into_iter().map(|item| (item.value, item.reply)).unzip();
            for (reply, result) in replies.into_iter().zip(run(values).await) {
                // A caller that went away does not need its result.
                let _ = reply.send(result);
            }
            drop(permit);
        });
    }
}

fn fill<T: Weight, R>(bounds: Bounds, first: Item<T, R>, waiting: &mut mpsc::Receiver<Item<T, R>>) -> Vec<Item<T, R>> {
    let mut weight = first.value.weight();
    let mut batch = vec![first];
    while batch.len() < bounds.items_max && weight < bounds.weight_max {
        let Ok(item) = waiting.try_recv() else { break };
        weight += item.value.weight();
        batch.push(item);
    }
    batch
}
