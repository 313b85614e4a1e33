use std::sync::Arc;

use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use tokio::sync::{Mutex, Semaphore};

use super::publisher::{PERSISTENT, confirmation};
use super::{Config, Error, broker, topology};
use crate::event::Publication;

/// Sends events to whoever writes the journal. Cloning shares it.
#[derive(Clone, Debug)]
pub(in crate::journal) struct Outlet {
    config: Arc<Config>,
    link: Arc<Mutex<Option<Arc<Link>>>>,
    /// For those who publish at once.
    places: Arc<Semaphore>,
}

/// Events on their way to the broker at once.
const PLACES: usize = 256;

struct Link {
    connection: lapin::Connection,
    channel: lapin::Channel,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Outlet {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self { config, link: Arc::default(), places: Arc::new(Semaphore::new(PLACES)) }
    }

    /// Publishes an event, and returns when the broker has it.
    pub(in crate::journal) async fn publish(&self, publication: Publication) -> Result<(), Error> {
        // A connection that is blocked would gather what nobody waits for any more.
        let Ok(_place) = self.places.try_acquire() else { return Err(Error::Busy) };
        let link = self.link().await?;
        if link.connection.status().blocked() {
            return Err(Error::Busy);
        }
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/cloudevents+json".into());
        let event = &publication.event;
        let (exchange, key) = (topology::PUBLISH.into(), event.channel.as_ref().into());
        let sent = link.channel.basic_publish(exchange, key, options, &event.data, properties);
        let confirm = sent.await.map_err(|source| Error::Refused { doing: "take an event", source })?;
        confirmation(confirm.await)
    }

    async fn link(&self) -> Result<Arc<Link>, Error> {
        let mut link = self.link.lock().await;
        if let Some(link) = &*link
            && link.connection.status().connected()
            && link.channel.status().connected()
        {
            return Ok(link.clone());
        }
        let connection = broker::connect(&self.config.url, "events out").await?;
        let channel = broker::bare_channel(&connection).await?;
        topology::declare(&channel).await?;
        broker::confirm(&channel).await?;
        let fresh = Arc::new(Link { connection, channel });
        *link = Some(fresh.clone());
        Ok(fresh)
    }
}
