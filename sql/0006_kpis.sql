-- Measures: what they are, what is counted for them, and what each comes to now. Their history is kept elsewhere
-- (`sql/analytics/`).

-- What is measured. The server brings a dozen; a row more is one more, by a query of one's own.
create table public.kpis (
  name text primary key check (name ~ '^[a-z][a-z0-9_]{0,99}$'),
  title text not null check (length(title) between 1 and 100),
  description text not null default '',
  unit text not null check (unit in ('cards', 'seconds', 'share', 'activities', 'number')),
  -- What its parts are; null for one number a board.
  dimension text check (dimension in ('state', 'category', 'person')),
  -- Kept as changes come in, or null for the server's own ways; else SQL that gives `board_id bigint, item text,
  -- value double precision`, read as the server's role whenever `refresh` says.
  query text,
  -- A cron expression; null for as changes come in.
  refresh text,
  -- Which members of a board see it.
  audience text not null default 'members' check (audience in ('members', 'admins')),
  enabled boolean not null default true,
  -- How many days of its history are kept, by the minute and by the month; null for as long as that of others.
  retention_days integer check (retention_days > 0),
  -- Up to when its history was computed; null for never.
  computed_at timestamptz,
  constraint kpis_way check ((query is null) = (refresh is null))
);

-- So that a load that tells of its end is told from a definition that changes.
alter table public.kpis replica identity full;
alter table public.kpis enable row level security;
-- Not what is asked of the database for them.
grant select (name, title, description, unit, dimension, audience, enabled, retention_days, computed_at) on public.kpis to app_user, app_lead;
create policy everybody on public.kpis for select to app_user, app_lead using (true);

insert into public.kpis (name, title, unit, dimension, audience, description) values
  ('open', 'Open', 'cards', null, 'members', 'Cards in states that are not of kind `done`.'),
  ('work_in_progress', 'In progress', 'cards', null, 'members', 'Cards in states of kind `active`.'),
  ('entries_by_state', 'By state', 'cards', 'state', 'members',
    'Cards in each state, by its number: over time, the cumulative flow.'),
  ('entries_by_category', 'By category', 'cards', 'category', 'members',
    'Cards that are not done, by the number of their category; `-` for none.'),
  ('entries_by_assignee', 'By person', 'cards', 'person', 'members',
    'Cards that are not done, by who answers for them; `-` for nobody.'),
  ('throughput', 'Throughput', 'cards', null, 'members',
    'Cards that were done within the last 24 hours, by whole hours with this one, and are done still.'),
  ('lead_time_p50', 'Lead time, half', 'seconds', null, 'members',
    'From creation to done: half of the cards that were done within 30 days (UTC) took no longer. To within 2 %.'),
  ('lead_time_p85', 'Lead time, 85 %', 'seconds', null, 'members',
    'From creation to done: 85 % of the cards that were done within 30 days (UTC) took no longer. To within 2 %.'),
  ('cycle_time_p50', 'Cycle time, half', 'seconds', null, 'members',
    'From the start of work to done: half of the cards that were done within 30 days (UTC) took no longer. To within 2 %.'),
  ('cycle_time_p85', 'Cycle time, 85 %', 'seconds', null, 'members',
    'From the start of work to done: 85 % of the cards that were done within 30 days (UTC) took no longer. To within 2 %.'),
  ('sla_attainment', 'On time', 'share', null, 'members',
    'Of the cards with a due date that were done within 30 days (UTC), the share that was done by then, from 0 to 1.'),
  ('activity_by_user', 'Activity', 'activities', 'person', 'admins',
    'What each person did within 7 days (UTC); `-` for those who have gone.');

insert into public.kpis (name, title, unit, dimension, refresh, description, query) values
  ('time_in_state', 'Time in state', 'seconds', 'state', '35 * * * *',
    'How long cards were in each state, by its number, on average: of those that left it within 30 days.', '
select s.board_id, s.id::text as item, avg(extract(epoch from m.at - m.since))::double precision as value
from (
  select
    a.board_id, a.detail ->> ''from_id'' as state_id, a.detail ->> ''from'' as state, a.at,
    coalesce(
      (
        select b.at
        from public.activities as b
        where b.entry_id = a.entry_id
          and b.subject = ''entry''
          and b.action in (''moved'', ''closed'', ''reopened'')
          and b.detail ->> ''from'' is distinct from b.detail ->> ''to''
          and (b.at, b.id) < (a.at, a.id)
        order by b.at desc, b.id desc
        limit 1
      ),
      e.created_at
    ) as since
  from public.activities as a
  join public.entries as e on e.id = a.entry_id
  where a.at >= now() - interval ''30 days''
    and a.at <= now()
    and a.subject = ''entry''
    and a.action in (''moved'', ''closed'', ''reopened'')
    and a.detail ->> ''from'' is distinct from a.detail ->> ''to''
) as m
join public.workflow_states as s
  on s.board_id = m.board_id and (s.id::text = m.state_id or m.state_id is null and s.name = m.state)
where m.at > m.since
group by s.board_id, s.id');

insert into public.kpis (name, title, unit, refresh, description, query) values
  ('overdue', 'Overdue', 'cards', '* * * * *', 'Cards that are not done though they were due.', '
select b.id as board_id, '''' as item, count(e.id)::double precision as value
from public.boards as b
left join public.entries as e on e.board_id = b.id and e.due_at <= now() and e.closed_at is null
group by b.id'),
  ('transitions_failed', 'Refused', 'number', '*/5 * * * *',
    'Moves and transitions of cards that were refused within the last 24 hours: no way there, guards, roles, missing fields, limits.', '
select b.id as board_id, '''' as item, count(a.id)::double precision as value
from public.boards as b
left join (
  select e.board_id, a.id
  from app.user_actions as a
  join public.entries as e on e.id = a.entry_id
  where a.action = ''refused''
    and a.at > now() - interval ''24 hours''
) as a on a.board_id = b.id
group by b.id');

-- What each comes to now, for those who follow it.
create table public.kpi_values (
  board_id bigint not null references public.boards (id) on delete cascade,
  kpi text not null references public.kpis (name) on delete cascade,
  -- Which part, where it has a dimension; empty for the whole.
  item text not null default '',
  value double precision not null,
  -- As the definition says: policies go by it.
  audience text not null default 'members' check (audience in ('members', 'admins')),
  -- Its last values by the minute, the oldest first: enough for a line of an inch. Minutes without a change are left out.
  recent double precision[] not null default '{}',
  -- Since when it has been this.
  measured_at timestamptz not null default now(),
  primary key (board_id, kpi, item)
);

-- Policies look at more than the key, also of a row that goes.
alter table public.kpi_values replica identity full;

create index kpi_values_kpi on public.kpi_values (kpi);

alter table public.kpi_values enable row level security;
grant select on public.kpi_values to app_user, app_lead;
create policy members on public.kpi_values for select to app_user
using (
  audience = 'members'
  and board_id in (select m.board_id from public.board_members as m where m.user_id = (select app.user_id()))
);
create policy admins on public.kpi_values for select to app_user
using (
  board_id in (
    select m.board_id from public.board_members as m where m.user_id = (select app.user_id()) and m.role = 'admin'
  )
);
create policy everything on public.kpi_values for select to app_lead using (true);

-- Who may see a measure is what its definition says, from the moment that it does; one that is no longer taken has no
-- value.
create function app.define_kpi() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if not new.enabled then
    delete from public.kpi_values where kpi = new.name;
  elsif new.audience <> old.audience then
    update public.kpi_values set audience = new.audience where kpi = new.name;
  end if;
  return null;
end;
$$;

create trigger define_kpi after update of audience, enabled on public.kpis
for each row when (old.audience <> new.audience or old.enabled <> new.enabled)
execute function app.define_kpi();

-- Whether a measure's value is past a rule's threshold.
create function app.is_past(comparison text, value double precision, threshold double precision) returns boolean
language sql
immutable
return case comparison when 'above' then value > threshold else value < threshold end;

-- A rule of a measure that is new, or another than before, begins with what the measure is: who asks to be told when it is
-- past a threshold is told at once if it is. A rule of somebody who may not see the measure begins as not past.
create function app.arm_rule() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  new.past := new.kind = 'kpi' and new.enabled and exists (
    select
    from public.kpi_values as v
    join public.board_members as m on m.board_id = v.board_id and m.user_id = new.user_id
    where v.board_id = new.board_id
      and v.kpi = new.kpi
      and v.item = ''
      and (v.audience = 'members' or m.role = 'admin')
      and app.is_past(new.comparison, v.value, new.threshold)
  );
  return new;
end;
$$;

create trigger arm_rule before insert or update of kind, board_id, kpi, comparison, threshold, enabled on public.alert_rules
for each row execute function app.arm_rule();

-- Tells of a rule whose measure has got past its threshold.
create function app.tell_past(rule public.alert_rules, value double precision, measured_at timestamptz) returns void
language sql
set search_path = ''
as $$
  insert into public.notifications (user_id, board_id, rule_id, kind, detail, about)
  values (
    rule.user_id,
    rule.board_id,
    rule.id,
    'kpi',
    jsonb_build_object('kpi', rule.kpi, 'value', value, 'comparison', rule.comparison, 'threshold', rule.threshold),
    'rule ' || rule.id || ' at ' || extract(epoch from measured_at)
  )
  on conflict do nothing;
$$;
revoke execute on function app.tell_past(public.alert_rules, double precision, timestamptz) from public;

create function app.tell_of_armed() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform app.tell_past(new, v.value, v.measured_at)
  from public.kpi_values as v
  where v.board_id = new.board_id
    and v.kpi = new.kpi
    and v.item = '';
  return null;
end;
$$;

create trigger tell_of_new after insert on public.alert_rules
for each row when (new.past)
execute function app.tell_of_armed();
create trigger tell_of_changed after update of kind, board_id, kpi, comparison, threshold, enabled on public.alert_rules
for each row when (new.past and not old.past)
execute function app.tell_of_armed();

-- A measure that gets past a threshold, in the transaction that took it. Rules are about wholes.
create function app.alert_on_kpi() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  crossed public.alert_rules;
begin
  for crossed in
    update public.alert_rules as r
    set past = not r.past
    where r.board_id = new.board_id
      and r.kpi = new.kpi
      and r.enabled
      -- A rule of somebody who has left, or may not see the measure, tells nothing of the board any more.
      and exists (
        select
        from public.board_members as m
        where m.board_id = r.board_id
          and m.user_id = r.user_id
          and (new.audience = 'members' or m.role = 'admin')
      )
      and r.past is distinct from app.is_past(r.comparison, new.value, r.threshold)
    returning r.*
  loop
    if crossed.past then
      perform app.tell_past(crossed, new.value, new.measured_at);
    end if;
  end loop;
  return null;
end;
$$;

create trigger alert_on_new_kpi after insert on public.kpi_values
for each row when (new.item = '')
execute function app.alert_on_kpi();
create trigger alert_on_kpi after update on public.kpi_values
for each row when (new.item = '' and old.value is distinct from new.value)
execute function app.alert_on_kpi();

-- What is counted, kept from the log change by change (`src/analytics/`). No reference: what a board that has gone was
-- counted for goes with its cards.
create table app.kpi_counters (
  board_id bigint not null,
  -- Of what: see `app.kpi_counted`.
  measure text not null,
  item text not null,
  -- The hour or the day (UTC) to which it belongs; `-infinity` for what holds now.
  at timestamptz not null,
  count bigint not null,
  -- Seconds, where it is about spans of time.
  sum bigint not null,
  primary key (board_id, measure, item, at)
);

-- What is about the last hours and days lies behind years of them.
create index kpi_counters_at on app.kpi_counters (board_id, measure, at) include (item, count) where at > '-infinity';

alter table app.kpi_counters enable row level security;
grant select on app.kpi_counters to app_user, app_lead;
-- What each person did is for admins, as the measure is.
create policy members on app.kpi_counters for select to app_user
using (
  measure <> 'actor'
  and board_id in (select m.board_id from public.board_members as m where m.user_id = (select app.user_id()))
);
create policy admins on app.kpi_counters for select to app_user
using (
  board_id in (
    select m.board_id from public.board_members as m where m.user_id = (select app.user_id()) and m.role = 'admin'
  )
);
create policy everything on app.kpi_counters for select to app_lead using (true);

-- When each board's counters were written last, in the same transaction: who shows charts follows it.
create table public.kpi_boards (
  board_id bigint primary key references public.boards (id) on delete cascade,
  counted_at timestamptz not null default now()
);

alter table public.kpi_boards enable row level security;
grant select on public.kpi_boards to app_user, app_lead;
create policy members on public.kpi_boards for select to app_user
using (board_id in (select m.board_id from public.board_members as m where m.user_id = (select app.user_id())));
create policy everything on public.kpi_boards for select to app_lead using (true);

-- Up to where in the journal they were counted, in the same transaction; null for nowhere: they are counted anew.
create table app.kpi_progress (
  single boolean primary key default true check (single),
  cursor text,
  -- By which rules; others count anew.
  rules integer not null default 0,
  -- What is asked for the last weeks alone is counted from here on.
  horizon timestamptz not null default date_trunc('day', now(), 'UTC') - interval '40 days',
  counted_at timestamptz
);

insert into app.kpi_progress default values;

-- Spans of time in 32 steps from each power of two to the next: whole numbers, so that everybody finds the same.
create function app.span_bin(seconds bigint) returns integer
language sql
immutable
strict
parallel safe
return case
  when seconds < 64 then greatest(seconds, 0)
  else (59 - position('1' in seconds::bit(64)::text)) * 32
    + (seconds >> (59 - position('1' in seconds::bit(64)::text)))
end::integer;

-- The middle of such a step.
create function app.span_of_bin(bin integer) returns double precision
language sql
immutable
strict
parallel safe
return case
  when bin < 64 then bin
  else ((bin - (bin / 32 - 1) * 32)::bigint << (bin / 32 - 1)) + (1::bigint << (bin / 32 - 1)) / 2.0
end;

-- All that is counted, by the tables as they are. What the log is counted by has to come to the same.
create view app.kpi_counted as
select board_id, 'state' as measure, state_id::text as item, timestamptz '-infinity' as at,
  count(*) as count, 0::bigint as sum
from public.entries
group by board_id, state_id
union all
select board_id, 'category', coalesce(category_id::text, ''), '-infinity', count(*), 0
from public.entries
where closed_at is null
group by board_id, category_id
union all
select board_id, 'assignee', coalesce(assignee_id, ''), '-infinity', count(*), 0
from public.entries
where closed_at is null
group by board_id, assignee_id
union all
select board_id, 'created', '', date_trunc('day', created_at, 'UTC'), count(*), 0
from public.entries
where isfinite(created_at)
group by board_id, date_trunc('day', created_at, 'UTC')
union all
select board_id, 'closed', '', date_trunc('day', closed_at, 'UTC'), count(*), 0
from public.entries
where isfinite(closed_at)
group by board_id, date_trunc('day', closed_at, 'UTC')
union all
select board_id, 'hour', '', date_trunc('hour', closed_at, 'UTC'), count(*), 0
from public.entries
where isfinite(closed_at) and closed_at >= (select horizon from app.kpi_progress)
group by board_id, date_trunc('hour', closed_at, 'UTC')
union all
select board_id, 'lead', app.span_bin(span)::text, day, count(*), sum(span)::bigint
from (
  select board_id, date_trunc('day', closed_at, 'UTC') as day,
    greatest(floor(extract(epoch from closed_at - created_at)), 0)::bigint as span
  from public.entries
  where isfinite(closed_at) and closed_at >= (select horizon from app.kpi_progress) and isfinite(created_at)
) as leads
group by board_id, app.span_bin(span), day
union all
select board_id, 'cycle', app.span_bin(span)::text, day, count(*), sum(span)::bigint
from (
  select board_id, date_trunc('day', closed_at, 'UTC') as day,
    greatest(floor(extract(epoch from closed_at - started_at)), 0)::bigint as span
  from public.entries
  where isfinite(closed_at) and closed_at >= (select horizon from app.kpi_progress) and isfinite(started_at)
) as cycles
group by board_id, app.span_bin(span), day
union all
select board_id, 'due', case when closed_at <= due_at then 'met' else 'missed' end,
  date_trunc('day', closed_at, 'UTC'), count(*), 0
from public.entries
where isfinite(closed_at) and closed_at >= (select horizon from app.kpi_progress) and due_at is not null
group by board_id, closed_at <= due_at, date_trunc('day', closed_at, 'UTC')
union all
select board_id, 'activity', '', date_trunc('day', at, 'UTC'), count(*), 0
from public.activities
where isfinite(at)
group by board_id, date_trunc('day', at, 'UTC')
union all
select board_id, 'actor', coalesce(actor_id, ''), date_trunc('day', at, 'UTC'), count(*), 0
from public.activities
where isfinite(at) and at >= (select horizon from app.kpi_progress)
group by board_id, actor_id, date_trunc('day', at, 'UTC');

-- When each measure that a query gives was read last.
create table app.kpi_queries (
  kpi text primary key references public.kpis (name) on delete cascade,
  measured_at timestamptz not null
);

-- Reads a measure by its query, and writes the values that have changed; how many. For the server alone.
create function app.measure(measure text) returns bigint
language plpgsql
set search_path = ''
as $$
declare
  definition public.kpis;
  changed bigint;
begin
  -- Held to the end: who may see it does not change while it is read.
  select * into definition from public.kpis where name = measure and query is not null and enabled for share;
  if not found then
    return 0;
  end if;
  insert into app.kpi_queries as kept (kpi, measured_at) values (measure, now())
  on conflict (kpi) do update set measured_at = excluded.measured_at;
  execute format(
    'with asked as materialized (%s),
    shown as materialized (
      select a.board_id::bigint as board_id, coalesce(a.item::text, '''') as item, a.value::double precision as value
      from asked as a
      join public.boards as b on b.id = a.board_id
      where a.value is not null
      order by 1, 2
      for key share of b
    ),
    gone as materialized (
      delete from public.kpi_values as v
      where v.kpi = $1
        and not exists (select from shown as s where s.board_id = v.board_id and s.item = v.item)
      returning 1
    ),
    written as (
      insert into public.kpi_values as kept (board_id, kpi, item, value, audience, recent)
      select board_id, $1, item, value, $2, array[value]
      from shown
      on conflict (board_id, kpi, item) do update set
        value = excluded.value,
        audience = excluded.audience,
        measured_at = now()
      where kept.value is distinct from excluded.value
        or kept.audience is distinct from excluded.audience
      returning 1
    )
    select (select count(*) from gone) + (select count(*) from written)',
    definition.query
  ) into changed using measure, definition.audience;
  return changed;
end;
$$;

revoke execute on function app.measure(text) from public;
