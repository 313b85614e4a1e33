-- Who works here: people, what reaches them, and how they like it.
--
-- `public` holds what clients subscribe to. `app` holds functions for policies, and what is nobody's to follow: it is not
-- published. Everything is written as the role of whoever asks, and judged by the policies here and in the files after it.

-- Roles are the cluster's: another database of it may have made them already, or be making them just now.
do $$
declare
  wanted text;
  -- From PostgreSQL 16 on a member may not take the role on just for being one, nor may who made it.
  needed constant text := case when current_setting('server_version_num')::int < 160000 then 'member' else 'set' end;
begin
  foreach wanted in array array['app_user', 'app_lead', 'app_anonymous'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
      begin
        execute format('create role %I nologin', wanted);
      exception when duplicate_object or unique_violation then
        null;
      end;
    end if;
    -- The server takes these roles on, which a superuser may without.
    if not pg_catalog.pg_has_role(current_user, wanted, needed) then
      execute format('grant %I to %I', wanted, current_user);
    end if;
  end loop;
end;
$$;

create schema if not exists app;
grant usage on schema app to app_user, app_lead;
grant usage on schema public to app_user, app_lead, app_anonymous;

-- Who asks, by the verified token; null for whoever brings none.
create function app.user_id() returns text
language sql
stable
parallel safe
return nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub';

-- Counts the changes of a row: who writes names the version that was read, and loses if it is no longer the newest.
create function app.count_version() returns trigger
language plpgsql
as $$
begin
  new.version := old.version + 1;
  new.updated_at := now();
  return new;
end;
$$;

create table public.users (
  -- The provider's name for one (`sub`), which never changes.
  id text primary key check (length(id) between 1 and 255),
  name text not null check (length(name) between 1 and 200),
  -- Where the user's colour lies on the wheel, in degrees: the same on every client.
  hue smallint not null check (hue between 0 and 359),
  created_at timestamptz not null default now(),
  -- When the token was issued that the provider's name is from, and that name: one's own choice stays until the provider
  -- tells another.
  told_at timestamptz,
  told_name text
);

alter table public.users enable row level security;
grant select (id, name, hue, created_at) on public.users to app_user, app_lead;
grant update (name, hue) on public.users to app_user, app_lead;

-- Names are for everybody who works here.
create policy everybody on public.users for select to app_user, app_lead using (true);
create policy oneself on public.users for update to app_user, app_lead
using (id = (select app.user_id()))
with check (id = (select app.user_id()));

-- E-mail and telephone, encrypted by the application: `v1.<key>.<nonce and ciphertext>`. No key is in the database.
create table app.user_contacts (
  user_id text primary key references public.users (id) on delete cascade,
  email text check (email like 'v1.%'),
  phone text check (phone like 'v1.%'),
  updated_at timestamptz not null default now()
);

create table public.user_preferences (
  user_id text primary key references public.users (id) on delete cascade,
  preferences jsonb not null check (jsonb_typeof(preferences) = 'object'),
  version integer not null default 1,
  updated_at timestamptz not null default now()
);

create trigger count_version before update on public.user_preferences
for each row execute function app.count_version();

alter table public.user_preferences enable row level security;
grant select, insert, update, delete on public.user_preferences to app_user, app_lead;
create policy own on public.user_preferences to app_user, app_lead
using (user_id = (select app.user_id()))
with check (user_id = (select app.user_id()));

-- Called as whoever comes (`auth.profile_function`). It runs as its owner, since nobody may insert into `users`, and
-- believes nothing but the claims, which are verified.
create function app.sync_profile() returns void
language sql
security definer
set search_path = ''
begin atomic
  insert into public.users as kept (id, name, hue, told_at, told_name)
  select
    claims ->> 'sub',
    left(coalesce(nullif(claims ->> 'name', ''), claims ->> 'sub'), 200),
    abs(hashtext(claims ->> 'sub')::bigint) % 360,
    to_timestamp((claims ->> 'iat')::double precision),
    left(nullif(claims ->> 'name', ''), 200)
  from (select current_setting('request.jwt.claims')::json) as token (claims)
  on conflict (id) do update set
    name = excluded.name,
    told_at = excluded.told_at,
    told_name = excluded.told_name
  -- A token from before says nothing new, one without a name says none, and whom nothing is new of causes no change.
  where (kept.told_at is null or kept.told_at <= excluded.told_at)
    and excluded.told_name is not null
    and kept.told_name is distinct from excluded.told_name;
end;

revoke execute on function app.sync_profile() from public;
grant execute on function app.sync_profile() to app_user, app_lead;
