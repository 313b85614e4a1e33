//! Databases that are not in UTF-8.

use tidegate::event::Collation;
use tidegate::postgres::{Connection, Settings, catalog};

use super::table;
use crate::fixture::scenario;

#[test]
fn text_counts_as_compared_by_bytes_only_where_the_servers_bytes_are_in_the_order_of_ours() {
    scenario(async |test| {
        let database = test.database().await;
        let here = Settings::parse(&database.url()).expect("the fixture's URL is valid");
        for (encoding, alike) in [("LATIN1", true), ("WIN1252", false), ("EUC_JP", false)] {
            let name = format!("{}_{}", database.name(), encoding.to_lowercase());
            database
                .execute(&format!(
                    "create database {name} encoding '{encoding}' template template0 lc_collate 'C' lc_ctype 'C'"
                ))
                .await;
            let mut session = Connection::open(&here.with_database(&name)).await.expect("it is there");
            session
                .batch_execute(
                    "create table public.words (id int primary key, word text, bytes text collate \"C\");
                     create publication tidegate for all tables;",
                )
                .await
                .expect("the superuser may");
            let catalog = catalog::load(session.client_mut(), "tidegate").await.expect("readable");
            let words = table(&catalog, "words");
            let expected = if alike { Collation::Bytes } else { Collation::Deterministic };
            for column in ["word", "bytes"] {
                let found = words.columns[words.column(column).expect(column)].collation;
                assert_eq!(found, expected, "{encoding}: {column}");
            }
            if encoding != "EUC_JP" {
                let sql = "select array_agg(chr(n) order by chr(n))
                             from generate_series(32, 255) n
                            where n not in (127, 129, 141, 143, 144, 157)";
                let sorted: Vec<String> = session.query_one(sql, &[]).await.expect("readable").get(0);
                assert_eq!(sorted.is_sorted(), alike, "{encoding}: {sorted:?}");
            }
            drop(session);
            database.execute(&format!("drop database {name} with (force)")).await;
        }
    });
}
