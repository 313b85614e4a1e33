-- The history: what happened, what it comes to by hour, day and month. In a database of its own if there are many years of
-- it (`analytics.url`); nothing here refers to the application's tables.
--
-- All days and hours are UTC's.

-- Tables that are cut by time, and into what. Old parts go as a whole, which costs nothing.
create table analytics.partitioned (
  parent text primary key,
  step text not null check (step in ('day', 'month', 'year')),
  -- By TimescaleDB, where it is installed: it cuts by itself.
  hypertable boolean not null default false,
  -- Before this moment rows were let go: what was made of them is not made anew from what is left.
  retired_before timestamptz not null default '-infinity'
);

-- Makes the parts that rows from one moment to another go into.
create function analytics.prepare(wanted text, since timestamptz, until timestamptz) returns void
language plpgsql
set search_path = ''
set timezone = 'UTC'
as $$
declare
  cut analytics.partitioned;
  at timestamptz;
begin
  select * into strict cut from analytics.partitioned as p where p.parent = wanted;
  if cut.hypertable then
    return;
  end if;
  for at in
    select generate_series(date_trunc(cut.step, since), until, ('1 ' || cut.step)::interval)
  loop
    -- Looked up first: to make what is there takes a lock on all of them.
    if to_regclass(format('analytics.%I', wanted || to_char(at, '_YYYYMMDD'))) is null then
      execute format(
        'create table if not exists analytics.%I partition of analytics.%I for values from (%L) to (%L)',
        wanted || to_char(at, '_YYYYMMDD'), wanted, at, at + ('1 ' || cut.step)::interval
      );
    end if;
  end loop;
end;
$$;

-- Drops the parts of which all rows are older; how many.
create function analytics.retire(wanted text, before timestamptz) returns bigint
language plpgsql
set search_path = ''
set timezone = 'UTC'
as $$
declare
  cut analytics.partitioned;
  part record;
  gone timestamptz;
  count bigint := 0;
begin
  select * into strict cut from analytics.partitioned as p where p.parent = wanted;
  if cut.hypertable then
    execute format('select count(*) from public.drop_chunks(%L, %L::timestamptz)', 'analytics.' || wanted, before) into count;
    -- Where it cut is its own affair: rows may be gone up to there.
    gone := case when count > 0 then before end;
  else
    for part in
      select c.relname, to_timestamp(right(c.relname, 8), 'YYYYMMDD') + ('1 ' || cut.step)::interval as ends
      from pg_catalog.pg_inherits as i
      join pg_catalog.pg_class as c on c.oid = i.inhrelid
      where i.inhparent = to_regclass(format('analytics.%I', wanted))
        and to_timestamp(right(c.relname, 8), 'YYYYMMDD') + ('1 ' || cut.step)::interval <= before
    loop
      execute format('drop table analytics.%I', part.relname);
      gone := greatest(gone, part.ends);
      count := count + 1;
    end loop;
  end if;
  update analytics.partitioned as p
  set retired_before = greatest(p.retired_before, gone)
  where p.parent = wanted
    and gone is not null;
  return count;
end;
$$;

-- Where each source was read last. Rows are numbered when they are written and seen when they are committed: what lay
-- below a number is all there once every transaction has ended that ran when the number was looked at.
create table analytics.watermarks (
  source text primary key,
  -- All up to here is loaded.
  settled_id bigint not null default 0,
  -- Up to where numbers had been given when it was read last, and the first transaction that had not begun then.
  seen_id bigint not null default 0,
  seen_xmax bigint not null default 0,
  -- Up to where it was read last, and the oldest transaction that ran then: what older ones wrote up to there is loaded.
  read_id bigint not null default 0,
  read_xmin bigint not null default 0,
  settled_at timestamptz not null default '-infinity',
  seen_at timestamptz not null default '-infinity'
);

create table analytics.dim_boards (
  board_id bigint primary key,
  name text not null,
  gone boolean not null default false
);

create table analytics.dim_users (
  user_id text primary key,
  name text not null,
  gone boolean not null default false
);

create table analytics.dim_states (
  state_id bigint primary key,
  board_id bigint not null,
  name text not null,
  kind text not null,
  ordinal smallint not null,
  gone boolean not null default false
);

create index dim_states_board on analytics.dim_states (board_id, name);

create table analytics.dim_categories (
  category_id bigint primary key,
  board_id bigint not null,
  name text not null,
  gone boolean not null default false
);

-- A card, as it was read last; its state by number and as that is called now.
create table analytics.fact_entries (
  entry_id bigint primary key,
  board_id bigint not null,
  state_id bigint,
  state text not null,
  category_id bigint,
  assignee_id text,
  created_at timestamptz not null,
  started_at timestamptz,
  closed_at timestamptz,
  due_at timestamptz,
  lead_seconds bigint,
  cycle_seconds bigint,
  on_time boolean,
  version integer not null,
  -- The card or its board was deleted.
  gone boolean not null default false
);

create index fact_entries_board on analytics.fact_entries (board_id, closed_at);
create index fact_entries_created on analytics.fact_entries (board_id, created_at);
create index fact_entries_day on analytics.fact_entries (created_at);

create table analytics.fact_activities (
  activity_id bigint not null,
  at timestamptz not null,
  board_id bigint not null,
  entry_id bigint,
  actor_id text,
  subject text not null,
  action text not null,
  -- Of a movement: what the states were called then, and which they are, where that is known.
  from_state text,
  to_state text,
  from_state_id bigint,
  to_state_id bigint,
  primary key (activity_id, at)
) partition by range (at);

create index fact_activities_at on analytics.fact_activities using brin (at);
create index fact_activities_board on analytics.fact_activities (board_id, at);
create index fact_activities_entry on analytics.fact_activities (entry_id, at) where subject = 'entry';
insert into analytics.partitioned (parent, step) values ('fact_activities', 'month');

create table analytics.fact_user_actions (
  action_id bigint not null,
  at timestamptz not null,
  user_id text not null,
  action text not null,
  subject text not null,
  board_id bigint,
  entry_id bigint,
  primary key (action_id, at)
) partition by range (at);

create index fact_user_actions_at on analytics.fact_user_actions using brin (at);
insert into analytics.partitioned (parent, step) values ('fact_user_actions', 'month');

-- How long a card was in a state, by its activities; the last one lasts. A state goes by its number, as states are renamed; by
-- what it was called where nobody knows which it was.
create table analytics.fact_spans (
  entry_id bigint not null,
  place integer not null,
  board_id bigint not null,
  state text not null,
  entered_at timestamptz not null,
  left_at timestamptz,
  primary key (entry_id, place)
);

create index fact_spans_entered on analytics.fact_spans (board_id, entered_at);
create index fact_spans_left on analytics.fact_spans (board_id, left_at) where left_at is not null;
-- Exports go by day.
create index fact_spans_day on analytics.fact_spans (entered_at);

-- What was not loaded, and why.
create table analytics.rejects (
  source text not null,
  source_id bigint not null,
  reason text not null,
  content jsonb not null,
  rejected_at timestamptz not null default now(),
  primary key (source, source_id)
);

-- Cards and boards of which something was loaded that nothing was derived from yet: in the same transaction.
create table analytics.touched (
  board_id bigint not null,
  entry_id bigint not null default 0,
  since timestamptz not null,
  primary key (board_id, entry_id)
);

-- What measures were: each change by the minute; by hour, day and month.
do $$
declare
  wanted text;
  -- TimescaleDB cuts tables of its own accord, and drops what is old.
  timescale constant boolean := exists (select from pg_catalog.pg_extension where extname = 'timescaledb');
begin
  foreach wanted in array array['kpi_values_raw', 'kpi_values_hour', 'kpi_values_day'] loop
    execute format(
      'create table analytics.%I (
        board_id bigint not null,
        kpi text not null,
        item text not null,
        at timestamptz not null,
        value double precision not null,
        least double precision not null,
        most double precision not null,
        samples integer not null,
        primary key (board_id, kpi, item, at) include (value)
      ) %s',
      wanted, case when timescale then '' else 'partition by range (at)' end
    );
    if timescale then
      execute format('select public.create_hypertable(%L, ''at'')', 'analytics.' || wanted);
    end if;
    execute format('create index %I on analytics.%I using brin (at)', wanted || '_at', wanted);
  end loop;
  insert into analytics.partitioned (parent, step, hypertable) values
    ('kpi_values_raw', 'day', timescale),
    ('kpi_values_hour', 'month', timescale),
    ('kpi_values_day', 'year', timescale);
end;
$$;

create table analytics.kpi_values_month (like analytics.kpi_values_day including all);

create view analytics.kpi_values as
select 'raw' as resolution, board_id, kpi, item, at, value, least, most, samples from analytics.kpi_values_raw
union all
select 'hour', board_id, kpi, item, at, value, least, most, samples from analytics.kpi_values_hour
union all
select 'day', board_id, kpi, item, at, value, least, most, samples from analytics.kpi_values_day
union all
select 'month', board_id, kpi, item, at, value, least, most, samples from analytics.kpi_values_month;

-- What charts show, by day. `flow` has the days on which something changed; between them it stays. Series that are states go
-- by number, as spans do.
create table analytics.chart_data (
  chart text not null,
  board_id bigint not null,
  series text not null,
  day date not null,
  y double precision not null,
  primary key (board_id, chart, series, day) include (y)
);
