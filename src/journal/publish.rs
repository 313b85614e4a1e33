use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::stream::Outlet;
use crate::event::Publication;

/// An event that somebody has published, on its way to the relay.
#[derive(Debug)]
pub struct Submission {
    /// The event.
    pub publication: Publication,
    /// Told once the event is safe in the journal, or was before. Dropped if that is not known: it has to be submitted
    /// again.
    pub stored: oneshot::Sender<()>,
}

/// Publishes events, from any process. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Publisher(Way);

#[derive(Clone, Debug)]
enum Way {
    /// The journal is in this process.
    Here(mpsc::Sender<Submission>),
    /// Through the broker, to whoever writes the journal.
    Broker(Outlet),
}

/// Why an event was not published, or why that is not known.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Nobody has taken it in time.
    #[error("the journal takes no events now")]
    Unavailable,
    /// The broker has not.
    #[error("the broker does not take the event")]
    Broker(#[source] super::Error),
}

/// How long an event waits to be stored before its publisher is told to send it again.
const PATIENCE: Duration = Duration::from_secs(10);

impl Publisher {
    pub(super) fn here(submissions: mpsc::Sender<Submission>) -> Self {
        Self(Way::Here(submissions))
    }

    pub(super) fn through(outlet: Outlet) -> Self {
        Self(Way::Broker(outlet))
    }

    /// Publishes an event, and returns when it is safe.
    ///
    /// # Errors
    /// [`PublishError`]: it may have been published all the same. Sent again with the same `source` and `id`, it is told
    /// once.
    pub async fn publish(&self, publication: Publication) -> Result<(), PublishError> {
        let published = async {
            match &self.0 {
                Way::Here(submissions) => {
                    let (stored, outcome) = oneshot::channel();
                    let submitted = submissions.send(Submission { publication, stored }).await;
                    submitted.map_err(|_| PublishError::Unavailable)?;
                    outcome.await.map_err(|_| PublishError::Unavailable)
                }
                Way::Broker(outlet) => outlet.publish(publication).await.map_err(PublishError::Broker),
            }
        };
        timeout(PATIENCE, published).await.unwrap_or(Err(PublishError::Unavailable))
    }
}
