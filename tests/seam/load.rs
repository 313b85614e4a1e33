use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tidegate::event::Lsn;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::reader::Reader;
use super::writer::{self, Commits, Kind};
use crate::fixture::Database;
use crate::server::Server;

/// The server follows these and not the history.
pub(crate) const TABLES: [(&str, &str); 1] = [("postgres.tables", r#"["public.cards","public.ticks"]"#)];

const WRITERS: u64 = 6;
const READERS: u64 = 10;
/// In which all readers come to rest.
const REST: Duration = Duration::from_mins(1);

/// Two tables, one with whole old images and one with keys only, and a history of every change that was committed.
///
/// Versions grow with every write to a row, and history is only added to: whoever is told of a version can look there
/// whether its transaction is visible. A change has one line there, and a table that was emptied has one. `turns` holds
/// the order in which some of the transactions were committed: see [`Commits`].
pub(crate) const SCHEMA: &str = "
create sequence versions;
create table cards (id bigint primary key, board int not null, version bigint not null, place int not null, note text, body text);
alter table cards replica identity full;
alter table cards alter body set storage external;
create table ticks (like cards including all);
create table history (name text not null, id bigint, version bigint, xid xid8 not null default pg_current_xact_id());
create index on history (name, id, version);
create table turns (turn bigserial primary key, xid xid8 not null default pg_current_xact_id());
create function remember() returns trigger language plpgsql as $$
begin
  if tg_op = 'TRUNCATE' then
    insert into history values (tg_table_name);
  elsif tg_op = 'DELETE' then
    insert into history values (tg_table_name, old.id, old.version);
  else
    insert into history values (tg_table_name, new.id, new.version);
  end if;
  return null;
end $$;
create trigger remember after insert or update or delete on cards for each row execute function remember();
create trigger remember after insert or update or delete on ticks for each row execute function remember();
create trigger empty after truncate on cards for each statement execute function remember();
create trigger empty after truncate on ticks for each statement execute function remember();
insert into cards select i, i % 5, nextval('versions'), i % 100, null, null from generate_series(1, 200) i;
insert into ticks select i, i % 5, nextval('versions'), i % 100, null, repeat('x', 9000) from generate_series(1, 100) i;
";

pub(crate) async fn prepare(database: &Database) {
    database.execute(SCHEMA).await;
}

/// Writers and readers at work.
pub(crate) struct Load {
    writers: JoinSet<u64>,
    readers: JoinSet<Reader>,
    writing: CancellationToken,
    reading: CancellationToken,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Sum {
    pub(crate) commits: u64,
    pub(crate) subscribes: usize,
    pub(crate) transactions: usize,
    pub(crate) snapshots: usize,
    pub(crate) resumes: usize,
    /// Resumes that were answered with a fresh start.
    pub(crate) refusals: usize,
    /// Changes that were looked up on another connection when they came.
    pub(crate) looked_up: usize,
    pub(crate) resyncs: HashMap<String, usize>,
}

impl Load {
    pub(crate) fn start(database: &Database, server: &Server) -> Self {
        Self::run(database, &[server.address()], Commits::AsTheyCome)
    }

    /// The same with readers that come back to any of several servers, and with transactions that take turns.
    pub(crate) fn start_on(database: &Database, servers: &[SocketAddr]) -> Self {
        Self::run(database, servers, Commits::InTurns)
    }

    fn run(database: &Database, servers: &[SocketAddr], commits: Commits) -> Self {
        let (writing, reading) = (CancellationToken::new(), CancellationToken::new());
        let mut writers = JoinSet::new();
        for number in 0..WRITERS {
            let kind = if number % 3 == 2 { Kind::Long } else { Kind::Short };
            writers.spawn(writer::write(database.url(), (kind, commits), number % 2 == 0, writing.clone()));
        }
        let mut readers = JoinSet::new();
        for number in 0..READERS {
            let reader = Reader::new(servers, database.url(), number);
            readers.spawn(reader.run(reading.clone()));
        }
        Self { writers, readers, writing, reading }
    }

    /// Stops the writers, then has every reader come up to the last commit and compare.
    pub(crate) async fn finish(mut self, database: &Database) -> Sum {
        let mut sum = Sum::default();
        self.writing.cancel();
        while let Some(commits) = self.writers.join_next().await {
            sum.commits += commits.expect("writers do not fail");
        }
        let last = last_lsn(database).await;
        self.reading.cancel();
        let mut ends = JoinSet::new();
        while let Some(reader) = self.readers.join_next().await {
            let reader = reader.expect("readers find no fault");
            ends.spawn(timeout(REST, reader.come_to_rest(last)));
        }
        while let Some(reader) = ends.join_next().await {
            let reader = reader.expect("readers find no fault").expect("readers come to rest");
            reader.compare(database).await;
            reader.add_to(&mut sum);
        }
        sum
    }
}

async fn last_lsn(database: &Database) -> Lsn {
    let client = database.client().await;
    let row = client.query_one("select pg_current_wal_insert_lsn()::text", &[]).await.expect("up");
    row.get::<_, &str>(0).parse().expect("a position")
}
