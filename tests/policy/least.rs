//! A server whose own role has what the security page says that it needs, and nothing more.

use serde_json::json;
use tidegate::event::Lsn;

use super::house::{AUTH, user};
use super::{jwt, token};
use crate::client::{Client, Mirror};
use crate::fixture::{Database, private, scenario};
use crate::server::Server;

const SCHEMA: &str = "
create role keeper nologin;
grant create, usage on schema public to keeper;
grant usage on schema auth to keeper;
set role keeper;
create table members (board_id int, user_id uuid, primary key (board_id, user_id));
create table entries (id serial primary key, board_id int not null, body text, secret text default 'secret');
alter table members replica identity full;
alter table entries replica identity full;
alter table entries enable row level security;
create function is_member(board int) returns boolean language sql stable security definer set search_path = '' as $$
  select exists (select 1 from public.members m where m.board_id = board and m.user_id = auth.uid())
$$;
create policy members on entries for select to authenticated using (is_member(board_id));
grant select (id, board_id, body) on entries to authenticated;
reset role;
insert into entries (board_id, body) values (7, 'seven'), (8, 'eight');
insert into members values (7, '00000000-0000-0000-0000-000000000001');
revoke execute on function pg_logical_emit_message(boolean, text, text),
                           pg_logical_emit_message(boolean, text, bytea) from public;
";

/// As in docs/security.md.
const LEAST: &str = "
create role tidegate login replication bypassrls;
grant usage on schema public to tidegate;
grant select on all tables in schema public to tidegate;
grant authenticated, anon, editor to tidegate;
grant execute on function pg_logical_emit_message(boolean, text, text) to tidegate;
";

#[test]
fn a_role_with_what_it_needs_and_nothing_more_serves_everybody() {
    scenario(async |_| {
        let cluster = tokio::task::spawn_blocking(|| private(&[])).await.expect("no panic");
        let database = Database::create_on(cluster.address()).await;
        let sql = database.client().await;
        let publication = format!("create publication {} for table entries, members", database.publication());
        for text in [AUTH, "create role editor nologin", SCHEMA, LEAST, &publication] {
            sql.batch_execute(text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
        }
        let url = database.url();
        let (_, rest) = url.split_once('@').expect("a user");
        let own = format!("postgres://tidegate@{rest}");
        let settings =
            jwt(&[("postgres.url", &own), ("postgres.tables", r#"["public.entries", "public.members"]"#)]);
        let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
        let server = Server::start_with(&database, &settings).await;
        let mut mirror = Mirror::new("m", json!({"table": "public.entries"}));
        let mut client = Client::connect(server.address()).await;
        let claims = json!({"role": "authenticated", "sub": user(1)});
        client.send(&json!({"type": "auth", "token": token("authenticated", &claims)})).await;
        client.send(&mirror.request()).await;
        for (change, boards) in [
            ("select 1", &[7][..]),
            ("insert into entries (board_id, body) values (7, 'more'), (8, 'hidden')", &[7, 7]),
            ("insert into members values (8, '00000000-0000-0000-0000-000000000001')", &[7, 8, 7, 8]),
            ("delete from members where board_id = 7", &[8, 8]),
        ] {
            sql.batch_execute(change).await.unwrap_or_else(|error| panic!("{change}: {error:?}"));
            let end: String =
                sql.query_one("select pg_current_wal_insert_lsn()::text", &[]).await.expect("up").get(0);
            let end: Lsn = end.parse().expect("a position");
            client.await_lsn(end, |frame| _ = mirror.apply(frame)).await;
            let held: Vec<i64> =
                mirror.rows().values().map(|row| row["board_id"].as_i64().expect("a number")).collect();
            assert_eq!(held, boards, "{change}");
            assert!(mirror.rows().values().all(|row| row.get("secret").is_none()));
        }
    });
}
