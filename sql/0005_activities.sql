-- What happened, one row for each thing done, written in the transaction that did it; and who is told of it.

create table public.activities (
  id bigint generated always as identity primary key,
  board_id bigint not null references public.boards (id) on delete cascade,
  at timestamptz not null default now(),
  actor_id text references public.users (id) on delete set null,
  -- What it was done to.
  subject text not null check (subject in ('board', 'member', 'category', 'workflow', 'entry', 'comment')),
  action text not null check (length(action) between 1 and 40),
  -- No reference: the story outlives the card.
  entry_id bigint,
  -- What the feed shows without reading the card: its title, and what the action was about.
  detail jsonb not null default '{}' check (jsonb_typeof(detail) = 'object')
);

-- Feeds are followed by board, and the oldest rows are deleted: the old image has to name the board.
alter table public.activities replica identity full;

create index activities_board on public.activities (board_id, at desc, id desc);
create index activities_at on public.activities (at desc, id desc);
create index activities_entry on public.activities (entry_id, at desc, id desc);
create index activities_actor on public.activities (actor_id, at desc);

alter table public.activities enable row level security;
grant select on public.activities to app_user, app_lead;
grant insert (board_id, actor_id, subject, action, entry_id, detail) on public.activities to app_user;

create policy members on public.activities for select to app_user
using (board_id in (select m.board_id from public.board_members as m where m.user_id = (select app.user_id())));
create policy everything on public.activities for select to app_lead using (true);
-- One's own doings, on boards that one belongs to: also the last one, of leaving.
create policy doers on public.activities for insert to app_user
with check (actor_id = (select app.user_id()) and app.is_member(board_id));

create table public.alert_rules (
  -- The client's own choice, so that a rule which is sent again is the same rule.
  id uuid primary key,
  user_id text not null references public.users (id) on delete cascade,
  kind text not null check (kind in ('mention', 'assigned', 'watch', 'overdue', 'kpi')),
  -- Where it applies; null for every board.
  board_id bigint references public.boards (id) on delete cascade,
  -- What is watched.
  entry_id bigint,
  -- What is measured, and past what it alerts.
  kpi text check (length(kpi) <= 100),
  comparison text check (comparison in ('above', 'below')),
  threshold double precision,
  enabled boolean not null default true,
  -- Whether the measure was past the threshold when it was taken last: it alerts when it gets there, and not all the while.
  past boolean not null default false,
  version integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint alert_rules_shape check (
    case kind
      when 'watch' then entry_id is not null and board_id is not null
      when 'kpi' then board_id is not null and kpi is not null and comparison is not null and threshold is not null
      else entry_id is null and kpi is null
    end
  ),
  constraint alert_rules_entry foreign key (board_id, entry_id)
    references public.entries (board_id, id) on delete cascade
);

create index alert_rules_user on public.alert_rules (user_id, created_at, id);
create index alert_rules_board on public.alert_rules (board_id) where board_id is not null;
create index alert_rules_entry on public.alert_rules (entry_id) where entry_id is not null;
create index alert_rules_kpi on public.alert_rules (board_id, kpi) where kpi is not null;

-- Not where the server notes alone whether a measure is past: whoever edits the rule has read it as it is.
create trigger count_version before update on public.alert_rules
for each row when (
  (old.kind, old.board_id, old.entry_id, old.kpi, old.comparison, old.threshold, old.enabled)
  is distinct from (new.kind, new.board_id, new.entry_id, new.kpi, new.comparison, new.threshold, new.enabled)
) execute function app.count_version();

create table public.notifications (
  id bigint generated always as identity primary key,
  user_id text not null references public.users (id) on delete cascade,
  board_id bigint references public.boards (id) on delete cascade,
  entry_id bigint,
  -- By which rule; null for what a workflow sends.
  rule_id uuid references public.alert_rules (id) on delete set null,
  kind text not null,
  detail jsonb not null default '{}',
  -- What it is about, so that nobody is told of one thing twice.
  about text not null,
  created_at timestamptz not null default now(),
  read_at timestamptz,
  constraint notifications_once unique (user_id, kind, about)
);

-- A user's own are followed by a column that the key does not hold.
alter table public.notifications replica identity full;
alter table public.alert_rules replica identity full;

create index notifications_user on public.notifications (user_id, created_at desc, id desc);
create index notifications_board on public.notifications (board_id);
create index notifications_rule on public.notifications (rule_id);

alter table public.alert_rules enable row level security;
grant select, delete on public.alert_rules to app_user, app_lead;
grant insert (id, user_id, kind, board_id, entry_id, kpi, comparison, threshold, enabled) on public.alert_rules
  to app_user, app_lead;
grant update (kind, board_id, entry_id, kpi, comparison, threshold, enabled) on public.alert_rules
  to app_user, app_lead;
create policy own on public.alert_rules for select to app_user, app_lead using (user_id = (select app.user_id()));
create policy own_add on public.alert_rules for insert to app_user, app_lead
with check (user_id = (select app.user_id()) and (board_id is null or app.is_member(board_id)));
create policy own_change on public.alert_rules for update to app_user, app_lead
using (user_id = (select app.user_id()))
with check (user_id = (select app.user_id()) and (board_id is null or app.is_member(board_id)));
create policy own_delete on public.alert_rules for delete to app_user, app_lead using (user_id = (select app.user_id()));

alter table public.notifications enable row level security;
grant select, delete on public.notifications to app_user, app_lead;
grant update (read_at) on public.notifications to app_user, app_lead;
create policy own on public.notifications for select to app_user, app_lead using (user_id = (select app.user_id()));
create policy own_change on public.notifications for update to app_user, app_lead using (user_id = (select app.user_id()));
create policy own_delete on public.notifications for delete to app_user, app_lead using (user_id = (select app.user_id()));

-- Rules that everybody starts with. What they do not want, they switch off.
create function app.plant_rules() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into public.alert_rules (id, user_id, kind)
  select pg_catalog.gen_random_uuid(), new.id, kind from unnest(array['mention', 'assigned']) as kinds (kind);
  return null;
end;
$$;

create trigger plant_rules after insert on public.users
for each row execute function app.plant_rules();

-- Whether rule and board go together, for somebody who belongs to the board still.
create function app.alert_on_activity() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.entry_id is null then
    return null;
  end if;
  insert into public.notifications (user_id, board_id, entry_id, rule_id, kind, detail, about)
  select
    r.user_id,
    new.board_id,
    new.entry_id,
    r.id,
    r.kind,
    new.detail || jsonb_build_object('action', new.action, 'actor_id', new.actor_id),
    'activity ' || new.id
  from public.alert_rules as r
  join public.board_members as m on m.board_id = new.board_id and m.user_id = r.user_id
  where r.enabled
    and r.user_id is distinct from new.actor_id
    and (r.board_id is null or r.board_id = new.board_id)
    and (
      (r.kind = 'watch' and r.entry_id = new.entry_id)
      or (r.kind = 'assigned' and new.action = 'assigned' and r.user_id = new.detail ->> 'assignee_id')
    )
  on conflict do nothing;
  return null;
end;
$$;

create trigger alert_on_activity after insert on public.activities
for each row execute function app.alert_on_activity();

-- `@` and a member's id, as in `@ada` or `@Ada`: up to the next blank, with or without the marks that end a sentence. Also in what is
-- written later; nobody is told twice of one comment.
create function app.alert_on_comment() returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if position('@' in new.body) = 0 then
    return null;
  end if;
  insert into public.notifications (user_id, board_id, entry_id, rule_id, kind, detail, about)
  select
    m.user_id,
    new.board_id,
    new.entry_id,
    r.id,
    'mention',
    jsonb_build_object('text', left(new.body, 200), 'actor_id', new.author_id),
    'comment ' || new.id
  from public.board_members as m
  join public.alert_rules as r on r.user_id = m.user_id and r.kind = 'mention' and r.enabled
  where m.board_id = new.board_id
    and m.user_id is distinct from new.author_id
    and (r.board_id is null or r.board_id = new.board_id)
    and lower(m.user_id) in (
      select unnest(array[word[2], rtrim(word[2], '.,;:!?)]}''"')])
      from regexp_matches(lower(new.body), '(^|[^[:alnum:]_])@([^[:space:]]{1,255})', 'g') as words (word)
    )
  on conflict do nothing;
  return null;
end;
$$;

create trigger alert_on_comment after insert or update of body on public.comments
for each row execute function app.alert_on_comment();

-- Up to when late cards were told of.
create table app.upkeep (
  task text primary key,
  done_up_to timestamptz not null
);

insert into app.upkeep (task, done_up_to) values ('overdue', '-infinity');

-- Who was told that a card is late, and by which date: also those who have deleted what they were told.
create table app.overdue_told (
  entry_id bigint not null references public.entries (id) on delete cascade,
  user_id text not null references public.users (id) on delete cascade,
  due_at timestamptz not null,
  primary key (entry_id, user_id, due_at)
);

create index overdue_told_user on app.overdue_told (user_id);

-- Cards that have become late since it was called last: no command does that, time does. The server calls it every minute.
-- It looks ten minutes further back, since who wrote then may have committed later; nobody is told twice of one date.
create function app.alert_overdue() returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
  since timestamptz;
  count bigint;
begin
  select done_up_to into since from app.upkeep where task = 'overdue' for update;
  with late as (
    insert into app.overdue_told (entry_id, user_id, due_at)
    select distinct e.id, r.user_id, e.due_at
    from public.entries as e
    join public.board_members as m on m.board_id = e.board_id
    join public.alert_rules as r on r.user_id = m.user_id and r.kind = 'overdue' and r.enabled
    where e.due_at <= now()
      and e.closed_at is null
      and greatest(e.due_at, e.updated_at, r.updated_at, m.created_at) > since - interval '10 minutes'
      and (r.board_id is null or r.board_id = e.board_id)
      and (e.assignee_id is null or e.assignee_id = r.user_id)
    on conflict do nothing
    returning entry_id, user_id, due_at
  ),
  told as (
    insert into public.notifications (user_id, board_id, entry_id, rule_id, kind, detail, about)
    select
      l.user_id,
      e.board_id,
      e.id,
      (
        select r.id
        from public.alert_rules as r
        where r.user_id = l.user_id
          and r.kind = 'overdue'
          and r.enabled
          and (r.board_id is null or r.board_id = e.board_id)
        order by r.board_id nulls last, r.created_at, r.id
        limit 1
      ),
      'overdue',
      jsonb_build_object('title', e.title, 'due_at', l.due_at),
      'entry ' || e.id || ' due ' || extract(epoch from l.due_at)
    from late as l
    join public.entries as e on e.id = l.entry_id
    on conflict do nothing
    returning 1
  )
  select count(*) into count from told;
  update app.upkeep set done_up_to = now() where task = 'overdue';
  return count;
end;
$$;

revoke execute on function app.alert_overdue() from public;

-- What a transition sends to `audience`: the entry's assignee, its creator, those who watch it, or the board's admins.
create function app.notify(entry bigint, audience text, kind text, detail jsonb) returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  card public.entries;
begin
  select * into card from public.entries where id = entry;
  -- Without claims it is the server itself, which no policy binds.
  if not found
    or (nullif(current_setting('request.jwt.claims', true), '') is not null and not app.may_edit(card.board_id)) then
    raise exception 'entry % is not yours to tell of', entry using errcode = 'insufficient_privilege';
  end if;
  insert into public.notifications (user_id, board_id, entry_id, kind, detail, about)
  select m.user_id, card.board_id, card.id, notify.kind, notify.detail,
    'entry ' || card.id || ' version ' || card.version
  from public.board_members as m
  where m.board_id = card.board_id
    and m.user_id is distinct from app.user_id()
    and case audience
      when 'assignee' then m.user_id = card.assignee_id
      when 'creator' then m.user_id = card.created_by
      when 'admins' then m.role = 'admin'
      when 'watchers' then exists (
        select
        from public.alert_rules as r
        where r.user_id = m.user_id and r.kind = 'watch' and r.entry_id = card.id and r.enabled
      )
      else false
    end
  on conflict do nothing;
end;
$$;

-- An event on the channel `board.<id>.<kind>`, sent if and only if the transaction commits.
create function app.emit(board bigint, kind text, data jsonb) returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  if nullif(current_setting('request.jwt.claims', true), '') is not null and not app.may_edit(board) then
    raise exception 'board % is not yours to publish on', board using errcode = 'insufficient_privilege';
  end if;
  perform pg_catalog.pg_logical_emit_message(true, 'tidegate:board.' || board || '.' || kind, data::text);
end;
$$;

revoke execute on function app.notify(bigint, text, text, jsonb), app.emit(bigint, text, jsonb) from public;
grant execute on function app.notify(bigint, text, text, jsonb), app.emit(bigint, text, jsonb) to app_user;
