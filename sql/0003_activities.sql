-- What happened, one row for each thing done, written in the transaction that did it.

create table public.activities (
  id bigint generated always as identity primary key,
  board_id bigint not null references public.boards (id) on delete cascade,
  at timestamptz not null default now(),
  actor_id bigint references public.users (id) on delete set null,
  action text not null
    check (action in ('created', 'moved', 'assigned', 'commented', 'edited', 'closed', 'reopened', 'archived')),
  -- No reference: the story outlives the card.
  entry_id bigint not null,
  -- What the feed shows without reading the card: its title, and what the action was about.
  detail jsonb not null default '{}'
);

-- Feeds are followed by board, and the oldest rows are deleted: the old image has to name the board.
alter table public.activities replica identity full;

create index activities_board_at
  on public.activities (board_id, at desc, id desc);

create index activities_entry
  on public.activities (entry_id, at desc);
