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

use clap::Args;
use tokio_postgres::Client;

use super::provider::{AUDIENCE, CLIENT, Options, Provider};
use super::{Error, say};
use crate::config::Layers;

/// What an error in the configuration calls what is set here.
const ORIGIN: &str = "tidegate demo --login";

/// Flags of `tidegate demo` that are about people who log in.
#[derive(Args, Clone, Debug)]
pub(super) struct Flags {
    /// Has people log in at a provider of its own (OpenID Connect), and shows each the boards that policies let it see.
    /// Needs Node.js, and a checkout's `web/provider` with its packages: `script/demo --login` sees to both.
    #[arg(long, conflicts_with = "rabbitmq")]
    pub(super) login: bool,
    /// How long an access token of that provider holds, in seconds. Short ones show how they are renewed.
    #[arg(long, value_name = "SECONDS", default_value = "300", requires = "login",
          value_parser = clap::value_parser!(u64).range(10..=3_600))]
    token_seconds: u64,
    /// Where the provider is.
    #[arg(long, value_name = "FOLDER", default_value = "web/provider", requires = "login")]
    provider: PathBuf,
}

/// Who sees which board: Ada two of them, Ben the third. Cleo is a lead, who sees all; Dov is nobody here.
const MEMBERS: &str = "
insert into public.board_members (board_id, user_id, role)
select boards.id, members.user_id, members.role
from (
  values
    ('Ferry app', 'ada', 'admin'),
    ('Harbour sensors', 'ada', 'admin'),
    ('Port website', 'ben', 'member')
) as members (board, user_id, role)
join public.boards on boards.name = members.board";

impl Flags {
    /// Starts the provider, if people are to log in, for the page of a server at `listen`.
    pub(super) async fn start(&self, listen: SocketAddr) -> Result<Option<Provider>, Error> {
        if !self.login {
            return Ok(None);
        }
        say("Starting an OpenID Connect provider …");
        let own = format!("http://{listen}");
        let named = format!("http://localhost:{}", listen.port());
        let options = Options {
            folder: self.provider.clone(),
            port: 0,
            origins: vec![own, named],
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

/// Makes people members of the boards that there are.
pub(super) async fn plant(client: &Client) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(MEMBERS).await
}

/// What there is to be seen, for the greeting.
pub(super) fn invitation(provider: &Provider) -> String {
    format!(
        "  Its provider:      {}  (no passwords: for this machine alone)\n\n  \
         Log in as Ada and, in another window, as Ben: each sees other boards. Cleo sees them all, and Dov none.",
        provider.issuer()
    )
}
