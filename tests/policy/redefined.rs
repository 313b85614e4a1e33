//! What a policy reads is defined anew while somebody is subscribed: they start over once, and go on.

use serde_json::json;
use tidegate::event::Lsn;
use tokio_postgres::Client as Sql;

use super::house::user;
use super::{served, token};
use crate::client::{Client, Mirror};
use crate::fixture::scenario;
use crate::server::Server;

const SCHEMA: &str = "
create type rank as enum ('member', 'admin');
create table members (board_id int, user_id uuid, rank rank not null default 'member', note text,
                      primary key (board_id, user_id)) partition by range (board_id);
alter table members replica identity full;
create table members_1 partition of members for values from (0) to (100);
alter table members_1 replica identity full;
create table entries (id serial primary key, board_id int not null);
alter table entries replica identity full;
alter table entries enable row level security;
create policy p on entries for select to authenticated
  using (board_id in (select board_id from members where user_id = auth.uid()));
insert into entries (board_id) values (7), (8), (107);
insert into members (board_id, user_id) values (7, '00000000-0000-0000-0000-000000000001');
";

/// Each changes what is known of `members`, and nothing of the rights to it.
const REDEFINITIONS: [&str; 8] = [
    "create table members_2 partition of members for values from (100) to (200);
     alter table members_2 replica identity full",
    "truncate members_2",
    "alter type rank add value 'owner'",
    "alter table members alter column rank drop not null",
    "alter table members alter column note type varchar(40)",
    "alter table members add column added int",
    "alter table members drop column added",
    "alter table members detach partition members_2; drop table members_2",
];
/// Starting over more often than this for one of them is a circle.
const MOST: usize = 6;

async fn client(server: &Server, mirror: &mut Mirror) -> Client {
    let mut client = Client::connect(server.address()).await;
    let claims = json!({"role": "authenticated", "sub": user(1)});
    client.send(&json!({"type": "auth", "token": token("authenticated", &claims)})).await;
    client.send(&mirror.request()).await;
    client
}

async fn settle(sql: &Sql, client: &mut Client, mirror: &mut Mirror) {
    let end: String =
        sql.query_one("select pg_current_wal_insert_lsn()::text", &[]).await.expect("up").get(0);
    let end: Lsn = end.parse().expect("a position");
    client.await_lsn(end, |frame| _ = mirror.apply(frame)).await;
}

fn boards(mirror: &Mirror) -> Vec<i64> {
    mirror.rows().values().map(|row| row["board_id"].as_i64().expect("a number")).collect()
}

#[test]
fn a_table_that_a_policy_reads_is_defined_anew_and_its_readers_start_over_a_few_times_at_most() {
    scenario(async |_| {
        let (_cluster, _database, sql, server) = served(SCHEMA, &[("catalog.refresh_ms", "500")]).await;
        let mut mirror = Mirror::new("m", json!({"table": "public.entries"}));
        let mut client = client(&server, &mut mirror).await;
        settle(&sql, &mut client, &mut mirror).await;
        assert_eq!(boards(&mirror), [7]);
        for redefinition in REDEFINITIONS {
            let before: usize = mirror.resyncs.values().sum();
            sql.batch_execute(redefinition).await.unwrap_or_else(|error| panic!("{redefinition}: {error:?}"));
            // Until the catalog has been read again, and then some.
            for _ in 0..6 {
                tokio::time::sleep(std::time::Duration::from_millis(250)).await;
                settle(&sql, &mut client, &mut mirror).await;
            }
            let after: usize = mirror.resyncs.values().sum();
            println!("{} times for {redefinition}", after - before);
            assert!(after - before <= MOST, "{redefinition}: {:?}", mirror.resyncs);
            // It is as live as it was.
            for (change, expected) in [
                (
                    "insert into members (board_id, user_id) values (8, '00000000-0000-0000-0000-000000000001')",
                    &[7, 8][..],
                ),
                ("delete from members where board_id = 8", &[7]),
            ] {
                sql.batch_execute(change).await.unwrap_or_else(|error| panic!("{change}: {error:?}"));
                settle(&sql, &mut client, &mut mirror).await;
                assert_eq!(boards(&mirror), expected, "{redefinition}, then {change}");
            }
        }
    });
}

#[test]
fn a_function_that_may_not_be_called_shows_nobody_anything_with_a_snapshot_or_without() {
    scenario(async |_| {
        let functions = "
            create function is_member(board int) returns boolean language sql stable security definer
              set search_path = '' as $$
              select exists (select 1 from public.members m where m.board_id = board and m.user_id = auth.uid())
            $$;
            create policy q on entries for select to authenticated using (is_member(board_id));";
        let schema = format!("{SCHEMA}{functions}");
        let (_cluster, _database, sql, server) = served(&schema, &[("policy.refresh_ms", "100")]).await;
        let mut mirror = Mirror::new("m", json!({"table": "public.entries"}));
        let mut client = client(&server, &mut mirror).await;
        settle(&sql, &mut client, &mut mirror).await;
        assert_eq!(boards(&mirror), [7]);
        sql.batch_execute("revoke execute on function is_member(int) from public, authenticated")
            .await
            .expect("the superuser may");
        loop {
            let frame = client.next().await.expect("the connection lives");
            if frame["type"] == "error" {
                assert_eq!(frame["code"], "policy_error", "{frame}");
                assert!(
                    frame["message"].to_string().contains("permission denied for function is_member"),
                    "{frame}"
                );
                break;
            }
        }
        for start in [
            json!({"id": "live", "table": "entries"}),
            json!({"id": "live", "table": "entries", "snapshot": true}),
        ] {
            client.subscribe(start).await;
            let frame = client.expect("error").await;
            assert_eq!((&frame["code"], &frame["id"]), (&json!("policy_error"), &json!("live")), "{frame}");
        }
    });
}
