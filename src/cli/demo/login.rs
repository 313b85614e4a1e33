//! `tidegate demo --login`: the team's boards, for people who log in.
//!
//! ```text
//!  page ──PKCE──▶ provider ──access token──▶ page ──auth──▶ server ──as `app_user`, with the claims──▶ PostgreSQL
//!                                                                    app.sync_profile() ─▶ users
//!                                                                    policies           ─▶ own boards
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::provider::{AUDIENCE, CLIENT, Options, Provider};
use super::{Error, say};
use crate::config::Layers;
use clap::Args;

/// What an error in the configuration calls what is set here.
const ORIGIN: &str = "tidegate demo --login";

/// Flags of `tidegate demo` that are about people who log in.
#[derive(Args, Clone, Debug)]
pub(super) struct Flags {
    /// Has people log in at a provider of its own (OpenID Connect), and shows each the boards that policies let it see.
    /// Needs Node.js, and a checkout's `web/provider` with its packages: `script/demo --login` sees to both.
    #[arg(long)]
    pub(super) login: bool,
    /// How long an access token of that provider holds, in seconds. Short ones show how they are renewed.
    #[arg(long, value_name = "SECONDS", default_value = "300", requires = "login",
          value_parser = clap::value_parser!(u64).range(10..=3_600))]
    token_seconds: u64,
    /// Where the provider is.
    #[arg(long, value_name = "FOLDER", default_value = "web/provider", requires = "login")]
    provider: PathBuf,
}

impl Flags {
    /// Starts the provider, if people are to log in, for the pages of these servers.
    pub(super) async fn start(&self, servers: &[SocketAddr]) -> Result<Option<Provider>, Error> {
        if !self.login {
            return Ok(None);
        }
        say("Starting an OpenID Connect provider …");
        let named = |server: &SocketAddr| [server.to_string(), format!("localhost:{}", server.port())];
        let options = Options {
            folder: self.provider.clone(),
            port: 0,
            origins: servers.iter().flat_map(named).map(|host| format!("http://{host}")).collect(),
            people: None,
            access_token: Duration::from_secs(self.token_seconds),
        };
        Ok(Some(Provider::start(&options).await?))
    }
}

/// Has a server take this provider's tokens.
pub(super) fn over(layers: Layers, provider: &Provider) -> Layers {
    [
        ("auth.mode", "jwt"),
        ("auth.roles", r#"["app_user", "app_lead"]"#),
        ("auth.profile_function", "app.sync_profile"),
        ("auth.jwt.issuer", provider.issuer()),
        ("auth.jwt.audience", AUDIENCE),
        ("auth.login.client_id", CLIENT),
    ]
    .into_iter()
    .fold(layers, |layers, (key, value)| layers.flag(ORIGIN, key, value))
}

/// What there is to be seen, for the greeting.
pub(super) fn invitation(provider: &Provider) -> String {
    format!(
        "  Its provider:      {}  (no passwords: for this machine alone)\n\n  \
         Log in as Ada and, in another window, as Ben: each sees their own boards, and one is both's. Cleo sees all, and Dov none.",
        provider.issuer()
    )
}
