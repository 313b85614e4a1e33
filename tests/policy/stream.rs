//! The whole way: policies from a grammar, transactions that change rows and memberships, and clients of several
//! identities, each of which ends with what `SELECT` gives it and was never told of a row that it could not see.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};
use tidegate::cli::demo::cluster::Cluster;
use tokio_postgres::{Client as Sql, SimpleQueryMessage};

use super::house::{AUTH, user};
use super::token;
use crate::client::{Client, Mirror};
use crate::fixture::{Database, private, scenario};
use crate::server::Server;

const SCHEMA: &str = "
create role editor nologin in role authenticated;
grant usage on schema auth, public to editor;
create sequence versions;
create table teams (id int primary key, tenant int);
create table members (team_id int, user_id uuid, role text not null, primary key (team_id, user_id));
create table entries (id int primary key, version bigint not null default nextval('versions'), team_id int, owner uuid,
                      public boolean not null, tenant int, secret text not null default 'secret');
alter table entries replica identity full;
alter table members replica identity full;
alter table teams replica identity full;
create function is_member(team int) returns boolean language sql stable security definer set search_path = public as $$
  select exists (select 1 from members where team_id = team and user_id = auth.uid())
$$;
create function my_teams() returns setof int language sql stable security definer set search_path = '' as $$
  select m.team_id from public.members m where m.user_id = auth.uid()
$$;
insert into teams select n, n % 2 from generate_series(1, 5) n;
alter table entries enable row level security;
";

const LEAVES: [&str; 12] = [
    "public",
    "owner = auth.uid()",
    "tenant = (auth.jwt() ->> 'tenant')::int",
    "team_id in (select team_id from members where user_id = auth.uid())",
    "team_id = any (array(select team_id from members where user_id = auth.uid() and role = 'admin'))",
    "exists (select 1 from members m where m.team_id = entries.team_id and m.user_id = (select auth.uid()))",
    "exists (select 1 from members m where m.role = 'admin' and m.user_id = auth.uid())",
    "is_member(team_id)",
    "team_id in (select my_teams())",
    "team_id in (select id from teams where tenant = (auth.jwt() ->> 'tenant')::int)",
    "team_id in (select id from teams where id in (select team_id from members where user_id = auth.uid()))",
    "auth.role() = 'editor'",
];

const FILTERS: [&str; 5] = ["", "team_id = 1", "team_id in (2, 3)", "public", "id < 30 and team_id = 2"];
const IDENTITIES: [(&str, u32); 5] =
    [("authenticated", 1), ("authenticated", 2), ("editor", 3), ("authenticated", 1), ("anon", 0)];
const ROUNDS: usize = 14;
const STEPS: usize = 40;

/// One identity with one subscription.
struct Viewer {
    role: &'static str,
    claims: Value,
    filter: &'static str,
    mirror: Mirror,
    client: Option<Client>,
    /// Rows, each with its version, that it has been able to see at any time.
    visible: BTreeSet<(i64, String)>,
    /// Columns that its role may read.
    columns: usize,
    frames: usize,
}

impl Viewer {
    fn new(role: &'static str, number: u32, filter: &'static str, columns: usize) -> Self {
        let claims = json!({"role": role, "sub": user(number), "tenant": number % 2});
        let mut fields = json!({"table": "public.entries"});
        if !filter.is_empty() {
            fields["where"] = json!(filter);
        }
        let mirror = Mirror::new("v", fields);
        Self { role, claims, filter, mirror, client: None, visible: BTreeSet::new(), columns, frames: 0 }
    }

    async fn connect(&mut self, server: &Server) {
        let mut client = Client::connect(server.address()).await;
        client.send(&json!({"type": "auth", "token": token(self.role, &self.claims)})).await;
        client.send(&self.mirror.request()).await;
        self.client = Some(client);
    }

    /// What `SELECT` gives it.
    async fn selected(&self, sql: &Sql) -> BTreeSet<(i64, String)> {
        let condition = if self.filter.is_empty() { "true" } else { self.filter };
        let text = format!(
            "begin read only;
             select set_config('request.jwt.claims', '{}', true), set_config('role', '{}', true);
             select id, version::text from entries where {condition};
             commit",
            self.claims, self.role
        );
        let messages = sql.simple_query(&text).await.unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) if row.columns()[0].name() == "id" => Some(row),
            _ => None,
        });
        rows.map(|row| {
            (row.get(0).expect("a key").parse().expect("a number"), row.get(1).expect("one").to_owned())
        })
        .collect()
    }

    /// Reads until it has been told everything, and compares.
    async fn come_to_rest(&mut self, sql: &Sql, told: &str) {
        let expected = self.selected(sql).await;
        let end: String =
            sql.query_one("select pg_current_wal_insert_lsn()::text", &[]).await.expect("up").get(0);
        let mut client = self.client.take().expect("connected");
        let (mirror, visible, columns, frames) =
            (&mut self.mirror, &self.visible, self.columns, &mut self.frames);
        client
            .await_lsn(end.parse().expect("a position"), |frame| {
                *frames += 1;
                for row in rows(frame) {
                    let seen = (
                        row["id"].as_i64().expect("a key"),
                        row["version"].as_str().expect("one").to_owned(),
                    );
                    assert!(
                        visible.contains(&seen),
                        "{told}: was told of {row}, which it never saw: {frame}"
                    );
                    assert_eq!(row.as_object().map_or(0, serde_json::Map::len), columns, "{told}: {frame}");
                }
                mirror.apply(frame);
            })
            .await;
        self.client = Some(client);
        let held: BTreeSet<(i64, String)> = self
            .mirror
            .rows()
            .values()
            .map(|row| (row["id"].as_i64().expect("a key"), row["version"].as_str().expect("one").to_owned()))
            .collect();
        assert_eq!(held, expected, "{told}: {} {} where {}", self.role, self.claims, self.filter);
    }
}

fn rows(frame: &Value) -> Vec<&Value> {
    let of_snapshot = frame["rows"].as_array().into_iter().flatten();
    let of_changes = frame["changes"].as_array().into_iter().flatten().filter_map(|change| change.get("row"));
    of_snapshot.chain(of_changes).collect()
}

fn leaf(random: &mut fastrand::Rng) -> String {
    let leaf = LEAVES[random.usize(..LEAVES.len())];
    match random.u8(..6) {
        0 => format!("({leaf}) and ({})", LEAVES[random.usize(..LEAVES.len())]),
        1 | 2 => format!("({leaf}) or ({})", LEAVES[random.usize(..LEAVES.len())]),
        3 => format!("not ({leaf})"),
        _ => leaf.to_owned(),
    }
}

fn policies(random: &mut fastrand::Rng) -> String {
    let mut sql = String::from("drop policy if exists p0 on entries; drop policy if exists p1 on entries;");
    sql.push_str("drop policy if exists r on entries; drop policy if exists m on members;");
    for number in 0..random.usize(1..3) {
        let to = ["public", "authenticated", "editor"][random.usize(..3)];
        let _ =
            write!(sql, "create policy p{number} on entries for select to {to} using ({});", leaf(random));
    }
    if random.u8(..3) == 0 {
        let _ = write!(sql, "create policy r on entries as restrictive using ({});", leaf(random));
    }
    let protects = random.u8(..3) == 0;
    let _ = write!(
        sql,
        "alter table members {} row level security; create policy m on members using ({});",
        if protects { "enable" } else { "disable" },
        ["true", "user_id = auth.uid()", "role = 'admin'"][random.usize(..3)]
    );
    sql
}

fn transaction(random: &mut fastrand::Rng) -> String {
    let mut sql = String::from("begin;");
    for _ in 0..random.usize(1..4) {
        let (id, team, number) = (random.u32(1..60), random.u32(1..6), random.u32(1..4));
        let (who, tenant, public) = (user(number), random.u32(..2), random.bool());
        let role = if random.bool() { "admin" } else { "member" };
        let _ = match random.u8(..10) {
            0..=2 => write!(
                sql,
                "insert into entries (id, team_id, owner, public, tenant) values ({id}, {team}, '{who}', {public}, {tenant})
                 on conflict (id) do update set team_id = {team}, version = nextval('versions');"
            ),
            3 => write!(sql, "delete from entries where id = {id};"),
            4 => write!(sql, "update entries set owner = '{who}', version = nextval('versions') where id % 7 = {team};"),
            5 => write!(
                sql,
                "update entries set public = {public}, tenant = {tenant}, version = nextval('versions') where id = {id};"
            ),
            6 => write!(
                sql,
                "insert into members values ({team}, '{who}', '{role}') on conflict do nothing;"
            ),
            7 => write!(sql, "delete from members where team_id = {team} and user_id = '{who}';"),
            8 => write!(sql, "update members set role = '{role}' where user_id = '{who}' and team_id <= {team};"),
            _ => write!(sql, "update teams set tenant = {tenant} where id = {team};"),
        };
    }
    sql.push_str(if random.u8(..12) == 0 { "rollback" } else { "commit" });
    sql
}

#[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
fn seed() -> u64 {
    std::env::var("TIDEGATE_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..))
}

/// A cluster of its own, since roles are its; the database, and a connection.
async fn open() -> (Cluster, Database, Sql) {
    let cluster: Cluster = tokio::task::spawn_blocking(|| private(&[])).await.expect("no panic");
    let database = Database::create_on(cluster.address()).await;
    let sql = database.client().await;
    sql.batch_execute(&format!("{AUTH}{SCHEMA}")).await.unwrap_or_else(|error| panic!("{error:?}"));
    let grants =
        "revoke all on entries from anon; grant select (id, version, team_id, public) on entries to anon";
    sql.batch_execute(grants).await.expect("the superuser may");
    (cluster, database, sql)
}

#[test]
fn every_identity_holds_what_select_gives_it_and_was_told_of_nothing_else() {
    scenario(async |_| {
        let seed = seed();
        println!("TIDEGATE_TEST_SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let (_cluster, database, sql) = open().await;
        let settings = super::jwt(&[("policy.refresh_ms", "100")]);
        let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
        let server = Server::start_with(&database, &settings).await;
        let (mut frames, mut transactions, mut resyncs, mut resumes) = (0, 0, 0, 0);
        for round in 0..ROUNDS {
            let policies = policies(&mut random);
            sql.batch_execute(&policies).await.unwrap_or_else(|error| panic!("{policies}: {error:?}"));
            // A grant or a policy is noticed within its refresh; each round begins with clients of its own.
            tokio::time::sleep(std::time::Duration::from_millis(400)).await;
            let mut viewers: Vec<Viewer> = IDENTITIES
                .iter()
                .map(|(role, number)| {
                    // Without all of its columns a filter may not name the others.
                    let columns = if *role == "anon" { 4 } else { 7 };
                    Viewer::new(role, *number, FILTERS[random.usize(..FILTERS.len())], columns)
                })
                .collect();
            for viewer in &mut viewers {
                let now = viewer.selected(&sql).await;
                viewer.visible.extend(now);
                viewer.connect(&server).await;
            }
            let mut log = format!("seed {seed}, round {round}\n{policies}\n");
            for step in 0..STEPS {
                let transaction = transaction(&mut random);
                let _ = writeln!(log, "{transaction}");
                sql.batch_execute(&transaction)
                    .await
                    .unwrap_or_else(|error| panic!("{transaction}: {error:?}"));
                transactions += 1;
                for viewer in &mut viewers {
                    let now = viewer.selected(&sql).await;
                    viewer.visible.extend(now);
                    if random.u8(..30) == 0 {
                        if let Some(client) = viewer.client.take() {
                            client.cut();
                        }
                        viewer.mirror.cut();
                        viewer.connect(&server).await;
                    }
                }
                if step % 10 == 9 {
                    for viewer in &mut viewers {
                        viewer.come_to_rest(&sql, &log).await;
                    }
                }
            }
            for viewer in viewers {
                frames += viewer.frames;
                resumes += viewer.mirror.resumes;
                resyncs += viewer.mirror.resyncs.values().sum::<usize>();
            }
        }
        let cases = ROUNDS * STEPS / 10 * IDENTITIES.len();
        println!(
            "{cases} comparisons, {transactions} transactions, {frames} frames, {resumes} resumes, {resyncs} resyncs"
        );
        assert!(frames > 500 && resyncs > 10, "{frames} frames, {resyncs} resyncs");
        drop(server);
    });
}
