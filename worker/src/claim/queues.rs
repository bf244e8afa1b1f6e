//! The queues of one worker, and their weights.
//!
//! A queue is written as `name` or `name/weight`. A queue's name contains no slash, so the name needs no quotes.

use std::fmt;
use std::str::FromStr;

use protocol::{Qid, QueueName};

use crate::error::Error;

/// Most queues of one worker: each has an open heartbeat and an open claim request.
const QUEUES_MAX: usize = 64;
const WEIGHT_MAX: u32 = 1_000;
const VARIABLE: &str = "ASMAN_WORKER_QUEUE";

/// A queue and its weight. While all queues have jobs, each gets jobs in proportion to its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueShare {
    /// Which queue.
    pub queue: QueueName,
    /// From 1 to 1000.
    pub weight: u32,
}

/// Why a text is not a queue with a weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidShare {
    /// The part before the slash is invalid.
    #[error(transparent)]
    Name(#[from] protocol::InvalidName),
    /// The part after the slash is invalid.
    #[error("the weight of a queue must be a whole number from 1 to {WEIGHT_MAX}, as in my-queue/3")]
    Weight,
}

impl FromStr for QueueShare {
    type Err = InvalidShare;

    fn from_str(text: &str) -> Result<Self, InvalidShare> {
        let (name, weight) = match text.split_once('/') {
            Some((name, weight)) => (name, weight.parse().map_err(|_| InvalidShare::Weight)?),
            None => (text, 1),
        };
        if !(1..=WEIGHT_MAX).contains(&weight) {
            return Err(InvalidShare::Weight);
        }
        Ok(Self { queue: name.parse()?, weight })
    }
}

/// The queues of one worker, in the order of the command line.
#[derive(clap::Args, Clone)]
pub struct Queues {
    /// Queues to take jobs from, each as name or name/weight. Everyone who knows a name can use the queue, so treat it as a password.
    /// `ASMAN_WORKER_QUEUE` takes a list separated by commas.
    #[arg(value_name = "QUEUE", id = "queue")]
    words: Vec<String>,
}

impl Queues {
    /// The queues, each once. Fails when a word is not a queue or there are no words.
    pub fn shares(&self) -> Result<Vec<QueueShare>, Error> {
        let mut shares: Vec<QueueShare> = Vec::new();
        for word in self.listed() {
            // The error's sentence contains the rule for names, never the name itself.
            let share: QueueShare = word.parse().map_err(|error: InvalidShare| Error::Config(error.to_string()))?;
            if matches!(share.queue.as_str(), "." | "..") {
                return Err(Error::Config(
                    "a queue cannot be named . or .., because a URL cannot contain that; choose another name".to_owned(),
                ));
            }
            if shares.iter().any(|other| other.queue == share.queue) {
                return Err(Error::Config("a queue is given twice; give each queue once".to_owned()));
            }
            shares.push(share);
        }
        match shares.len() {
            0 => Err(Error::Config("no queue is given; give its name, or set ASMAN_WORKER_QUEUE".to_owned())),
            1..=QUEUES_MAX => Ok(shares),
            _ => Err(Error::Config(format!("a worker serves at most {QUEUES_MAX} queues; start another worker for the rest"))),
        }
    }

    /// The words of the command line, or without them the list in the environment.
    fn listed(&self) -> Vec<String> {
        if !self.words.is_empty() {
            return self.words.clone();
        }
        let list = std::env::var(VARIABLE).unwrap_or_default();
        list.split(',').map(str::trim).filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
    }

    /// Whether neither the command line nor the environment names a queue.
    pub fn is_empty(&self) -> bool {
        self.listed().is_empty()
    }

    /// Key of the first queue.
    pub fn qid(&self) -> Qid {
        self.shares().ok().and_then(|shares| shares.first().map(|share| share.queue.qid())).unwrap_or_default()
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queues({})", self.words.len())
    }
}

impl From<QueueName> for Queues {
    fn from(queue: QueueName) -> Self {
        Self { words: vec![queue.into()] }
    }
}

impl FromStr for Queues {
    type Err = InvalidShare;

    /// One queue, as name or name/weight.
    fn from_str(text: &str) -> Result<Self, InvalidShare> {
        text.parse::<QueueShare>().map(|_| Self { words: vec![text.to_owned()] })
    }
}

impl FromIterator<QueueShare> for Queues {
    fn from_iter<I: IntoIterator<Item = QueueShare>>(shares: I) -> Self {
        let word = |share: QueueShare| format!("{}/{}", share.queue.as_str(), share.weight);
        Self { words: shares.into_iter().map(word).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_everything_but_the_sign_before_its_weight() {
        let read = |text: &str| text.parse::<QueueShare>().map(|share| (share.queue.as_str().to_owned(), share.weight));
        assert_eq!(read("b=3"), Ok(("b=3".to_owned(), 1)));
        assert_eq!(read("a,b/7"), Ok(("a,b".to_owned(), 7)));
        for bad in ["b/", "b/x", "b/0", "b/1001", "b/2/3", "b/-1"] {
            assert_eq!(read(bad), Err(InvalidShare::Weight), "{bad}");
        }
        assert!(matches!(read("/3"), Err(InvalidShare::Name(_))));
    }

    #[test]
    fn no_error_and_no_debug_text_tells_a_name() {
        let queues: Queues = "secret-name".parse().unwrap();
        let twice = Queues { words: vec!["secret-name".to_owned(), "secret-name/2".to_owned()] };
        assert!(!twice.shares().unwrap_err().to_string().contains("secret"));
        assert_eq!(queues.shares().unwrap().len(), 1);
        assert!(!format!("{queues:?} {:?}", queues.shares().unwrap()).contains("secret"));
    }
}
