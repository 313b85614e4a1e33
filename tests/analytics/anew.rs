use std::collections::BTreeSet;

use serde_json::Value;

use super::history::job;
use crate::fixture::Database;

/// Loads once more what is loaded, then all of it from nothing, and compares.
pub(super) async fn must_be_as_loaded_from_nothing(database: &Database) {
    let kept = everything(database).await;
    let gone_before = numbers(database, GONE).await;
    job(database, &["daily"]).await;
    let again = everything(database).await;
    let differs: Vec<_> = kept.symmetric_difference(&again).collect();
    assert!(differs.is_empty(), "a run more changes nothing: {differs:#?}");
    database
        .execute(
            "truncate analytics.fact_entries, analytics.fact_activities, analytics.fact_user_actions,
               analytics.fact_spans, analytics.rejects, analytics.chart_data, analytics.touched,
               analytics.watermarks, analytics.dim_boards, analytics.dim_users, analytics.dim_states,
               analytics.dim_categories",
        )
        .await;
    job(database, &["daily"]).await;
    let anew = everything(database).await;
    // Cards and boards that are gone left facts behind, which nobody can load any more; and what only they had a part in.
    let gone: BTreeSet<i64> = gone_before.union(&numbers(database, GONE).await).copied().collect();
    let is_gone = |row: &Value| {
        row["gone"] == true || row["entry_id"].as_i64().is_some_and(|entry| gone.contains(&entry))
    };
    let compared = |held: &BTreeSet<String>| -> BTreeSet<String> {
        let rows = held.iter().filter(|row| {
            let (_, row) = row.split_once(' ').expect("a table and a row");
            let row: Value = serde_json::from_str(row).expect("JSON");
            let by_all = ["flow", "time_in_state"].iter().any(|chart| row["chart"] == **chart);
            !by_all && !is_gone(&row)
        });
        rows.cloned().collect()
    };
    let differs: Vec<_> = compared(&kept).symmetric_difference(&compared(&anew)).cloned().collect();
    assert!(differs.is_empty(), "{differs:#?}");
}

/// All that the history holds, but when it was written.
async fn everything(database: &Database) -> BTreeSet<String> {
    let mut held = BTreeSet::new();
    for table in [
        "dim_boards",
        "dim_users",
        "dim_states",
        "dim_categories",
        "fact_entries",
        "fact_activities",
        "fact_user_actions",
        "fact_spans",
        "rejects",
        "chart_data",
        "touched",
    ] {
        let rows = format!("select (to_jsonb(t) - 'rejected_at')::text from analytics.{table} as t");
        let rows = database.client().await.query(&rows, &[]).await.expect("a query");
        held.extend(rows.iter().map(|row| format!("{table} {}", row.get::<_, String>(0))));
    }
    held
}

/// The numbers that a query gives.
async fn numbers(database: &Database, sql: &str) -> BTreeSet<i64> {
    let rows = database.client().await.query(sql, &[]).await.expect("a query");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Cards that are gone: loaded as such, or named by activities alone, as those that were never loaded or are of boards that
/// are gone.
const GONE: &str = "
    select entry_id from analytics.fact_entries where gone
    union
    select entry_id from analytics.fact_activities
    where entry_id is not null and entry_id not in (select id from public.entries)";
