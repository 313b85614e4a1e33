use std::sync::Arc;

use super::Services;
use crate::hub::{self, Attach, Delivery, Fall, Offer, Outbox, Place, ReaderKey, Resumption, Selection};
use crate::protocol::ResyncReason;

/// Why a reader did not come up to the hub.
#[derive(Debug)]
pub(super) enum Missed {
    /// It starts over, or ends.
    Fell(Fall),
    /// Nobody is there any more.
    Gone,
}

/// Brings a reader from its place up to the hub, at its own pace, and hands it over.
pub(super) async fn catch_up(
    services: &Services,
    selection: &Selection,
    place: Place,
    outbox: &Arc<Outbox>,
    key: ReaderKey,
) -> Result<(), Missed> {
    let hub = &services.hub;
    let mut moves = hub.moves();
    let mut resumption = Resumption::new(selection.clone(), place, hub.memo().clone());
    loop {
        replay(services, &mut resumption, outbox, key).await?;
        let place = resumption.place().clone();
        let seen = *moves.borrow_and_update();
        let attach = hub.attach(selection.clone(), outbox.clone(), key, place.clone());
        match attach.await.map_err(|_| Missed::Gone)? {
            Attach::Live => return Ok(()),
            Attach::Refused(reason) => return Err(Missed::Fell(Fall::Resync(reason))),
            Attach::Fell(fall) => return Err(Missed::Fell(fall)),
            Attach::Full => checked(outbox.room(0).await)?,
            Attach::Behind => {
                // At the hub's own place, or beyond it, it is the hub that cannot let anyone in until it has moved.
                let here = (seen.incarnation, seen.position);
                if here <= (place.incarnation, place.settled()) && moves.changed().await.is_err() {
                    return Err(Missed::Gone);
                }
            }
        }
    }
}

/// Offers what a reader missed, up to where the hub stands now.
async fn replay(
    services: &Services,
    resumption: &mut Resumption,
    outbox: &Arc<Outbox>,
    key: ReaderKey,
) -> Result<(), Missed> {
    let hub = &services.hub;
    let incarnation = resumption.place().incarnation;
    let mut catch_up = hub.journal().catch_up(incarnation);
    loop {
        let here = hub.here();
        if here.incarnation > incarnation {
            return Err(Missed::Fell(Fall::Resync(ResyncReason::SourceReset)));
        }
        // The hub has yet to learn of the life that the cursor is of, or to come as far.
        if here.incarnation < incarnation || resumption.read() >= here.position {
            break;
        }
        // The journal may be ahead of the hub, which then tells of it itself.
        let stretch = catch_up.next(resumption.read(), here.position).await;
        let stretch = stretch.map_err(|reason| Missed::Fell(Fall::Resync(reason)))?;
        let missed = resumption.feed(&stretch).await.map_err(Missed::Fell)?;
        // Whoever waits for room must not keep the records meanwhile.
        drop(stretch);
        if let hub::Missed::Frames(frames) = missed {
            offer(outbox, key, &frames).await?;
        }
        tokio::task::yield_now().await;
    }
    let frames = resumption.finish().map_err(Missed::Fell)?;
    offer(outbox, key, &frames).await
}

/// Queues frames for a reader, one after another, each once there is room for it: nobody else delivers to this reader
/// meanwhile, and other readers of the connection have room in between.
pub(super) async fn offer(outbox: &Outbox, key: ReaderKey, frames: &[Arc<Delivery>]) -> Result<(), Missed> {
    for frame in frames {
        let frame = std::slice::from_ref(frame);
        loop {
            match outbox.offer(key, frame) {
                Offer::Queued => break,
                Offer::Closed => return Err(Missed::Gone),
                Offer::Full => checked(outbox.room(Outbox::cost(frame)).await)?,
            }
        }
    }
    Ok(())
}

const fn checked(offer: Offer) -> Result<(), Missed> {
    match offer {
        Offer::Closed => Err(Missed::Gone),
        Offer::Queued | Offer::Full => Ok(()),
    }
}
