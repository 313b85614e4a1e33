-- Who may see which board. `tidegate demo --login` applies this, where people log in; plain `tidegate demo` does not.

create role member nologin;
create role lead nologin;

-- Beside those who only work, people who log in: `subject` is the provider's name for one, which never changes.
alter table public.users
  add column subject text unique,
  add column email text,
  -- When the token was issued that name and email are from.
  add column told_at timestamptz;

create table public.board_members (
  board_id bigint not null references public.boards (id) on delete cascade,
  -- No reference: somebody can be a member before the first login.
  subject text not null,
  primary key (board_id, subject)
);

-- Not published: what is in here is for policies and for the server.
create schema app;

create function app.subject() returns text
language sql
stable
return nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub';

-- Called as whoever logs in (`auth.profile_function`). It runs as its owner, since nobody may write to `users`, and
-- believes nothing but the claims, which are verified.
create function app.sync_profile() returns void
language sql
security definer
set search_path = ''
begin atomic
  insert into public.users as kept (subject, name, email, hue, told_at)
  select
    claims ->> 'sub',
    claims ->> 'name',
    claims ->> 'email',
    abs(hashtext(claims ->> 'sub')) % 360,
    to_timestamp((claims ->> 'iat')::bigint)
  from (select current_setting('request.jwt.claims')::json) as token (claims)
  on conflict (subject) do update set
    name = excluded.name,
    email = excluded.email,
    told_at = excluded.told_at
  -- A token from before says nothing new, and whom nothing is new of causes no change.
  where kept.told_at <= excluded.told_at
    and (kept.name, kept.email) is distinct from (excluded.name, excluded.email);
end;

revoke execute on function app.sync_profile() from public;
grant usage on schema app to member, lead;
grant execute on function app.sync_profile() to member, lead;

-- Names are for everybody, addresses for nobody.
grant select (id, name, hue) on public.users to member, lead;
grant select on public.boards, public.entries, public.comments, public.activities, public.kpi_values,
  public.board_members to member, lead;

alter table public.board_members enable row level security;
alter table public.boards enable row level security;
alter table public.entries enable row level security;
alter table public.comments enable row level security;
alter table public.activities enable row level security;
alter table public.kpi_values enable row level security;

create policy own on public.board_members for select to member
using (subject = app.subject());

create policy own on public.boards for select to member
using (id in (select board_id from public.board_members where subject = app.subject()));

create policy own on public.entries for select to member
using (board_id in (select board_id from public.board_members where subject = app.subject()));

create policy own on public.comments for select to member
using (board_id in (select board_id from public.board_members where subject = app.subject()));

create policy own on public.activities for select to member
using (board_id in (select board_id from public.board_members where subject = app.subject()));

create policy own on public.kpi_values for select to member
using (board_id in (select board_id from public.board_members where subject = app.subject()));

create policy every on public.board_members for select to lead using (true);
create policy every on public.boards for select to lead using (true);
create policy every on public.entries for select to lead using (true);
create policy every on public.comments for select to lead using (true);
create policy every on public.activities for select to lead using (true);
create policy every on public.kpi_values for select to lead using (true);
