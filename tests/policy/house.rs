use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tidegate::cli::demo::cluster::Cluster;
use tidegate::event::{Datum, Table, TableName};
use tidegate::filter::Filter;
use tidegate::policy::{self, Config, Error, Policies, Visibility};
use tidegate::postgres::catalog::{self, Catalog, Found};
use tidegate::postgres::snapshot::{self, Query};
use tidegate::postgres::{Impersonation, Pool, Settings};
use tidegate::report::Report;
use tidegate::shutdown::Scope;
use tokio::sync::watch;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::fixture::{Database, private};

/// The convention of PostgREST and Supabase: who asks is in a setting.
pub(crate) const AUTH: &str = "
create schema auth;
create role anon nologin;
create role authenticated nologin;
grant usage on schema auth, public to anon, authenticated;
create function auth.uid() returns uuid language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim.sub', true), ''),
    (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
  )::uuid
$$;
create function auth.jwt() returns jsonb language sql stable as $$
  select coalesce(
    nullif(current_setting('request.jwt.claim', true), ''),
    nullif(current_setting('request.jwt.claims', true), '')
  )::jsonb
$$;
create function auth.role() returns text language sql stable as $$
  select auth.jwt() ->> 'role'
$$;
alter default privileges in schema public grant all on tables to anon, authenticated;
";

/// A database with policies, and what is made of them here.
pub(crate) struct House {
    pub(crate) client: Client,
    pool: Pool,
    policies: Policies,
    catalogs: watch::Sender<Option<Arc<Catalog>>>,
    config: Config,
    scope: Scope,
    _database: Database,
    _cluster: Cluster,
}

/// A user by number, as claims have it.
pub(crate) fn user(number: u32) -> String {
    format!("00000000-0000-0000-0000-{number:012}")
}

pub(crate) fn identity(role: &str, claims: &serde_json::Value) -> Impersonation {
    Impersonation { role: role.into(), claims: claims.to_string().into() }
}

impl House {
    /// A cluster of its own, since roles are its; with `schema` in a database.
    pub(crate) async fn open(schema: &str) -> Self {
        Self::open_with(schema, &[]).await
    }

    /// The same, with functions that are taken for the identity's alone.
    pub(crate) async fn open_with(schema: &str, identity_functions: &[&str]) -> Self {
        let cluster = tokio::task::spawn_blocking(|| private(&[])).await.expect("no panic");
        let database = Database::create_on(cluster.address()).await;
        let publication = database.publication();
        let client = database.client().await;
        let published = format!(
            "create publication {publication} for all tables with (publish_via_partition_root = true)"
        );
        client.batch_execute(&format!("{AUTH}{schema}")).await.unwrap_or_else(|error| panic!("{error:?}"));
        client.batch_execute(&published).await.expect("the superuser may");
        let settings = Settings::parse(&database.url()).expect("the fixture's URL is valid");
        let pool = Pool::new(settings, 4, Duration::from_secs(5)).expect("no TLS is asked for");
        let (catalogs, current) = watch::channel(None);
        let config = Config {
            refresh: Duration::from_millis(100),
            search_path: "public".into(),
            identity_functions: identity_functions.iter().map(|name| (*name).to_owned()).collect(),
            publication,
        };
        let policies = Policies::new(config.clone(), pool.clone(), current);
        let scope = Scope::new();
        scope.spawn("policies", policies.clone().run(scope.clone(), async |_| {}));
        let house =
            Self { client, pool, policies, catalogs, config, scope, _database: database, _cluster: cluster };
        house.reload().await;
        house
    }

    /// Takes the catalog as it is now.
    pub(crate) async fn reload(&self) {
        let mut session = self.pool.get().await.expect("the server is up");
        let catalog = catalog::load(session.client_mut(), &self.config.publication).await.expect("readable");
        self.catalogs.send_replace(Some(Arc::new(catalog)));
        self.policies.refresh().await;
    }

    /// What `tidegate check` says of the policies that bind these roles.
    pub(crate) async fn check(&self, roles: &[&str]) -> Report {
        let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
        let catalog = self.catalogs.borrow().clone().expect("it was read");
        policy::check(&self.pool, &self.config, &catalog, &roles).await.expect("it can look")
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    pub(crate) fn table(&self, name: &str) -> Arc<Table> {
        let catalog = self.catalogs.borrow().clone().expect("it was read");
        match catalog.find(&TableName::parse(name).expect(name)) {
            Found::Table(table) => table.clone(),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// What the identity may see of the table, as compiled.
    pub(crate) async fn visibility(
        &self,
        who: &Impersonation,
        table: &Arc<Table>,
        filter: Option<&Filter>,
    ) -> Result<Visibility, Error> {
        self.policies.visibility(who, table, filter).await
    }

    /// The keys of all rows that a visibility shows.
    pub(crate) async fn shown(&self, visibility: &Visibility, table: &Arc<Table>) -> BTreeSet<String> {
        let columns: Vec<usize> = (0..table.columns.len()).collect();
        let query = Query {
            table,
            columns: &columns,
            acting: None,
            condition: None,
            order: None,
            limit: None,
            timeout: Duration::from_secs(10),
        };
        let mut reader = snapshot::open(&self.pool, &query).await.expect("readable");
        let mut shown = BTreeSet::new();
        while let Some(chunk) = reader.next_chunk(65_536).await.expect("readable") {
            for row in &chunk {
                let datums: Vec<Datum<'_>> = row.columns().collect();
                let matches = visibility
                    .policy
                    .as_ref()
                    .is_none_or(|policy| policy.matches(&datums).expect("decidable"));
                if matches {
                    let Datum::Text(key) = datums[table.key[0]] else { panic!("a key is no null") };
                    shown.insert(String::from_utf8(key.to_vec()).expect("UTF-8"));
                }
            }
        }
        shown
    }

    /// The keys of all rows that PostgreSQL shows the identity.
    pub(crate) async fn selected(
        &self,
        who: &Impersonation,
        table: &Arc<Table>,
    ) -> Result<BTreeSet<String>, String> {
        let literal = |text: &str| text.replace('\'', "''");
        let key = &table.columns[table.key[0]].name;
        let sql = format!(
            "begin read only;
             select set_config('request.jwt.claims', '{}', true), set_config('role', '{}', true);
             select \"{key}\"::text from {};
             commit",
            literal(&who.claims),
            literal(&who.role),
            table.name
        );
        let answer = self.client.simple_query(&sql).await;
        if answer.is_err() {
            self.execute("rollback").await;
        }
        let messages = answer.map_err(|error| {
            error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
        })?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) if row.columns().len() == 1 => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Compares the two: how many rows are seen.
    pub(crate) async fn agrees(&self, who: &Impersonation, table: &str) -> Result<usize, String> {
        let table = self.table(table);
        let visibility = self.visibility(who, &table, None).await.map_err(|error| error.to_string())?;
        let shown = self.shown(&visibility, &table).await;
        let selected = self.selected(who, &table).await?;
        if shown == selected {
            return Ok(shown.len());
        }
        Err(format!(
            "{who:?}: {shown:?} instead of {selected:?} by {:?}",
            visibility.policy.map(|it| it.to_string())
        ))
    }

    pub(crate) async fn close(self) {
        self.scope.close();
        assert_eq!(self.scope.drain(Duration::from_secs(5)).await, tidegate::shutdown::Drained::Clean);
    }
}
