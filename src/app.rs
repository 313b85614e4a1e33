//! Builds every part, starts it, and stops it in order.

use crate::config::Config;
use crate::shutdown::Scope;

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {}

/// Serves until `scope` closes.
///
/// # Errors
/// [`Error`].
pub async fn run(_config: Config, scope: Scope) -> Result<(), Error> {
    scope.closing().await;
    Ok(())
}
