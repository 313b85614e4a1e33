//! Builds every part, starts it, stops it in order.

use crate::config::Config;
use crate::shutdown::Scope;

/// Why the server could not start, or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// Serves what `config` says until `scope` closes.
///
/// # Errors
/// None yet.
pub async fn run(config: Config, scope: Scope) -> Result<(), Error> {
    tracing::info!(listen = %config.http.listen, "nothing is built yet");
    scope.closing().await;
    Ok(())
}
