//! A member is removed while a writer writes: nothing behind that commit reaches them, connected or not.

use serde_json::{Value, json};
use tidegate::event::Lsn;
use tokio_postgres::Client as Sql;

use super::house::user;
use super::{served, token};
use crate::client::{Client, Mirror};
use crate::fixture::scenario;
use crate::server::Server;

const SCHEMA: &str = "
create table members (board_id int, user_id uuid, primary key (board_id, user_id));
create table entries (id serial primary key, board_id int not null, body text not null);
alter table members replica identity full;
alter table entries replica identity full;
alter table entries enable row level security;
create policy members on entries for select to authenticated
  using (board_id in (select board_id from members where user_id = auth.uid()));
";

/// How the membership goes: in the transaction that writes the first secret, or in one before it.
#[derive(Clone, Copy, Debug)]
enum Removal {
    Together,
    Before,
}

struct Scene {
    sql: Sql,
    server: Server,
    client: Option<Client>,
    mirror: Mirror,
    secrets: usize,
}

impl Scene {
    async fn connect(&mut self) {
        let mut client = Client::connect(self.server.address()).await;
        let claims = json!({"role": "authenticated", "sub": user(1)});
        client.send(&json!({"type": "auth", "token": token("authenticated", &claims)})).await;
        client.send(&self.mirror.request()).await;
        self.client = Some(client);
    }

    fn leave(&mut self) {
        self.client.take().expect("connected").cut();
        self.mirror.cut();
    }

    async fn execute(&self, sql: &str) {
        self.sql.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    async fn add(&self) {
        self.execute(&format!("insert into members values (7, '{}')", user(1))).await;
    }

    /// Removes the member, in the middle of what is being written.
    async fn remove(&mut self, removal: Removal) {
        let remove = format!("delete from members where user_id = '{}';", user(1));
        let secret = "insert into entries (board_id, body) values (7, 'secret'), (7, 'secret');
                      update entries set body = 'secret' where body = 'open';";
        match removal {
            // The rows come first in the log: it is the transaction as a whole that counts.
            Removal::Together => self.execute(&format!("begin; {secret} {remove} commit")).await,
            Removal::Before => {
                self.execute(&remove).await;
                self.execute(secret).await;
            }
        }
        self.secrets += 2;
    }

    /// Reads all that there is; fails the test if a secret is in it.
    async fn settle(&mut self) {
        let end: String =
            self.sql.query_one("select pg_current_wal_insert_lsn()::text", &[]).await.expect("up").get(0);
        let end: Lsn = end.parse().expect("a position");
        let client = self.client.as_mut().expect("connected");
        let mirror = &mut self.mirror;
        client
            .await_lsn(end, |frame| {
                assert!(!frame.to_string().contains("secret"), "{frame}");
                mirror.apply(frame);
            })
            .await;
    }

    fn bodies(&self) -> Vec<&str> {
        self.mirror.rows().values().map(|row: &Value| row["body"].as_str().expect("a text")).collect()
    }

    /// Takes back what was secret, so that the member may be added again.
    async fn publish(&self) {
        self.execute("delete from entries where body = 'secret'").await;
        self.execute("insert into entries (board_id, body) values (7, 'open')").await;
    }
}

#[test]
fn whoever_is_removed_is_told_of_nothing_behind_that_commit_connected_or_not() {
    scenario(async |_| {
        let (_cluster, _database, sql, server) = served(SCHEMA, &[]).await;
        let mirror = Mirror::new("m", json!({"table": "public.entries"}));
        let mut scene = Scene { sql, server, client: None, mirror, secrets: 0 };
        let (mut told, mut away) = (0, 0);
        for round in 0..24 {
            let removal = if round % 2 == 0 { Removal::Together } else { Removal::Before };
            scene.publish().await;
            scene.add().await;
            if scene.client.is_none() {
                scene.connect().await;
            }
            scene.settle().await;
            assert!(!scene.bodies().is_empty(), "round {round}: a member sees the board");
            match round % 3 {
                // 0. Connected.
                0 => {
                    scene.remove(removal).await;
                    scene.settle().await;
                    assert_eq!(scene.bodies(), [""; 0], "round {round}: the board has left");
                    told += 1;
                }
                // 1. Away: comes back with its cursor, and is nobody's member.
                1 => {
                    scene.leave();
                    scene.remove(removal).await;
                    scene.connect().await;
                    scene.settle().await;
                    assert_eq!(scene.bodies(), [""; 0], "round {round}: the board has left");
                    away += 1;
                }
                // 2. Away, and a member again when it comes back: what it sees is compiled as it was before.
                _ => {
                    scene.leave();
                    scene.remove(removal).await;
                    scene.publish().await;
                    scene.add().await;
                    scene.connect().await;
                    scene.settle().await;
                    assert!(!scene.bodies().is_empty(), "round {round}: it sees the board again");
                    scene.execute(&format!("delete from members where user_id = '{}'", user(1))).await;
                    scene.settle().await;
                    away += 1;
                }
            }
            assert!(
                scene.mirror.resyncs.keys().all(|reason| reason == "permissions_changed"),
                "{:?}",
                scene.mirror.resyncs
            );
        }
        println!("{told} removals while connected, {away} while away, {} secret rows", scene.secrets);
        println!(
            "{:?}, {} resumes, {} refusals",
            scene.mirror.resyncs, scene.mirror.resumes, scene.mirror.refusals
        );
        assert!(scene.mirror.refusals > 0, "a cursor was resumed with another policy");
    });
}
