//! The policies that the manuals of PostgREST and Supabase teach, each followed exactly or refused with its reason.

use serde_json::json;
use tidegate::policy::Error;
use tidegate::postgres::Impersonation;

use super::house::{House, identity, user};
use crate::fixture::scenario;

const SCHEMA: &str = "
create schema private;
grant usage on schema private to authenticated, anon;
create type app_permission as enum ('channels.delete', 'messages.delete');
create type app_role as enum ('admin', 'moderator');
create table role_permissions (id bigint primary key, role app_role not null, permission app_permission not null);
create table roles_table (user_id uuid, role text, primary key (user_id, role));
create table team_user (team_id int, user_id uuid, primary key (team_id, user_id));
create table branches (id int primary key, manager uuid);
create table things (
  id int primary key, user_id uuid, team_id int, email text, message_from name, message_to name, tenant_id uuid,
  seller_id uuid, buyer_id uuid, title text, is_public boolean, created_at timestamptz, level int);
alter table role_permissions replica identity full;
alter table roles_table replica identity full;
alter table team_user replica identity full;
alter table branches replica identity full;
alter table things replica identity full;
alter table things enable row level security;
insert into role_permissions values (1, 'admin', 'channels.delete'), (2, 'moderator', 'messages.delete');
insert into roles_table values ('00000000-0000-0000-0000-000000000001', 'good_role');
insert into team_user select t, ('00000000-0000-0000-0000-00000000000' || u)::uuid
  from generate_series(1, 3) t, generate_series(1, 3) u where (t + u) % 2 = 0;
insert into branches values (1, '00000000-0000-0000-0000-000000000001'), (2, '00000000-0000-0000-0000-000000000002');
insert into things
select n, ('00000000-0000-0000-0000-00000000000' || n % 4)::uuid, nullif(n % 5, 4), 'user' || n % 3 || '@example.com',
       case n % 3 when 0 then 'authenticated' when 1 then 'anon' else 'postgres' end,
       case n % 4 when 0 then 'authenticated' else 'postgres' end,
       ('00000000-0000-0000-0000-00000000000' || n % 3)::uuid, ('00000000-0000-0000-0000-00000000000' || n % 3)::uuid,
       ('00000000-0000-0000-0000-00000000000' || n % 5)::uuid, 'thing ' || n, n % 2 = 0, now(), n % 4
  from generate_series(1, 60) n;
create function is_admin() returns boolean language sql stable security definer set search_path = '' as $$
  select exists (select 1 from public.roles_table where user_id = (select auth.uid()) and role = 'good_role')
$$;
create function user_teams() returns int[] language sql stable security definer set search_path = '' as $$
  select array(select team_id from public.team_user where user_id = auth.uid())
$$;
create function private.teams_of_user() returns setof int language sql stable security definer set search_path = '' as $$
  select team_id from public.team_user where user_id = (select auth.uid())
$$;
create function private.has_good_role() returns boolean language plpgsql stable security definer set search_path = '' as $$
begin
  return exists (select 1 from public.roles_table where (select auth.uid()) = user_id and role = 'good_role');
end;
$$;
create function authorize(requested_permission app_permission) returns boolean language plpgsql stable
  security definer set search_path = '' as $$
begin
  return (select count(*) from public.role_permissions p where p.permission = requested_permission) > 0;
end;
$$;
";

/// What a policy says after `create policy … on things`, and why it is refused if it is.
const POLICIES: [(&str, Option<&str>); 31] = [
    // Supabase: «Row Level Security».
    ("for select using ((select auth.uid()) = user_id)", None),
    ("for select using (auth.uid() is not null and auth.uid() = user_id)", None),
    ("for select to authenticated, anon using (true)", None),
    ("for select to authenticated using (true)", None),
    ("for select to anon using (true)", None),
    ("for insert to authenticated with check ((select auth.uid()) = user_id)", None),
    (
        "for update to authenticated using ((select auth.uid()) = user_id) with check ((select auth.uid()) = user_id)",
        None,
    ),
    ("for delete to authenticated using ((select auth.uid()) = user_id)", None),
    (
        "to authenticated using (to_jsonb(team_id) in (select auth.jwt() -> 'app_metadata' -> 'teams'))",
        Some("has no word for"),
    ),
    (
        "to authenticated using ((auth.jwt() -> 'app_metadata' -> 'teams') @> to_jsonb(team_id))",
        Some("has no word for"),
    ),
    (
        "to authenticated using (team_id::text in (select jsonb_array_elements_text(auth.jwt() -> 'app_metadata' -> 'teams')))",
        None,
    ),
    ("as restrictive for update to authenticated using ((select auth.jwt() ->> 'aal') = 'aal2')", None),
    ("for select to authenticated using ((select auth.jwt() ->> 'aal') = 'aal2')", None),
    (
        "to authenticated using (exists (select 1 from roles_table where (select auth.uid()) = user_id and role = 'good_role'))",
        None,
    ),
    ("to authenticated using ((select private.has_good_role()))", Some("plpgsql")),
    ("to authenticated using ((select is_admin()) or (select auth.uid()) = user_id)", None),
    ("to authenticated using (team_id = any (array(select private.teams_of_user())))", None),
    ("to authenticated using (team_id = any (user_teams()))", None),
    (
        "to authenticated using ((select auth.uid()) in (select user_id from team_user where team_user.team_id = things.team_id))",
        None,
    ),
    (
        "to authenticated using (team_id in (select team_id from team_user where user_id = (select auth.uid())))",
        None,
    ),
    // Supabase: «Custom Claims & Role-based Access Control», «Realtime Authorization», «Anonymous Sign-Ins».
    ("for delete to authenticated using ((select authorize('channels.delete')))", None),
    ("for select to authenticated using ((select authorize('channels.delete')))", Some("plpgsql")),
    (
        "for select to authenticated using (((current_setting('request.jwt.claims'))::json ->> 'email') ~~ '%@supabase.io')",
        None,
    ),
    (
        "as restrictive for select to authenticated using ((select (auth.jwt() ->> 'is_anonymous')::boolean) is false)",
        None,
    ),
    // PostgREST: «Database Authorization», «Transactions».
    (
        "using ((message_to = current_user) or (message_from = current_user)) with check (message_from = current_user)",
        None,
    ),
    ("using (email = current_setting('request.jwt.claims', true)::json ->> 'email')", None),
    ("using (tenant_id = (current_setting('request.jwt.claims', true)::json ->> 'tenant_id')::uuid)", None),
    // What their users write.
    ("for select using (auth.uid() in (seller_id, buyer_id))", None),
    ("for select using (auth.uid() not in (seller_id, buyer_id))", None),
    ("for all using (team_id = (select id from branches where manager = auth.uid()))", None),
    ("for select using (created_at > now() - interval '1 day')", Some("depends on time")),
];

fn identities() -> Vec<Impersonation> {
    let mut all = vec![identity("anon", &json!({"role": "anon"}))];
    for number in 1..=3 {
        let claims = json!({
            "sub": user(number), "role": "authenticated", "email": format!("user{number}@example.com"),
            "tenant_id": user(number), "aal": if number == 1 { "aal2" } else { "aal1" }, "is_anonymous": number == 3,
            "app_metadata": {"teams": [number, 3]},
        });
        all.push(identity("authenticated", &claims));
    }
    all
}

#[test]
fn what_the_manuals_teach_is_followed_exactly_or_refused_with_its_reason() {
    scenario(async |_| {
        let house = House::open(SCHEMA).await;
        let (mut followed, mut visible, mut failures) = (0, 0, Vec::new());
        for (policy, refused) in POLICIES {
            house.execute(&format!("create policy p on things {policy}")).await;
            house.reload().await;
            let things = house.table("public.things");
            for who in identities() {
                match (refused, house.visibility(&who, &things, None).await) {
                    (Some(reason), Err(Error::Unsupported(refusal))) => {
                        if !refusal.to_string().contains(reason) {
                            failures.push(format!("{policy}\n    {refusal}"));
                        }
                    }
                    (None, Ok(_)) => match house.agrees(&who, "public.things").await {
                        Ok(rows) => (followed, visible) = (followed + 1, visible + rows),
                        Err(error) => failures.push(format!("{policy}\n    {error}")),
                    },
                    // Nobody else's policy applies to it: it sees nothing, and nothing has to be understood.
                    (Some(_), Ok(_)) if &*who.role == "anon" => {}
                    (_, other) => failures.push(format!("{policy}\n    {:?}", other.map(|it| it.policy))),
                }
            }
            house.execute("drop policy p on things").await;
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        println!("{} policies, {followed} times followed, {visible} rows seen", POLICIES.len());
        assert!(visible > 500, "{visible}");
        house.close().await;
    });
}
