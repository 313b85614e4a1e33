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
  doc jsonb, tenant int);
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
];

/// A policy on `entries` that cannot be followed exactly, and what is said of it.
const REFUSED: &[(&str, &str)] = &[
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
    let claims = json!({"sub": user(number), "role": "authenticated", "tenant": number % 2});
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
