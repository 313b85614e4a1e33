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

alter table public.kpi_values enable row level security;
grant select on public.kpi_values to app_user, app_lead;
create policy members on public.kpi_values for select to app_user
using (board_id in (select m.board_id from public.board_members as m where m.user_id = app.user_id()));
create policy everything on public.kpi_values for select to app_lead using (true);

-- A measure that gets past a threshold, in the transaction that took it.
create function app.alert_on_kpi() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  with crossed as (
    update public.alert_rules as r
    set past = not r.past
    where r.board_id = new.board_id
      and r.kpi = new.kpi
      and r.enabled
      -- A rule of somebody who has left tells nothing of the board any more.
      and exists (
        select
        from public.board_members as m
        where m.board_id = r.board_id and m.user_id = r.user_id
      )
      and r.past is distinct from (
        case r.comparison when 'above' then new.value > r.threshold else new.value < r.threshold end
      )
    returning r.id, r.user_id, r.past, r.comparison, r.threshold
  )
  insert into public.notifications (user_id, board_id, rule_id, kind, detail, about)
  select
    c.user_id,
    new.board_id,
    c.id,
    'kpi',
    jsonb_build_object(
      'kpi', new.kpi, 'value', new.value, 'comparison', c.comparison, 'threshold', c.threshold
    ),
    'rule ' || c.id || ' at ' || extract(epoch from new.measured_at)
  from crossed as c
  where c.past
  on conflict do nothing;
  return null;
end;
$$;

create trigger alert_on_new_kpi after insert on public.kpi_values
for each row execute function app.alert_on_kpi();
create trigger alert_on_kpi after update on public.kpi_values
for each row when (old.value is distinct from new.value)
execute function app.alert_on_kpi();
