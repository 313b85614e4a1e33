-- What cards can be: their categories, the states they pass through, and the ways between these.

create table public.categories (
  id bigint generated always as identity primary key,
  board_id bigint not null references public.boards (id) on delete cascade,
  name text not null check (length(name) between 1 and 100),
  hue smallint not null default 210 check (hue between 0 and 359),
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint categories_name unique (board_id, name),
  unique (board_id, id)
);

create table public.workflows (
  id bigint generated always as identity primary key,
  -- A board has one.
  board_id bigint not null references public.boards (id) on delete cascade,
  name text not null check (length(name) between 1 and 100),
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint workflows_board unique (board_id)
);

create table public.workflow_states (
  id bigint generated always as identity primary key,
  workflow_id bigint not null references public.workflows (id) on delete cascade,
  board_id bigint not null references public.boards (id) on delete cascade,
  name text not null check (length(name) between 1 and 100),
  -- Cards in a state of kind `done` are closed.
  kind text not null check (kind in ('open', 'active', 'done')),
  -- From left to right.
  ordinal smallint not null,
  -- The most cards at once; null for any number.
  wip_limit integer check (wip_limit between 1 and 10000),
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint workflow_states_name unique (board_id, name),
  unique (board_id, id)
);

create index workflow_states_workflow on public.workflow_states (workflow_id, ordinal);

create table public.workflow_transitions (
  id bigint generated always as identity primary key,
  workflow_id bigint not null references public.workflows (id) on delete cascade,
  board_id bigint not null references public.boards (id) on delete cascade,
  name text not null check (length(name) between 1 and 100),
  from_state_id bigint not null,
  to_state_id bigint not null,
  -- Whom it takes at least.
  role text not null default 'member' check (role in ('member', 'admin')),
  -- Columns of the entry that must not be empty by then.
  required text[] not null default '{}',
  -- A condition on the entry in the language of filters; null for none.
  guard text,
  -- What follows, in order: see `command::workflow`.
  effects jsonb not null default '[]' check (jsonb_typeof(effects) = 'array'),
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  -- A move by hand finds its transition by its ends, a request by its name.
  constraint workflow_transitions_ends unique (from_state_id, to_state_id),
  constraint workflow_transitions_name unique (from_state_id, name),
  foreign key (board_id, from_state_id) references public.workflow_states (board_id, id) on delete cascade,
  foreign key (board_id, to_state_id) references public.workflow_states (board_id, id) on delete cascade
);

create index workflow_transitions_board on public.workflow_transitions (board_id);
create index workflow_transitions_workflow on public.workflow_transitions (workflow_id);
create index workflow_transitions_to on public.workflow_transitions (to_state_id);

do $$
declare
  name text;
begin
  foreach name in array array['categories', 'workflows', 'workflow_states', 'workflow_transitions'] loop
    execute format('alter table public.%I replica identity full', name);
    execute format('alter table public.%I enable row level security', name);
    execute format('grant select on public.%I to app_user, app_lead', name);
    execute format('grant insert, update, delete on public.%I to app_user', name);
    execute format(
      'create trigger count_version before update on public.%I for each row execute function app.count_version()', name
    );
    execute format(
      'create policy members on public.%I for select to app_user
       using (board_id in (select m.board_id from public.board_members as m where m.user_id = (select app.user_id())))', name
    );
    execute format('create policy everything on public.%I for select to app_lead using (true)', name);
  end loop;
end;
$$;

create policy members_add on public.categories for insert to app_user with check (app.may_edit(board_id));
create policy members_change on public.categories for update to app_user using (app.may_edit(board_id));
create policy members_delete on public.categories for delete to app_user using (app.may_edit(board_id));

create policy admins_add on public.workflows for insert to app_user with check (app.is_admin(board_id));
create policy admins_change on public.workflows for update to app_user using (app.is_admin(board_id));
create policy admins_delete on public.workflows for delete to app_user using (app.is_admin(board_id));

create policy admins_add on public.workflow_states for insert to app_user with check (app.is_admin(board_id));
create policy admins_change on public.workflow_states for update to app_user using (app.is_admin(board_id));
create policy admins_delete on public.workflow_states for delete to app_user using (app.is_admin(board_id));

create policy admins_add on public.workflow_transitions for insert to app_user with check (app.is_admin(board_id));
create policy admins_change on public.workflow_transitions for update to app_user using (app.is_admin(board_id));
create policy admins_delete on public.workflow_transitions for delete to app_user using (app.is_admin(board_id));

-- Gives a board what most boards want: four states, and every way between them. It runs as whoever asks.
create function app.plant_workflow(board bigint) returns void
language sql
set search_path = ''
begin atomic
  insert into public.workflows (board_id, name) values (board, 'Standard');
  insert into public.workflow_states (workflow_id, board_id, name, kind, ordinal)
  select w.id, board, s.name, s.kind, s.ordinal
  from public.workflows as w
  cross join (
    values ('Backlog', 'open', 1), ('In progress', 'active', 2), ('Review', 'active', 3), ('Done', 'done', 4)
  ) as s (name, kind, ordinal)
  where w.board_id = board;
  insert into public.workflow_transitions (workflow_id, board_id, name, from_state_id, to_state_id)
  select a.workflow_id, board, n.name, a.id, b.id
  from (
    values
      ('start', 'Backlog', 'In progress'),
      ('submit', 'In progress', 'Review'),
      ('approve', 'Review', 'Done'),
      ('finish', 'In progress', 'Done'),
      ('close', 'Backlog', 'Done'),
      ('skip', 'Backlog', 'Review'),
      ('return', 'Review', 'In progress'),
      ('defer', 'In progress', 'Backlog'),
      ('withdraw', 'Review', 'Backlog'),
      ('reopen', 'Done', 'In progress'),
      ('recheck', 'Done', 'Review'),
      ('restore', 'Done', 'Backlog')
  ) as n (name, from_name, to_name)
  join public.workflow_states as a on a.board_id = board and a.name = n.from_name
  join public.workflow_states as b on b.board_id = board and b.name = n.to_name;
end;

grant execute on function app.plant_workflow(bigint) to app_user;
