-- The cards of a board, and what is said about them.

create table public.entries (
  id bigint generated always as identity primary key,
  board_id bigint not null references public.boards (id) on delete cascade,
  title text not null check (title <> ''),
  body text not null default '',
  status text not null default 'backlog'
    check (status in ('backlog', 'in_progress', 'review', 'done', 'archived')),
  -- Where the card stands in its column. A card moves between two others by taking a number between theirs.
  position double precision not null,
  priority smallint not null default 1 check (priority between 0 and 2),
  labels text[] not null default '{}',
  assignee_id bigint references public.users (id) on delete set null,
  -- Counts the changes: who writes names the version that was read, and loses if it is no longer the newest.
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  closed_at timestamptz
);

-- Subscriptions filter on columns beside the key, and clients show what changed: old images have to be whole.
alter table public.entries replica identity full;

create index entries_board_status_position
  on public.entries (board_id, status, position);

create index entries_assignee
  on public.entries (assignee_id)
  where assignee_id is not null;

create table public.comments (
  id bigint generated always as identity primary key,
  board_id bigint not null references public.boards (id) on delete cascade,
  entry_id bigint not null references public.entries (id) on delete cascade,
  author_id bigint references public.users (id) on delete set null,
  body text not null check (body <> ''),
  created_at timestamptz not null default now()
);

-- A board's and an entry's comments are followed by filters on columns that the key does not hold.
alter table public.comments replica identity full;

create index comments_entry
  on public.comments (entry_id, created_at);

create index comments_board
  on public.comments (board_id, created_at);
