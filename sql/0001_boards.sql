-- Who works, and on what.

create table public.users (
  id bigint generated always as identity primary key,
  name text not null,
  -- Where the user's colour lies on the wheel, in degrees: the same on every client.
  hue smallint not null check (hue between 0 and 359),
  created_at timestamptz not null default now()
);

create table public.boards (
  id bigint generated always as identity primary key,
  name text not null unique,
  description text not null default '',
  created_at timestamptz not null default now()
);
