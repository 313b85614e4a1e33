//! The broker's objects beside the stream, whose name is set.

/// The exchange to which each row's change goes, for services.
pub(super) const CHANGES: &str = "tidegate.changes";
/// The exchange, and the queue behind it, to which services publish events.
pub(super) const PUBLISH: &str = "tidegate.publish";
/// The queue where a service finds what it published and nobody could read.
pub(super) const REJECTED: &str = "tidegate.publish.rejected";
