-- Work by the clock, and what became of it. None of it is published.

-- Since when each is known: what was due before nobody has missed.
create table app.jobs (
  name text primary key,
  known_since timestamptz not null default now()
);

create table app.job_runs (
  id bigint generated always as identity primary key,
  job text not null,
  -- When the clock asked for it; null for one that somebody has asked for.
  due_at timestamptz,
  -- How many were due before it and never ran: it does their work too.
  missed integer not null default 0,
  -- What it is about, for jobs that take that.
  parameters jsonb not null default '{}' check (jsonb_typeof(parameters) = 'object'),
  attempt integer not null default 1,
  asked_at timestamptz not null default now(),
  start_after timestamptz not null default now(),
  status text not null default 'waiting' check (status in ('waiting', 'running', 'succeeded', 'failed', 'refused')),
  started_at timestamptz,
  finished_at timestamptz,
  -- Which process.
  runner text,
  rows bigint,
  error text,
  constraint job_runs_once unique (job, due_at, attempt)
);

create index job_runs_open on app.job_runs (job, id) where status in ('waiting', 'running');
create index job_runs_newest on app.job_runs (job, id desc);
create index job_runs_finished on app.job_runs (finished_at);
