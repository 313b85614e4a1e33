-- Boards, and who may see and change them.

create table public.boards (
  id bigint generated always as identity primary key,
  name text not null check (length(name) between 1 and 200),
  description text not null default '' check (length(description) <= 10000),
  created_by text references public.users (id) on delete set null,
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index boards_created_by on public.boards (created_by);

create trigger count_version before update on public.boards
for each row execute function app.count_version();

create table public.board_members (
  board_id bigint not null references public.boards (id) on delete cascade,
  user_id text not null references public.users (id) on delete cascade,
  -- A viewer reads, a member works, an admin says who may.
  role text not null check (role in ('viewer', 'member', 'admin')),
  -- Whether the board's admins are shown how to reach them: theirs to say, since anybody may be made a member.
  shares_contact boolean not null default false,
  created_at timestamptz not null default now(),
  primary key (board_id, user_id)
);

-- What a user may see hangs on this table, found by user; and old images have to tell of whose rights they were.
create index board_members_user on public.board_members (user_id, board_id);
alter table public.board_members replica identity full;

-- Whether whoever asks belongs to a board. As their owner: a policy on `board_members` cannot ask `board_members`.
create function app.is_member(board bigint) returns boolean
language sql
stable
security definer
set search_path = ''
return exists (
  select
  from public.board_members as m
  where m.board_id = board
    and m.user_id = app.user_id()
);

create function app.may_edit(board bigint) returns boolean
language sql
stable
security definer
set search_path = ''
return exists (
  select
  from public.board_members as m
  where m.board_id = board
    and m.user_id = app.user_id()
    and m.role in ('member', 'admin')
);

create function app.is_admin(board bigint) returns boolean
language sql
stable
security definer
set search_path = ''
return exists (
  select
  from public.board_members as m
  where m.board_id = board
    and m.user_id = app.user_id()
    and m.role = 'admin'
);

-- Whether whoever asks is an admin of a board to whose admins somebody shows how to be reached.
create function app.administers(member text) returns boolean
language sql
stable
security definer
set search_path = ''
return exists (
  select
  from public.board_members as mine
  join public.board_members as theirs on theirs.board_id = mine.board_id
  where mine.user_id = app.user_id()
    and mine.role = 'admin'
    and theirs.user_id = member
    and theirs.shares_contact
);

alter table public.boards enable row level security;
grant select, insert, update, delete on public.boards to app_user;
-- Whoever founds a board asks for its number then.
grant usage on sequence public.boards_id_seq to app_user;
grant select on public.boards to app_lead;

create policy members on public.boards for select to app_user
using (id in (select m.board_id from public.board_members as m where m.user_id = (select app.user_id())));
create policy everything on public.boards for select to app_lead using (true);
create policy founders on public.boards for insert to app_user with check (created_by = (select app.user_id()));
create policy admins_change on public.boards for update to app_user using (app.is_admin(id));
create policy admins_delete on public.boards for delete to app_user using (app.is_admin(id));

alter table public.board_members enable row level security;
grant select, insert (board_id, user_id, role), delete on public.board_members to app_user;
grant update (role) on public.board_members to app_user;
grant select on public.board_members to app_lead;

-- One's own are found without asking for each of them.
create policy fellows on public.board_members for select to app_user
using (user_id = (select app.user_id()) or app.is_member(board_id));
create policy everything on public.board_members for select to app_lead using (true);
create policy admins_add on public.board_members for insert to app_user with check (app.is_admin(board_id));
create policy admins_change on public.board_members for update to app_user using (app.is_admin(board_id));
create policy admins_remove on public.board_members for delete to app_user using (app.is_admin(board_id));
create policy leave on public.board_members for delete to app_user using (user_id = (select app.user_id()));

-- Whoever founds a board is its first admin.
create function app.found_board() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.created_by is not null then
    insert into public.board_members (board_id, user_id, role) values (new.id, new.created_by, 'admin');
  end if;
  return null;
end;
$$;

create trigger found_board after insert on public.boards
for each row execute function app.found_board();

-- A board that had an admin keeps one. Those who leave at the same time wait for each other.
create function app.keep_an_admin() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform from public.boards where id = old.board_id for no key update;
  if found and not exists (
    select from public.board_members where board_id = old.board_id and role = 'admin'
  ) then
    raise exception 'board % needs an admin', old.board_id
      using errcode = 'check_violation', constraint = 'boards_admin';
  end if;
  return null;
end;
$$;

create constraint trigger keep_an_admin after update or delete on public.board_members
deferrable initially deferred
for each row when (old.role = 'admin')
execute function app.keep_an_admin();

-- Shows the admins of a board how one can be reached, or no longer: nobody does that for another.
create function app.share_contact(board bigint, shared boolean) returns setof public.board_members
language sql
security definer
set search_path = ''
begin atomic
  update public.board_members
  set shares_contact = shared
  where board_id = board
    and user_id = app.user_id()
  returning *;
end;

revoke execute on function app.share_contact(bigint, boolean) from public;
grant execute on function app.share_contact(bigint, boolean) to app_user;

-- One's own contacts are one's own; admins may reach those people of their boards who let them.
alter table app.user_contacts enable row level security;
grant select, insert, update, delete on app.user_contacts to app_user, app_lead;
create policy own on app.user_contacts to app_user, app_lead
using (user_id = (select app.user_id()))
with check (user_id = (select app.user_id()));
create policy admins on app.user_contacts for select to app_user using (app.administers(user_id));
