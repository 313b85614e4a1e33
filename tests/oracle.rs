//! PostgreSQL as the oracle: for every supported type and operator, generated filters on generated rows have the truth
//! value here that PostgreSQL gives them, NULLs included; and what is rendered back to SQL says the same again.

mod columns;
mod generate;
mod pools;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tidegate::event::{Class, Datum, Kind, Table};
use tidegate::filter::{self, ErrorKind, Filter, Index};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, SimpleQueryMessage};

use generate::{Case, Generator};

use crate::fixture::scenario;

const ROWS: usize = 120;
const FILTERS: usize = 1_500;

/// Settings under which texts are what the stream carries.
const PINNED: &str = "set datestyle = 'ISO'; set intervalstyle = 'iso_8601'; set timezone = 'UTC'; \
     set extra_float_digits = 1; set bytea_output = 'hex'; set client_min_messages = 'error'";

/// Reproduces the run of a seed that a failure has printed.
#[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
fn seed() -> u64 {
    std::env::var("TIDEGATE_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..))
}

/// The first column of the first row of a simple query.
async fn scalar(client: &Client, sql: &str) -> Result<String, String> {
    let messages = client.simple_query(sql).await.map_err(|error| describe(&error))?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    row.ok_or_else(|| "no row".into())
}

fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[test]
fn filters_have_the_truth_value_that_postgresql_gives_them() {
    let seed = seed();
    scenario(async |test| {
        let database = test.database().await;
        let report = Oracle::new(database.client().await, seed).await.run().await;
        assert!(report.failures.is_empty(), "TIDEGATE_TEST_SEED={seed}\n{}", report.failures.join("\n"));
        assert!(report.cases >= 10_000, "only {} cases; refused: {:#?}", report.cases, report.refused);
        println!(
            "{} cases of {} filters, seed {seed}; refused: {:#?}",
            report.cases, report.filters, report.refused
        );
    });
}

/// A deterministic collation that is not `C`: whichever the server was built with.
const OTHER_COLLATION: &str = "select collname from pg_collation \
     where collname in ('en-x-icu', 'en_US.utf8', 'C.utf8', 'default') \
     order by collname = 'default', collname desc limit 1";

#[derive(Default)]
struct Report {
    cases: usize,
    filters: usize,
    /// What both refused, by our message's first words.
    refused: BTreeMap<String, usize>,
    failures: Vec<String>,
}

struct Oracle {
    client: Client,
    table: Table,
    rows: Vec<Vec<Option<String>>>,
    generator: Generator,
    index: Index<usize>,
    filters: Vec<Filter>,
    report: Report,
}

impl Oracle {
    async fn new(client: Client, seed: u64) -> Self {
        client.batch_execute(PINNED).await.expect("pinned");
        let other = scalar(&client, OTHER_COLLATION).await.expect("the default at least");
        client.batch_execute(&columns::create(&other)).await.expect("a table of all types");
        let mood = scalar(&client, "select 'mood'::regtype::oid").await.expect("the enum");
        let table = columns::table(mood.parse().expect("an oid"));
        let mut generator = Generator::new(seed);
        for id in 0..ROWS {
            client.batch_execute(&generator.row(id)).await.expect("values of their types");
        }
        let rows = client.simple_query("select * from t order by id").await.expect("rows");
        let rows = rows.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
            }
            _ => None,
        });
        let rows = rows.collect();
        Self {
            client,
            table,
            rows,
            generator,
            index: Index::new(),
            filters: Vec::new(),
            report: Report::default(),
        }
    }

    async fn run(mut self) -> Report {
        for _ in 0..FILTERS {
            let case = self.generator.case();
            if let Err(failure) = self.check(&case).await {
                self.report.failures.push(format!("{failure}\n    {}\n    {:?}", case.sql, case.params));
            }
            if self.report.failures.len() == 20 {
                break;
            }
        }
        self.check_index();
        self.report
    }

    async fn check(&mut self, case: &Case) -> Result<(), String> {
        let expected = self.truths(&case.sql).await;
        let filter = match (self.filter(case).await, &expected) {
            (Ok(filter), Ok(_)) => filter,
            (Ok(filter), Err(error)) => {
                return Err(format!("accepted as {filter}, but PostgreSQL says: {error}"));
            }
            (Err((_, message)), Err(_)) => {
                self.refused(&message);
                return Ok(());
            }
            (Err((Some(ErrorKind::Unsupported | ErrorKind::Type), message)), Ok(_))
                if case.may_be_refused =>
            {
                self.refused(&message);
                return Ok(());
            }
            (Err((kind, message)), Ok(_)) => return Err(format!("refused: {kind:?} {message}")),
        };
        let expected = expected.unwrap_or_default();
        self.compare(&filter, &expected)?;
        let canonical = self.truths(filter.canonical()).await;
        if canonical.as_ref() != Ok(&expected) {
            return Err(format!(
                "the canonical form says otherwise: {filter}\n    {canonical:?}\n    {expected:?}"
            ));
        }
        let bound = self.bound(&filter).await;
        if bound.as_ref() != Ok(&expected) {
            return Err(format!("the rendered form says otherwise: {:?}\n    {bound:?}", filter.to_sql()));
        }
        self.report.cases += expected.len();
        self.report.filters += 1;
        self.index.insert(&filter, self.filters.len());
        self.filters.push(filter);
        Ok(())
    }

    fn refused(&mut self, message: &str) {
        let words: Vec<&str> =
            message.split(' ').filter(|word| !word.contains(['`', '\''])).take(6).collect();
        *self.report.refused.entry(words.join(" ")).or_default() += 1;
    }

    fn compare(&self, filter: &Filter, expected: &[Option<bool>]) -> Result<(), String> {
        for (row, expected) in self.rows.iter().zip(expected) {
            let data = data(row);
            let actual = filter.truth(&data);
            if actual.as_ref() != Ok(expected) {
                let mut values = String::new();
                for column in filter.columns() {
                    let _ = write!(values, " {} = {:?}", self.table.columns[*column].name, row[*column]);
                }
                return Err(format!("{actual:?}, but PostgreSQL says {expected:?}:{values}\n    {filter}"));
            }
        }
        Ok(())
    }

    async fn filter(&self, case: &Case) -> Result<Filter, (Option<ErrorKind>, String)> {
        let refused = |error: filter::Error| (Some(error.kind()), error.to_string());
        let bound = filter::parse(&case.text, &case.params)
            .and_then(|parsed| parsed.bind(&self.table))
            .map_err(refused)?;
        let mut answers = Vec::new();
        for literal in bound.unresolved() {
            let sql = format!("select {}::text::{}", quote(&literal.text), type_name(&literal.kind));
            answers.push(scalar(&self.client, &sql).await.map_err(|error| (None, error))?);
        }
        bound.resolve(&answers).map_err(refused)
    }

    /// The truth value of a condition for each row.
    async fn truths(&self, condition: &str) -> Result<Vec<Option<bool>>, String> {
        let sql = format!("select ({condition}) from t order by id");
        let messages = self.client.simple_query(&sql).await.map_err(|error| describe(&error))?;
        let truths = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).map(|text| text == "t")),
            _ => None,
        });
        Ok(truths.collect())
    }

    /// The same from the filter's own SQL.
    async fn bound(&self, filter: &Filter) -> Result<Vec<Option<bool>>, String> {
        let sql = filter.to_sql();
        let params: Vec<&(dyn ToSql + Sync)> = sql.params.iter().map(|param| param as _).collect();
        let query = format!("select ({}) from t order by id", sql.text);
        let rows = self.client.query(&query, &params).await.map_err(|error| describe(&error))?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// No filter that matches a row is left out of the row's candidates.
    fn check_index(&mut self) {
        for row in &self.rows {
            let data = data(row);
            let mut candidates = Vec::new();
            self.index.candidates(&data, &mut candidates);
            for (key, filter) in self.filters.iter().enumerate() {
                if filter.matches(&data) == Ok(true) && !candidates.contains(&key) {
                    self.report.failures.push(format!("not among the candidates: {filter}"));
                }
            }
        }
    }
}

fn data(row: &[Option<String>]) -> Vec<Datum<'_>> {
    row.iter().map(|value| value.as_ref().map_or(Datum::Null, |text| Datum::Text(text.as_bytes()))).collect()
}

fn type_name(kind: &Kind) -> &str {
    match kind.class {
        Class::Array { .. } => unreachable!("literals are never arrays"),
        _ => &kind.name,
    }
}
