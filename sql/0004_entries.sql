-- The cards of a board, and what is said about them.

create table public.entries (
  id bigint generated always as identity primary key,
  board_id bigint not null references public.boards (id) on delete cascade,
  title text not null check (length(title) between 1 and 500),
  body text not null default '' check (length(body) <= 100000),
  state_id bigint not null,
  -- Where the card stands in its state: texts that sort by their bytes. A card moves between two others by taking a text
  -- between theirs, and no two stand in the same place.
  position text collate "C" not null check (length(position) between 1 and 1000),
  priority smallint not null default 1 check (priority between 0 and 2),
  labels text[] not null default '{}' check (cardinality(labels) <= 20),
  category_id bigint,
  assignee_id text references public.users (id) on delete set null,
  due_at timestamptz,
  created_by text references public.users (id) on delete set null,
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  -- When it came into a state of kind `active` or `done` for the first time: work on it began, however often it was laid
  -- aside since.
  started_at timestamptz,
  -- Since when it has been in a state of kind `done`.
  closed_at timestamptz,
  constraint entries_place unique (state_id, position),
  unique (board_id, id),
  constraint entries_state foreign key (board_id, state_id) references public.workflow_states (board_id, id),
  constraint entries_category foreign key (board_id, category_id) references public.categories (board_id, id)
);

-- Subscriptions filter on columns beside the key, and clients show what changed: old images have to be whole.
alter table public.entries replica identity full;

-- Lists of a board, and its charts.
create index entries_board on public.entries (board_id, state_id, position);
create index entries_closed on public.entries (board_id, closed_at) where closed_at is not null;
create index entries_updated on public.entries (board_id, updated_at desc, id desc);
-- What has changed since, on any board: the history asks.
create index entries_changed on public.entries (updated_at, id);
create index entries_category on public.entries (category_id) where category_id is not null;
create index entries_assignee on public.entries (assignee_id) where assignee_id is not null;
create index entries_created_by on public.entries (created_by);
create index entries_due on public.entries (due_at) where due_at is not null and closed_at is null;

create trigger count_version before update on public.entries
for each row execute function app.count_version();

-- What a state asks of a card that comes into it, whoever brings it.
create function app.enter_state() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  allowed integer;
  present bigint;
  entered text;
begin
  -- Only where there is a limit do those who come at the same time wait for each other.
  select wip_limit into allowed
  from public.workflow_states
  where id = new.state_id
    and wip_limit is not null
  for no key update;
  if found then
    select count(*) into present from public.entries where state_id = new.state_id and id <> new.id;
    if present >= allowed then
      raise exception 'state % holds % entries at most', new.state_id, allowed
        using errcode = 'check_violation', constraint = 'workflow_states_wip_limit';
    end if;
  end if;
  select kind into entered from public.workflow_states where id = new.state_id;
  if entered <> 'open' then
    new.started_at := coalesce(new.started_at, now());
  end if;
  new.closed_at := case when entered = 'done' then coalesce(new.closed_at, now()) end;
  return new;
end;
$$;

create trigger enter_state_new before insert on public.entries
for each row execute function app.enter_state();
create trigger enter_state_moved before update of state_id on public.entries
for each row when (old.state_id is distinct from new.state_id)
execute function app.enter_state();

-- Whoever answers for a card belongs to its board. Who leaves at the same time waits, and is taken off it then. The
-- server's own role is bound by this as little as by policies.
create function app.answer_for() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform from public.board_members where board_id = new.board_id and user_id = new.assignee_id for key share;
  if not found and app.user_id() is not null then
    raise exception '% is no member of board %', new.assignee_id, new.board_id
      using errcode = 'check_violation', constraint = 'entries_assignee';
  end if;
  return new;
end;
$$;

create trigger answer_for_new before insert on public.entries
for each row when (new.assignee_id is not null)
execute function app.answer_for();
create trigger answer_for_changed before update of assignee_id on public.entries
for each row when (new.assignee_id is not null and old.assignee_id is distinct from new.assignee_id)
execute function app.answer_for();

create table public.comments (
  id bigint generated always as identity primary key,
  board_id bigint not null references public.boards (id) on delete cascade,
  entry_id bigint not null,
  author_id text references public.users (id) on delete set null,
  body text not null check (length(body) between 1 and 10000),
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  foreign key (board_id, entry_id) references public.entries (board_id, id) on delete cascade
);

-- A board's and an entry's comments are followed by filters on columns that the key does not hold.
alter table public.comments replica identity full;

create index comments_entry on public.comments (entry_id, created_at, id);
create index comments_board on public.comments (board_id, created_at);
create index comments_author on public.comments (author_id);

create trigger count_version before update on public.comments
for each row execute function app.count_version();

alter table public.entries enable row level security;
grant select, insert, update, delete on public.entries to app_user;
grant select on public.entries to app_lead;

create policy members on public.entries for select to app_user
using (board_id in (select m.board_id from public.board_members as m where m.user_id = (select app.user_id())));
create policy everything on public.entries for select to app_lead using (true);
create policy members_add on public.entries for insert to app_user
with check (app.may_edit(board_id) and created_by = (select app.user_id()));
create policy members_change on public.entries for update to app_user using (app.may_edit(board_id));
create policy members_delete on public.entries for delete to app_user using (app.may_edit(board_id));

alter table public.comments enable row level security;
grant select, insert, delete on public.comments to app_user;
grant update (body) on public.comments to app_user;
grant select on public.comments to app_lead;

create policy members on public.comments for select to app_user
using (board_id in (select m.board_id from public.board_members as m where m.user_id = (select app.user_id())));
create policy everything on public.comments for select to app_lead using (true);
create policy members_add on public.comments for insert to app_user
with check (app.may_edit(board_id) and author_id = (select app.user_id()));
create policy authors_change on public.comments for update to app_user
using (app.may_edit(board_id) and author_id = (select app.user_id()));
create policy authors_delete on public.comments for delete to app_user
using (app.may_edit(board_id) and (author_id = (select app.user_id()) or app.is_admin(board_id)));

-- Nobody answers for the cards of a board that is closed to them.
create function app.unassign() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update public.entries set assignee_id = null where board_id = old.board_id and assignee_id = old.user_id;
  return null;
end;
$$;

create trigger unassign after delete on public.board_members
for each row execute function app.unassign();
