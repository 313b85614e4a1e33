use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::compile::{Answers, check_types, definer_question, fitting, narrow, params, question, typed};
use super::library::Library;
use super::plan::{Guard, Plan, Planner, Source};
use super::scene::{Rights, Scene};
use super::seen::{Current, Granted, Seen, Summary};
use super::{Config, Error, Grants, Visibility};
use crate::event::{Class, Lsn, Table, TableName};
use crate::filter::Filter;
use crate::postgres::catalog::{Catalog, Found};
use crate::postgres::policy::{Access, Accesses, Proof, Question, Types, accesses, ask, ask_server, types};
use crate::postgres::{self, Connection, Impersonation, Pool, Recovery};
use crate::shutdown::Scope;
use crate::telemetry::Chain;

/// What roles may see, as it is now. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Policies(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    pool: Pool,
    catalogs: watch::Receiver<Option<Arc<Catalog>>>,
    /// Roles that somebody has come as. Verified tokens name none but those of the configuration's list.
    roles: Mutex<BTreeSet<Arc<str>>>,
    current: watch::Sender<Arc<Current>>,
    /// Somebody waits for a fresh look.
    wanted: Notify,
    /// How often was looked.
    looks: watch::Sender<u64>,
    plans: DashMap<(Arc<str>, u32), Arc<Planned>>,
    /// What reads ask with every request.
    summary: Mutex<Summary>,
}

/// For each role and table, a number that changes whenever what the role may see of it does.
pub type Digests = HashMap<(Arc<str>, u32), u64>;

/// A plan, and by what it was made.
#[derive(Debug)]
struct Planned {
    plan: Plan,
    types: Vec<Types>,
    grants: Vec<(u32, u64)>,
    table: Arc<Table>,
}

/// How long a fresh look is waited for.
const WITHIN: Duration = Duration::from_secs(5);

impl Policies {
    /// Follows the tables of `catalogs`.
    pub fn new(config: Config, pool: Pool, catalogs: watch::Receiver<Option<Arc<Catalog>>>) -> Self {
        Self(Arc::new(Shared {
            config,
            pool,
            catalogs,
            roles: Mutex::default(),
            current: watch::Sender::new(Arc::default()),
            wanted: Notify::new(),
            looks: watch::Sender::new(0),
            plans: DashMap::new(),
            summary: Mutex::default(),
        }))
    }

    /// Looks at grants and policies every so often, and tells `publish` what it sees before anybody goes by it.
    pub async fn run<F>(self, scope: Scope, publish: impl Fn(Digests) -> F + Sync)
    where
        F: Future<Output = ()>,
    {
        let mut ticks = interval(self.0.config.refresh);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut catalogs = self.0.catalogs.clone();
        // Of its own: what is taken from somebody is not to wait behind what others ask.
        let mut session = None;
        loop {
            tokio::select! {
                biased;
                // 1. Shutdown.
                () = scope.closing() => return,
                // 2. Somebody waits.
                () = self.0.wanted.notified() => {}
                // 3. Tables have come or gone.
                changed = catalogs.changed() => if changed.is_err() { return },
                // 4. Time to look.
                _ = ticks.tick() => {}
            }
            self.look(&mut session, &publish).await;
            self.0.looks.send_modify(|looks| *looks += 1);
        }
    }

    async fn look<F: Future<Output = ()>>(
        &self,
        session: &mut Option<Connection>,
        publish: &(impl Fn(Digests) -> F + Sync),
    ) {
        let roles: Vec<Arc<str>> = self.0.roles.lock().iter().cloned().collect();
        if roles.is_empty() {
            return;
        }
        let catalog = self.0.catalogs.borrow().clone().unwrap_or_default();
        let tables: Vec<u32> = catalog.tables().iter().map(|table| table.oid).collect();
        let mut current: Current = HashMap::with_capacity(roles.len());
        for role in roles {
            let rights = match self.accesses(session, &role, &tables).await {
                Ok(accesses) => Some(Arc::new(Rights::new(accesses))),
                Err(error) if error.recovery() == Recovery::Retry => {
                    tracing::debug!(error = %Chain(&error), "grants and policies cannot be read now");
                    // Nothing changes while it is away; what was seen still holds.
                    match self.0.current.borrow().get(&role) {
                        Some(seen) => seen.rights.clone(),
                        None => continue,
                    }
                }
                Err(error) => {
                    tracing::warn!(role = %role, error = %Chain(&error), "a role cannot be taken on");
                    None
                }
            };
            let seen = Seen::new(rights, self.0.current.borrow().get(&role));
            current.insert(role, seen);
        }
        if current.values().any(|seen| seen.since.is_none()) {
            // Behind all that was seen: it is asked for afterwards.
            let here = self.here(session).await;
            for seen in current.values_mut() {
                seen.since = seen.since.or(here);
            }
        }
        let digests = current.iter().flat_map(|(role, seen)| {
            let digests = seen.rights.iter().flat_map(|rights| rights.digests());
            digests.map(|(oid, digest)| ((role.clone(), oid), digest))
        });
        publish(digests.collect()).await;
        self.0.current.send_replace(Arc::new(current));
    }

    /// Where the log is; `None` while PostgreSQL cannot be asked.
    async fn here(&self, session: &mut Option<Connection>) -> Option<Lsn> {
        const HERE: &str = "select pg_current_wal_insert_lsn()::text";
        let connection = session.take()?;
        let row = connection.query_one(HERE, &[]).await.ok()?;
        *session = Some(connection);
        row.try_get::<_, &str>(0).ok()?.parse().ok()
    }

    async fn accesses(
        &self,
        session: &mut Option<Connection>,
        role: &str,
        tables: &[u32],
    ) -> Result<Accesses, postgres::Error> {
        let mut connection = match session.take() {
            Some(connection) => connection,
            None => self.0.pool.dedicated().await?,
        };
        let read = accesses(connection.client_mut(), role, tables).await;
        // Broken or not: another is made where one is needed.
        if !matches!(&read, Err(error) if error.recovery() == Recovery::Retry) {
            *session = Some(connection);
        }
        read
    }

    /// Waits for a look that begins after this.
    pub async fn refresh(&self) {
        let mut looks = self.0.looks.subscribe();
        // One may be going on.
        let wanted = *looks.borrow() + 2;
        let looked = async {
            while *looks.borrow_and_update() < wanted {
                self.0.wanted.notify_one();
                if looks.changed().await.is_err() {
                    return;
                }
            }
        };
        _ = timeout(WITHIN, looked).await;
    }

    /// What a role may see of a table.
    ///
    /// # Errors
    /// [`Error::Forbidden`]; that PostgreSQL is away.
    pub async fn access(&self, role: &str, table: &Table) -> Result<Arc<Access>, Error> {
        let access =
            self.rights(role, Some(table.oid)).await?.and_then(|rights| rights.access(table.oid).cloned());
        let access = access.filter(|access| access.usage && !access.columns.is_empty());
        access.ok_or_else(|| Error::Forbidden { role: role.to_owned(), table: table.name.to_string() })
    }

    /// Whether the stream tells of every change to these tables, which are the same every time, old values of these columns
    /// included.
    pub fn follows(&self, tables: &[(TableName, &[&str])]) -> bool {
        let mut summary = self.summary();
        let catalog = summary.catalog.clone();
        *summary.follows.get_or_insert_with(|| {
            let Some(catalog) = catalog else { return false };
            tables.iter().all(|(name, columns)| {
                let Found::Table(table) = catalog.find(name) else { return false };
                let carried = |column: &&str| table.column(column).is_some_and(|at| table.old_image_has(at));
                table.row_filter.is_none() && columns.iter().all(carried)
            })
        })
    }

    /// What a role may see of all tables together.
    ///
    /// # Errors
    /// That PostgreSQL is away.
    pub async fn granted(&self, role: &str) -> Result<Granted, Error> {
        if let Some(granted) = self.summary().granted.get(role) {
            return Ok(*granted);
        }
        let granted = self.seen(role, None).await?.granted();
        // Of what is current by now: what has changed meanwhile is asked for again.
        let summary = &mut self.summary();
        if summary.current.get(role).is_some_and(|now| now.granted() == granted) {
            summary.granted.insert(role.into(), granted);
        }
        Ok(granted)
    }

    /// The summary of what there is now.
    fn summary(&self) -> MutexGuard<'_, Summary> {
        let (catalog, current) = (self.0.catalogs.borrow().clone(), self.0.current.borrow().clone());
        let mut summary = self.0.summary.lock();
        let same_catalog = match (&summary.catalog, &catalog) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        if !same_catalog || !Arc::ptr_eq(&summary.current, &current) {
            *summary = Summary { catalog, current, ..Summary::default() };
        }
        summary
    }

    /// What an identity sees of the rows of `table` that `filter` lets through.
    ///
    /// # Errors
    /// Why that cannot be said.
    pub async fn visibility(
        &self,
        impersonation: &Impersonation,
        table: &Arc<Table>,
        filter: Option<&Filter>,
    ) -> Result<Visibility, Error> {
        let role: Arc<str> = Arc::from(&*impersonation.role);
        let forbidden = || Error::Forbidden { role: role.to_string(), table: table.name.to_string() };
        let rights = self.rights(&role, Some(table.oid)).await?.ok_or_else(forbidden)?;
        let planned = self.plan(&role, &rights, table).await?;
        let pool = &self.0.pool;
        let narrowed: Vec<Option<Vec<&str>>> =
            planned.plan.sets.iter().map(|set| narrowing(set, table, &planned.plan, filter?)).collect();
        let asked = question(&planned.plan, &narrowed);
        let values = ask(pool, impersonation, &self.0.config.search_path, &asked).await?;
        let values = values
            .map_err(|refused| Error::Raised { message: refused.message, forbidden: refused.forbidden })?;
        let answers = Answers { plan: &planned.plan, types: &planned.types, values };
        answers.allowed()?;
        let guards = answers.guards(pool, &narrowed).await?;
        let mut server = Question::default();
        for set in &planned.plan.sets {
            if let (Source::Definer, Some((guard, key))) = (&set.source, &set.key) {
                let (guard, exact) = &guards[*guard];
                if !exact {
                    let reason =
                        "is read as the owner of a `security definer` function, by more than a filter";
                    return Err(Error::Unsupported(super::Refusal::part(
                        &guard.table().name.to_string(),
                        reason,
                    )));
                }
                server.columns.push(definer_question(guard, key));
            }
        }
        let server_values = ask_server(pool, &server).await?;
        let mut given = server_values.iter().zip(&server.columns);
        let mut sets = Vec::with_capacity(planned.plan.sets.len());
        let of_sets = answers.sets()?.into_iter().zip(&planned.plan.sets).zip(&narrowed);
        for ((values, set), narrowing) in of_sets {
            let values = match values {
                Some(values) => values,
                None => given.next().map_or(Ok(Vec::new()), |(answer, query)| {
                    params(answer.as_deref().unwrap_or("[]"), query)
                })?,
            };
            let values = match narrowing {
                Some(to) => narrow(values, to),
                None => values,
            };
            sets.push(fitting(values, set, &table.name)?);
        }
        let policy = answers.policy(pool, table, &sets).await?;
        let identity = (asked, answers.values);
        Ok(Visibility {
            policy: policy.map(Arc::new),
            guards: guards.into_iter().map(|(guard, _)| guard).collect(),
            grants: Arc::new(Grants { role, tables: planned.grants.clone() }),
            search_path: self.0.config.search_path.as_str().into(),
            proof: Arc::new(Proof { identity, server: (server, server_values) }),
        })
    }

    /// The rights of a role, once they have been seen with this table among them, and with all that there are: its policies
    /// may read any.
    async fn rights(&self, role: &str, table: Option<u32>) -> Result<Option<Arc<Rights>>, Error> {
        Ok(self.seen(role, table).await?.rights)
    }

    async fn seen(&self, role: &str, table: Option<u32>) -> Result<Seen, Error> {
        let known = |current: &Arc<Current>| match current.get(role) {
            Some(Seen { rights: Some(rights), .. }) => {
                // As it is now: a table that is gone by then is not waited for.
                let catalog = self.0.catalogs.borrow().clone().unwrap_or_default();
                let mut all = catalog.tables().into_iter().map(|table| table.oid).chain(table);
                all.all(|oid| rights.access(oid).is_some())
            }
            Some(Seen { rights: None, .. }) => true,
            None => false,
        };
        let mut current = self.0.current.subscribe();
        if !known(&current.borrow()) {
            self.0.roles.lock().insert(role.into());
            self.0.wanted.notify_one();
            // What has not been seen by then counts as not visible.
            _ = timeout(WITHIN, current.wait_for(known)).await;
        }
        let seen = current.borrow().get(role).cloned();
        seen.ok_or(Error::Postgres(crate::postgres::Error::Timeout {
            operation: "read grants and policies",
            timeout: WITHIN,
        }))
    }

    async fn plan(
        &self,
        role: &Arc<str>,
        rights: &Arc<Rights>,
        table: &Arc<Table>,
    ) -> Result<Arc<Planned>, Error> {
        let key = (role.clone(), table.oid);
        let catalog = self.0.catalogs.borrow().clone().unwrap_or_default();
        let holds = |planned: &Arc<Planned>| {
            let unchanged = |(oid, digest): &(u32, u64)| {
                rights.access(*oid).is_some_and(|access| access.digest() == *digest)
            };
            let guarded = |guard: &Guard| catalog.by_oid(guard.table.oid) == Some(&guard.table);
            planned.table == *table
                && planned.grants.iter().all(unchanged)
                && planned.plan.guards.iter().all(guarded)
        };
        if let Some(planned) = self.0.plans.get(&key).map(|planned| planned.clone()).filter(holds) {
            return Ok(planned);
        }
        let planned = Arc::new(self.work_out(role, rights, table, &catalog).await?);
        self.0.plans.insert(key, planned.clone());
        Ok(planned)
    }

    async fn work_out(
        &self,
        role: &str,
        rights: &Rights,
        table: &Arc<Table>,
        catalog: &Catalog,
    ) -> Result<Planned, Error> {
        let config = &self.0.config;
        let library = Library::of(&self.0.pool, config, catalog, rights).await?;
        let scene = Scene::new(config, catalog, rights);
        let mut planner = Planner::new(&scene, &library);
        planner.table(table).map_err(Error::Unsupported)?;
        let (plan, seen) = (planner.plan, planner.seen);
        let types = types(&self.0.pool, role, &config.search_path, &typed(&plan)).await?;
        let types = types
            .map_err(|refused| Error::Raised { message: refused.message, forbidden: refused.forbidden })?;
        check_types(&plan, &types, &table.name).map_err(Error::Unsupported)?;
        let digest = |oid: u32| Some((oid, rights.access(oid)?.digest()));
        Ok(Planned {
            plan,
            types,
            grants: seen.into_iter().filter_map(digest).collect(),
            table: table.clone(),
        })
    }
}

/// The values that a subscription's own filter holds a set's column to, where their texts can be compared.
fn narrowing<'a>(
    set: &super::plan::Set,
    table: &Table,
    plan: &Plan,
    filter: &'a Filter,
) -> Option<Vec<&'a str>> {
    let column = table.column(set.column.as_deref()?)?;
    let (guard, key) = set.key.as_ref()?;
    let source = &plan.guards[*guard].table;
    let comparable = |class: &Class| match class {
        Class::Int2 | Class::Int4 | Class::Int8 => Some(0),
        Class::Uuid => Some(1),
        Class::Text => Some(2),
        _ => None,
    };
    let ours = comparable(&table.columns[column].kind.class)?;
    let theirs = comparable(&source.columns[source.column(key)?].kind.class)?;
    if ours == theirs { filter.values_of(column) } else { None }
}
