use std::net::SocketAddr;

use serde_json::{Value, json};

use super::Signer;
use crate::client::Client;
use crate::fixture::{Database, Test};
use crate::server::Server;

/// What signs the tokens of a [`House`].
pub(super) const SECRET: &str = "a secret of thirty-two bytes, at least";

/// A database with roles of its own, and a server that asks for tokens.
pub(super) struct House {
    pub(super) server: Server,
    pub(super) database: Database,
    /// May read `public.notes`, all but `secret`.
    pub(super) member: String,
    /// May read all of it.
    pub(super) admin: String,
    /// May connect, and read nothing.
    pub(super) stranger: String,
}

impl House {
    /// One whose tokens are signed with [`SECRET`].
    pub(super) async fn open(test: &Test, settings: &[(&str, &str)]) -> Self {
        let settings = [&[("auth.jwt.secret", SECRET)], settings].concat();
        Self::keyed(test, &settings).await
    }

    /// One whose keys the settings name. `MEMBER` in a value stands for the role's name.
    pub(super) async fn keyed(test: &Test, settings: &[(&str, &str)]) -> Self {
        Self::on(test.database().await, settings).await
    }

    /// The same on this database.
    pub(super) async fn on(database: Database, settings: &[(&str, &str)]) -> Self {
        let role = |name: &str| format!("{}_{name}", database.name());
        let (member, admin, stranger) = (role("member"), role("admin"), role("stranger"));
        let client = database.client().await;
        for sql in [
            // Roles are the cluster's: an earlier process of the same number may have left them behind.
            format!("drop role if exists {member}, {admin}, {stranger}"),
            format!("create role {member}; create role {admin}; create role {stranger}"),
            "create table public.notes (id bigint primary key, body text, secret text default 'hidden')"
                .into(),
            "alter table public.notes replica identity full".into(),
            "insert into public.notes values (1, 'one'), (2, 'two')".into(),
            format!(
                "grant select (id, body) on public.notes to {member}; grant select on public.notes to {admin}"
            ),
        ] {
            client.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
        let roles = json!([member, admin, stranger]).to_string();
        let own =
            [("auth.mode", "jwt".to_owned()), ("auth.roles", roles), ("auth.jwt.leeway_ms", "0".into())];
        let given = settings.iter().map(|(key, value)| (*key, value.replace("MEMBER", &member)));
        let all: Vec<_> = own.into_iter().chain(given).collect();
        let all: Vec<_> = all.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let server = Server::start_with(&database, &all).await;
        Self { server, database, member, admin, stranger }
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// A client that brings a token in its header, and has read `ready`.
    pub(super) async fn client(&self, token: &str) -> Client {
        let mut client = self.knock(token).await;
        client.expect("ready").await;
        client
    }

    /// The same, of whom nobody knows whether it is let in.
    pub(super) async fn knock(&self, token: &str) -> Client {
        let bearer = format!("Bearer {token}");
        Client::open_with(self.address(), &[("authorization", &bearer)]).await.expect("the server upgrades")
    }
}

/// A token of a role with these claims beside it, signed with [`SECRET`].
pub(super) fn token(role: &str, mut claims: Value) -> String {
    claims["role"] = json!(role);
    Signer::secret(SECRET.as_bytes()).token(&claims)
}

/// What a member reads.
pub(super) fn notes(id: &str) -> Value {
    json!({"id": id, "table": "public.notes", "columns": ["id", "body"], "snapshot": true})
}

/// Takes a subscription's frames up to the end of its snapshot, and gives back the rows.
pub(super) async fn snapshot(client: &mut Client) -> Vec<Value> {
    client.expect("subscribed").await;
    let mut rows = Vec::new();
    loop {
        let frame = client.expect("snapshot").await;
        rows.extend(frame["rows"].as_array().expect("rows").iter().cloned());
        if frame["last"] == true {
            return rows;
        }
    }
}
