use serde_json::json;
use tidegate::policy::Error;

use super::house::{House, identity, user};
use crate::fixture::scenario;

const SCHEMA: &str = "
create type mood as enum ('open', 'closed');
create table teams (id int primary key, name text, tenant int);
create table members (team_id int references teams, user_id uuid, role text not null default 'member',
                      primary key (team_id, user_id));
create table entries (
  id int primary key, team_id int, owner uuid, title varchar(40), mood mood, public boolean, labels text[],
  doc jsonb, tenant int, day date default '2024-01-01');
alter table entries replica identity full;
alter table members replica identity full;
alter table teams replica identity full;
create function is_member(team int) returns boolean language sql stable security definer set search_path = public as $$
  select exists (select 1 from members where team_id = team and user_id = auth.uid())
$$;
create function my_teams() returns setof int language sql stable security definer set search_path = '' as $$
  select m.team_id from public.members m where m.user_id = auth.uid()
$$;
insert into teams select n, 'team ' || n, n % 2 from generate_series(1, 6) n;
insert into members
select t, ('00000000-0000-0000-0000-' || lpad(u::text, 12, '0'))::uuid, case when u % 2 = 0 then 'admin' else 'member' end
  from generate_series(1, 5) t, generate_series(1, 4) u where (t + u) % 3 > 0;
insert into entries
select n, nullif(n % 7, 6), ('00000000-0000-0000-0000-' || lpad((n % 5)::text, 12, '0'))::uuid, 'entry ' || n,
       case when n % 3 = 0 then null when n % 3 = 1 then 'open' else 'closed' end::mood, n % 4 = 0,
       case when n % 2 = 0 then array['a', 'b'] else array['c'] end,
       jsonb_build_object('owner', n % 5, 'tags', array[n % 3]), n % 2
  from generate_series(1, 80) n;
alter table entries enable row level security;
";

/// A policy on `entries`, and whether members is protected too; each is followed exactly.
const FOLLOWED: &[&str] = &[
    "create policy p on entries for select using (true)",
    "create policy p on entries for select using (false)",
    "create policy p on entries for select to authenticated using (owner = auth.uid())",
    "create policy p on entries for select to authenticated using ((select auth.uid()) = owner)",
    "create policy p on entries for select to anon using (true)",
    "create policy p on entries for all using (auth.role() = 'authenticated')",
    "create policy p on entries for select using (auth.uid() is not null and public)",
    "create policy p on entries for select using (public or owner = auth.uid())",
    "create policy p on entries for insert with check (true)",
    "create policy p on entries for all with check (true)",
    "create policy p on entries using (public); create policy q on entries as restrictive for all with check (false)",
    "create policy p on entries using (tenant = (current_setting('request.jwt.claims', true)::json ->> 'tenant')::int)",
    "create policy p on entries using (tenant = (auth.jwt() ->> 'tenant')::int)",
    "create policy p on entries using (owner::text = auth.jwt() ->> 'sub')",
    "create policy p on entries using (mood = 'open' and title like 'entry 1%')",
    "create policy p on entries using (mood::text = any (array['open', 'x']))",
    "create policy p on entries using (title in ('entry 1', 'entry 2'))",
    "create policy p on entries using (labels && array['a'])",
    "create policy p on entries using (doc @> '{\"owner\": 3}' or doc ->> 'owner' = '2')",
    "create policy p on entries using (current_user = 'authenticated')",
    "create policy p on entries using (case when auth.uid() is null then false else true end)",
    "create policy p on entries using (team_id in (select team_id from members where user_id = auth.uid()))",
    "create policy p on entries using (team_id = any (array(select team_id from members where user_id = auth.uid())))",
    "create policy p on entries using (team_id not in (select team_id from members where user_id = auth.uid()))",
    "create policy p on entries using (not (team_id in (select team_id from members where user_id = auth.uid())))",
    "create policy p on entries using (exists (select 1 from members m where m.team_id = entries.team_id and m.user_id = auth.uid()))",
    "create policy p on entries using (not exists (select from members m where entries.team_id = m.team_id and m.user_id = auth.uid()))",
    "create policy p on entries using (exists (select * from members where team_id = entries.team_id and user_id = auth.uid() and role = 'admin'))",
    "create policy p on entries using (auth.uid() in (select user_id from members where team_id = entries.team_id))",
    "create policy p on entries using (auth.uid() in (select user_id from members where role = 'admin'))",
    "create policy p on entries using ((select role from members where user_id = auth.uid() and team_id = 1) = 'admin')",
    "create policy p on entries using (exists (select 1 from members where user_id = auth.uid() and role = 'admin'))",
    "create policy p on entries using (is_member(team_id))",
    "create policy p on entries using ((select is_member(1)))",
    "create policy p on entries using (team_id in (select my_teams()))",
    "create policy p on entries using (team_id = any (array(select my_teams())))",
    "create policy p on entries using (team_id in (select id from teams where tenant = (auth.jwt() ->> 'tenant')::int))",
    "create policy p on entries using (team_id in (select id from teams where id in (select team_id from members where user_id = auth.uid())))",
    "create policy p on entries using (owner = auth.uid()); create policy q on entries using (public)",
    "create policy p on entries using (true); create policy q on entries as restrictive using (team_id in (select team_id from members where user_id = auth.uid()))",
    "create policy p on entries as restrictive using (true)",
    "create policy p on entries using (team_id in (select team_id from members where user_id = auth.uid()));
     alter table members enable row level security;
     create policy m on members using (user_id = auth.uid())",
    "create policy p on entries using (team_id in (select team_id from members));
     alter table members enable row level security;
     create policy m on members using (role = 'admin' and user_id = auth.uid())",
    "create policy p on entries using (team_id in (select team_id from members where user_id = auth.uid()));
     alter table members enable row level security",
    // NULL does not get into a strict function.
    "create or replace function ok(v text) returns boolean language sql stable strict as $$ select v is null or v = 'a' $$;
     create policy p on entries using (ok(mood::text))",
    "create or replace function always(v boolean) returns boolean language sql stable strict as 'select true';
     create policy p on entries using (always(public))",
    "create or replace function same(a int, b int) returns boolean language sql immutable as 'select a = b';
     create policy p on entries using (same(tenant, (auth.jwt() ->> 'tenant')::int))",
    "create or replace function longer(a bigint) returns boolean language sql immutable as 'select a = 1';
     create policy p on entries using (longer((auth.jwt() ->> 'tenant')::int) and public)",
    // A function without a path of its own looks along the one around it.
    "create schema if not exists app;
     create or replace function app.uid() returns uuid language sql stable as 'select auth.uid()';
     create or replace function app.owns(o uuid) returns boolean language sql stable set search_path = app as 'select o = uid()';
     grant usage on schema app to public;
     create policy p on entries using (app.owns(owner))",
    // A sub-select's numbers may be of a larger type, and out of the column's range.
    "create policy p on entries using (team_id in (select team_id::bigint from members where user_id = auth.uid()))",
    "create policy p on entries using (team_id not in (select case when team_id = 1 then 1 else team_id::bigint * 10000000000 end from members))",
    "create policy p on entries using (team_id in (select id from teams where is_member(id)))",
    // Of one character `character` would be.
    "create or replace function coded(c bpchar) returns boolean language sql immutable as $$ select c = 'A1' $$;
     create policy p on entries using (coded((auth.jwt() ->> 'code')::bpchar) or public)",
    "create or replace function wrapped(team int) returns boolean language sql stable as 'select (select is_member(team))';
     create policy p on entries using (wrapped(team_id))",
    "create or replace function direct(team int) returns boolean language sql stable as 'select is_member(team)';
     create policy p on entries using (direct(team_id))",
    "create or replace function among(is_one boolean) returns boolean language sql immutable as 'select is_one';
     create policy p on entries using (among(team_id in (select team_id from members where user_id = auth.uid())))",
    // A function's own path, with a function in `from`.
    "create or replace function listed(team text) returns boolean language sql stable set search_path = '' as $$
       select team in (select t from jsonb_array_elements_text(auth.jwt() -> 'teams') t) $$;
     create policy p on entries using (listed(team_id::text))",
    "create policy p on entries using (title in (select name from teams))",
    // What is not come to is not computed, and cannot raise.
    "create or replace function is_one(n int) returns boolean language sql immutable as 'select n = 1';
     create policy p on entries using ((select case when auth.role() <> 'x' then true else is_one((auth.jwt() ->> 'role')::int) end))",
];

/// A policy on `entries` that cannot be followed exactly, and what is said of it.
const REFUSED: &[(&str, &str)] = &[
    // A column goes before a parameter of the same name.
    (
        "create function blocked(team_id int) returns boolean language sql stable security definer as $$
           select exists (select 1 from members m where m.team_id = team_id and m.user_id = auth.uid()) $$;
         create policy p on entries using (not blocked(team_id))",
        "a parameter of `blocked`",
    ),
    // What a function is given is looked into too.
    (
        "create function me() returns uuid language plpgsql stable as 'begin return (select user_id from members limit 1); end';
         create function mine(u uuid) returns setof int language sql stable as 'select team_id from members where user_id = u';
         create policy p on entries using (team_id in (select mine(me())))",
        "plpgsql",
    ),
    (
        "create function mine(at timestamptz) returns setof int language sql stable as 'select team_id from members where at is not null';
         create policy p on entries using (team_id in (select mine(now())))",
        "depends on time",
    ),
    // One that has a default may be the one that is meant.
    (
        "create function f(x text) returns boolean language sql stable as 'select true';
         create function f(x int, y int default 0) returns boolean language sql stable as 'select x = 1';
         create policy p on entries using (f(tenant))",
        "any of several functions",
    ),
    (
        "create function f(x int, y int default 1) returns boolean language sql stable as 'select x = y';
         create policy p on entries using (f(tenant))",
        "to their defaults",
    ),
    (
        "create function f(x int) returns boolean language sql stable set search_path = \"$user\", public as
           'select exists (select 1 from members where team_id = x)';
         create policy p on entries using (f(team_id))",
        "of the role's own name",
    ),
    (
        "create function f() returns timestamp language sql stable as $$ select 'today12:00'::timestamp $$;
         create policy p on entries using (f() is not null)",
        "the word `today`",
    ),
    // Helpers of a function run as its owner.
    (
        "create function me() returns text language sql stable as 'select current_user::text';
         create function mine(w text) returns boolean language sql stable security definer as 'select w = me()';
         create policy p on entries using (mine(title))",
        "as the owner of",
    ),
    (
        "create function my_team() returns int language sql stable as 'select min(team_id) from members where user_id = auth.uid()';
         create function sees(t int) returns boolean language sql stable security definer as 'select t = my_team()';
         create policy p on entries using (sees(team_id))",
        "as the owner of",
    ),
    // A function's type rounds.
    (
        "create function whole(x numeric) returns int language sql immutable as 'select x';
         create policy p on entries using (whole(id) > 5)",
        "",
    ),
    (
        "create function recent() returns timestamptz language sql stable as $$ select 'now'::timestamptz $$;
         create policy p on entries using (recent() is not null)",
        "the word `now`",
    ),
    // NULL would be unknown among them, and not among none.
    (
        "create policy p on entries using (team_id not in (select team_id::bigint * 10000000000 from members))",
        "that it could hold",
    ),
    (
        "create policy p on entries using (((auth.jwt() ->> 'at')::tstzrange) is null)",
        "may be `now`",
    ),
    (
        "create policy p on entries using (((auth.jwt() ->> 'at')::date[]) is null)",
        "may be `now`",
    ),
    // `=` of two types is not the one of the column's.
    (
        "create table meetings (id int primary key, at timestamptz);
         alter table meetings replica identity full;
         create policy p on entries using (day in (select at from meetings))",
        "cast one of the two",
    ),
    (
        "create function f(anyelement) returns boolean language sql stable as 'select $1 is null';
         create policy p on entries using (f(tenant))",
        "polymorphic",
    ),
    (
        "create function f(x int) returns boolean language sql stable set work_mem = '1MB' as 'select x = 1';
         create policy p on entries using (f(tenant))",
        "sets more than",
    ),
    (
        "create schema api; create view api.members as select * from members;
         create function seen(t int) returns boolean language sql stable as $$
           select exists (select 1 from members m where m.team_id = t) $$;
         alter function seen(int) set search_path = api, public;
         create policy p on entries using (seen(team_id))",
        "write it with its schema",
    ),
    (
        "create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         create table names (id int primary key, name text collate ci);
         alter table names replica identity full;
         create policy p on entries using (title not in (select name from names))",
        "nondeterministic",
    ),
    ("create policy p on entries using (now() > '2020-01-01')", "depends on time"),
    ("create policy p on entries using (random() > 0.5)", "depends on time, or on more"),
    ("create policy p on entries using (title ilike 'ENTRY%')", "collation"),
    ("create policy p on entries using (length(title) > 3)", "has no word for"),
    ("create policy p on entries using (current_date > '2020-01-01')", "depends on time"),
    ("create policy p on entries using (lower(title) = 'entry 1')", "has no word for"),
    ("create policy p on entries using (owner::text = title)", "comparing two columns"),
    (
        "create policy p on entries using (exists (select 1 from members m join teams t on t.id = m.team_id where m.team_id = entries.team_id))",
        "more than one table",
    ),
    (
        "create policy p on entries using (exists (select 1 from members m where m.team_id = entries.team_id and m.user_id = entries.owner))",
        "one `column = column`",
    ),
    (
        "create policy p on entries using ((select count(*) from members m where m.team_id = entries.team_id) > 1)",
        "another way than by",
    ),
    (
        "create function f(u uuid) returns boolean language plpgsql stable as 'begin return true; end';
         create policy p on entries using (f(owner))",
        "plpgsql",
    ),
    (
        "create policy p on entries using (auth.uid() not in (select user_id from members where team_id = entries.team_id))",
        "NULL",
    ),
    ("create policy p on entries using (((auth.jwt() ->> 'at')::timestamptz) is null)", "may be `now`"),
];

fn who(number: u32) -> [tidegate::postgres::Impersonation; 2] {
    let claims = json!({
        "sub": user(number), "role": "authenticated", "tenant": number % 2, "teams": [1, number],
        "code": if number == 1 { "A1" } else { "A" },
    });
    [identity("authenticated", &claims), identity("anon", &json!({"role": "anon"}))]
}

#[test]
fn policies_are_followed_exactly() {
    scenario(async |_| {
        let house = House::open(SCHEMA).await;
        let (mut visible, mut failures) = (0, Vec::new());
        for policy in FOLLOWED {
            house.execute(&format!("begin; {policy}; commit")).await;
            house.reload().await;
            for who in (1..=4).flat_map(who) {
                match house.agrees(&who, "public.entries").await {
                    Ok(rows) => visible += rows,
                    Err(error) => failures.push(format!("{policy}\n    {error}")),
                }
            }
            house
                .execute(
                    "drop policy if exists p on entries; drop policy if exists q on entries;
                     drop policy if exists m on members; alter table members disable row level security",
                )
                .await;
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        assert!(visible > 1_000, "{visible} rows were visible in all");
        house.close().await;
    });
}

#[test]
fn what_cannot_be_followed_exactly_is_refused_with_its_reason() {
    scenario(async |_| {
        let house = House::open(SCHEMA).await;
        let entries = house.table("public.entries");
        let mut failures = Vec::new();
        for (policy, reason) in REFUSED {
            house.execute(policy).await;
            house.reload().await;
            let [who, _] = who(1);
            let told = match house.visibility(&who, &entries, None).await {
                Err(Error::Unsupported(refusal)) => refusal.to_string(),
                other => format!("{other:?}"),
            };
            if !told.starts_with("policy `p` of public.entries: ") || !told.contains(reason) {
                failures.push(format!("{policy}\n    {told}"));
            }
            house.execute("drop policy p on entries").await;
            let functions: Vec<String> = house
                .client
                .query(
                    "select p.oid::regprocedure::text from pg_proc p
                      where p.pronamespace = 'public'::regnamespace and p.proname in ('f', 'me', 'mine', 'sees')",
                    &[],
                )
                .await
                .expect("readable")
                .iter()
                .map(|row| row.get(0))
                .collect();
            for function in functions {
                house.execute(&format!("drop function {function} cascade")).await;
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        house.close().await;
    });
}

#[test]
fn a_guard_watches_what_the_policies_of_its_own_table_read_too() {
    scenario(async |_| {
        let house = House::open(SCHEMA).await;
        house
            .execute(
                "create policy p on entries using (team_id in (select team_id from members where user_id = auth.uid()));
                 alter table members enable row level security;
                 create policy m on members using (role = 'admin')",
            )
            .await;
        house.reload().await;
        let [who, _] = who(1);
        let visibility =
            house.visibility(&who, &house.table("public.entries"), None).await.expect("it is followed");
        let [guard] = &*visibility.guards else { panic!("{:?}", visibility.guards) };
        let names: Vec<&str> =
            guard.columns().iter().map(|index| &*guard.table().columns[*index].name).collect();
        assert_eq!(names, ["team_id", "user_id", "role"]);
        let filter = guard.filter().map(ToString::to_string).expect("one person's");
        assert!(filter.contains(&user(1)), "{filter}");
        house.close().await;
    });
}
