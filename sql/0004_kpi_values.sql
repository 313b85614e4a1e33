-- The newest value of each measure of each board. The board is part of the key, so a filter on it needs no more
-- than the key in old images.

create table public.kpi_values (
  board_id bigint not null references public.boards (id) on delete cascade,
  kpi text not null,
  value double precision not null,
  -- The last values, the oldest first: enough for a line of an inch.
  recent double precision[] not null default '{}',
  measured_at timestamptz not null default now(),
  primary key (board_id, kpi)
);
