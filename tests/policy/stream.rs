//! The whole way: policies from a grammar, transactions that change rows and memberships, and clients of several
//! identities, each of which ends with what `SELECT` gives it and was never told of a row that it could not see.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};
use tokio_postgres::{Client as Sql, SimpleQueryMessage};

use super::house::user;
use super::{served, token};
use crate::client::{Client, Mirror};
use crate::fixture::scenario;
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

/// The same rows in partitions: whoever goes to another team goes to another partition. The policies are the root's.
const SPREAD: &str = "
create table spread (id int, version bigint not null default nextval('versions'), team_id int, owner uuid,
                     public boolean not null, tenant int, secret text not null default 'secret',
                     primary key (id, team_id)) partition by list (team_id);
create table spread_1 partition of spread for values in (1);
create table spread_2 partition of spread for values in (2, 3);
create table spread_3 partition of spread default;
alter table spread replica identity full;
alter table spread_1 replica identity full;
alter table spread_2 replica identity full;
alter table spread_3 replica identity full;
alter table spread enable row level security;
";
/// Each with what tells its rows apart.
const TABLES: [(&str, &str); 2] = [("entries", "id"), ("spread", "id, team_id")];

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
const ROUNDS: usize = 24;
const STEPS: usize = 40;
/// So many columns the anonymous role may read; and one more while it is shown that.
const ANON: usize = 4;
const SHOW: &str = "grant select (tenant) on entries to anon";
const HIDE: &str = "revoke select (tenant) on entries from anon";
/// After so long a changed grant or policy holds.
const NOTICED: std::time::Duration = std::time::Duration::from_millis(400);

/// One identity with one subscription.
struct Viewer {
    role: &'static str,
    claims: Value,
    filter: &'static str,
    mirror: Mirror,
    client: Option<Client>,
    /// Rows, each with its version, that it has been able to see at any time.
    visible: BTreeSet<(i64, String)>,
    /// The table, and how its rows are told apart.
    table: (&'static str, &'static str),
    /// How many columns its role may read, now and since it came to rest last.
    columns: BTreeSet<usize>,
    frames: usize,
}

impl Viewer {
    fn new(
        role: &'static str,
        number: u32,
        table: (&'static str, &'static str),
        filter: &'static str,
        columns: usize,
    ) -> Self {
        let claims = json!({"role": role, "sub": user(number), "tenant": number % 2});
        let mut fields = json!({"table": format!("public.{}", table.0)});
        if !filter.is_empty() {
            fields["where"] = json!(filter);
        }
        let mirror = Mirror::new("v", fields);
        let (visible, columns) = (BTreeSet::new(), BTreeSet::from([columns]));
        Self { role, claims, filter, mirror, client: None, visible, table, columns, frames: 0 }
    }

    async fn connect(&mut self, server: &Server) {
        let mut client = Client::connect(server.address()).await;
        client.send(&json!({"type": "auth", "token": token(self.role, &self.claims)})).await;
        client.send(&self.mirror.request()).await;
        self.client = Some(client);
    }

    /// Comes back with its cursor after a broken connection.
    async fn reconnect(&mut self, server: &Server) {
        if let Some(client) = self.client.take() {
            client.cut();
        }
        self.mirror.cut();
        self.connect(server).await;
    }

    /// A grant has changed: once that is noticed, it is shown so many columns and no others.
    async fn is_shown(&mut self, columns: usize, sql: &Sql, log: &str) {
        self.columns.insert(columns);
        tokio::time::sleep(NOTICED).await;
        self.come_to_rest(sql, log).await;
        self.columns = BTreeSet::from([columns]);
        self.come_to_rest(sql, log).await;
    }

    /// What `SELECT` gives it.
    async fn selected(&self, sql: &Sql) -> BTreeSet<(i64, String)> {
        let condition = if self.filter.is_empty() { "true" } else { self.filter };
        let text = format!(
            "begin read only;
             select set_config('request.jwt.claims', '{}', true), set_config('role', '{}', true);
             select id, version::text from {} where {condition};
             commit",
            self.claims, self.role, self.table.0
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
            (&mut self.mirror, &self.visible, &self.columns, &mut self.frames);
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
                    let count = row.as_object().map_or(0, serde_json::Map::len);
                    assert!(columns.contains(&count), "{told}: not one of {columns:?} columns: {frame}");
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
        let count = |row: &Value| row.as_object().map_or(0, serde_json::Map::len);
        let held: BTreeSet<usize> = self.mirror.rows().values().map(count).collect();
        assert!(held.is_subset(&self.columns), "{told}: {held:?} columns are held");
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

/// As if it were written for that table.
fn of(table: (&str, &str), sql: &str) -> String {
    sql.replace("entries", table.0).replace("on conflict (id)", &format!("on conflict ({})", table.1))
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

/// One of each identity, each with a filter.
fn viewers(table: (&'static str, &'static str), random: &mut fastrand::Rng) -> Vec<Viewer> {
    let viewer = |(role, number): &(&'static str, u32)| {
        // Without all of its columns a filter may not name the others.
        let columns = if *role == "anon" { ANON } else { 7 };
        Viewer::new(role, *number, table, FILTERS[random.usize(..FILTERS.len())], columns)
    };
    IDENTITIES.iter().map(viewer).collect()
}

/// What the anonymous role may read.
const GRANTS: &str =
    "revoke all on entries from anon; grant select (id, version, team_id, public) on entries to anon;";

#[test]
fn every_identity_holds_what_select_gives_it_and_was_told_of_nothing_else() {
    scenario(async |_| {
        let seed = seed();
        println!("TIDEGATE_TEST_SEED={seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let grants: String = TABLES.iter().map(|table| of(*table, GRANTS)).collect();
        let schema = format!("{SCHEMA}{SPREAD}{grants}");
        let (_cluster, _database, sql, server) = served(&schema, &[("policy.refresh_ms", "100")]).await;
        let (mut frames, mut transactions, mut resyncs, mut resumes, mut cases) = (0, 0, 0, 0, 0);
        for round in 0..ROUNDS {
            let table = TABLES[round % TABLES.len()];
            let policies = of(table, &policies(&mut random));
            sql.batch_execute(&policies).await.unwrap_or_else(|error| panic!("{policies}: {error:?}"));
            sql.batch_execute(&of(table, HIDE)).await.expect("the superuser may");
            // A grant or a policy is noticed within its refresh; each round begins with clients of its own.
            tokio::time::sleep(NOTICED).await;
            let mut viewers = viewers(table, &mut random);
            for viewer in &mut viewers {
                let now = viewer.selected(&sql).await;
                viewer.visible.extend(now);
                viewer.connect(&server).await;
            }
            let mut log = format!("seed {seed}, round {round}\n{policies}\n");
            let mut shows = false;
            for step in 0..STEPS {
                if random.u8(..20) == 0 {
                    shows = !shows;
                    let grant = of(table, if shows { SHOW } else { HIDE });
                    let _ = writeln!(log, "{grant}");
                    sql.batch_execute(&grant).await.expect("the superuser may");
                    for viewer in viewers.iter_mut().filter(|viewer| viewer.role == "anon") {
                        viewer.is_shown(ANON + usize::from(shows), &sql, &log).await;
                    }
                }
                let transaction = of(table, &transaction(&mut random));
                let _ = writeln!(log, "{transaction}");
                sql.batch_execute(&transaction)
                    .await
                    .unwrap_or_else(|error| panic!("{transaction}: {error:?}"));
                transactions += 1;
                for viewer in &mut viewers {
                    let now = viewer.selected(&sql).await;
                    viewer.visible.extend(now);
                    if random.u8(..30) == 0 {
                        viewer.reconnect(&server).await;
                    }
                }
                if step % 2 == 1 {
                    for viewer in &mut viewers {
                        viewer.come_to_rest(&sql, &log).await;
                        cases += 1;
                    }
                }
            }
            for viewer in viewers {
                frames += viewer.frames;
                resumes += viewer.mirror.resumes;
                resyncs += viewer.mirror.resyncs.values().sum::<usize>();
            }
        }
        println!(
            "{cases} comparisons, {transactions} transactions, {frames} frames, {resumes} resumes, {resyncs} resyncs"
        );
        assert!(frames > 500 && resyncs > 10, "{frames} frames, {resyncs} resyncs");
        drop(server);
    });
}
