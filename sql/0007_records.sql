-- What the server keeps about requests. None of it is published.

-- Who looked at, searched for and exported what, and whose moves were refused. Written by the server, in batches.
create table app.user_actions (
  id bigint generated always as identity primary key,
  at timestamptz not null,
  -- No reference: it outlives the person's row, and a batch is never refused for one of its rows.
  user_id text not null,
  action text not null check (action in ('viewed', 'searched', 'exported', 'refused')),
  subject text not null,
  board_id bigint,
  entry_id bigint,
  detail jsonb not null default '{}'
);

create index user_actions_at on app.user_actions (at, id);
create index user_actions_refused on app.user_actions (at) where action = 'refused';
create index user_actions_user on app.user_actions (user_id, at desc);

-- Who asked for what, and whether they got it: `audit.table`. The server appends, and that is all that it needs to.
create table app.audit_log (
  at timestamptz not null,
  session text not null,
  who text,
  address inet not null,
  action text not null,
  object text not null,
  allowed boolean not null,
  reason text
);

create index audit_log_at on app.audit_log (at);

-- What was answered to a command that may be sent again, in the transaction that carried it out.
create table app.idempotency_keys (
  user_id text not null,
  key text not null check (length(key) between 1 and 255),
  -- Of method, path and body: another command under the same key is a mistake.
  fingerprint text not null,
  -- Null while the first is being carried out, which no other transaction ever sees.
  status smallint,
  answer jsonb,
  created_at timestamptz not null default now(),
  primary key (user_id, key)
);

create index idempotency_keys_created on app.idempotency_keys (created_at);

alter table app.idempotency_keys enable row level security;
grant select, insert, update on app.idempotency_keys to app_user, app_lead;
create policy own on app.idempotency_keys to app_user, app_lead
using (user_id = (select app.user_id()))
with check (user_id = (select app.user_id()));
