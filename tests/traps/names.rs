//! Names and types as users make them.

use serde_json::json;

use super::Live;
use crate::fixture::scenario;
use crate::server::Server;

#[test]
fn quoted_mixed_case_and_non_ascii_names_work_everywhere() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                r#"create schema "Büro ""A""";
                   create table "Büro ""A"""."Straßen.Liste" (
                     "Nr." int primary key, "Größe in m" numeric, "SELECT" text, "日本" text, "a""b" text);
                   alter table "Büro ""A"""."Straßen.Liste" replica identity full;
                   insert into "Büro ""A"""."Straßen.Liste" values (1, 2.50, 'x', '東京', 'q');"#,
            )
            .await;
        let tables = r#"["\"Büro \"\"A\"\"\".*"]"#;
        let server = Server::start_with(&database, &[("postgres.tables", tables)]).await;
        let table = r#""Büro ""A"""."Straßen.Liste""#;
        let mut streets = Live::open(
            &server,
            json!({
                "table": table,
                "where": r#""Größe in m" > 1 and "SELECT" = $1 and "日本" <> '' and "a""b" = 'q'"#,
                "params": ["x"],
                "snapshot": {"order_by": r#""Größe in m" desc, "Nr.""#, "limit": 10},
            }),
        )
        .await;
        assert_eq!(streets.columns(), ["Nr.", "Größe in m", "SELECT", "日本", "a\"b"]);
        assert_eq!(streets.subscribed["key"], json!(["Nr."]));
        database
            .execute(&format!(
                r#"insert into {table} values (2, 3, 'x', 'é', 'q'), (3, 0, 'x', 'é', 'q');
                   update {table} set "日本" = 'ü' where "Nr." = 1;"#
            ))
            .await;
        streets.settle(&database).await;
        assert_eq!(streets.shown(&["Nr.", "Größe in m", "日本", "a\"b"]), "1 2.50 ü q, 2 3 é q");
        database.execute(&format!(r#"alter table {table} rename "日本" to "中国""#)).await;
        let error = streets.until_error().await;
        assert_eq!(error["code"], "unknown_column", "{error}");
    });
}

#[test]
fn domains_ranges_and_composite_types_read_the_same_everywhere() {
    scenario(async |test| {
        let database = test.database().await;
        database
            .execute(
                "create domain amount as numeric(10, 2) check (value >= 0);
                 create domain amounts as amount[];
                 create type spot as (x int, label text);
                 create type floats as range (subtype = float8);
                 create table things (
                   id int primary key, price amount, prices amounts, spot spot, spots spot[], span int4range,
                   spans int4multirange, own floats);
                 alter table things replica identity full;
                 insert into things values
                   (1, 1.5, '{1,2.25}', row(1, 'a \"b\", c'), array[row(2, null)::spot], '[1,5)', '{[1,3),[7,8)}', '[0.5,1)');",
            )
            .await;
        let server = Server::start(&database).await;
        let mut things = Live::filtered(&server, "things", "price >= 1.5").await;
        let row = json!({
            "id": 1, "price": "1.50", "prices": ["1.00", "2.25"], "spot": "(1,\"a \"\"b\"\", c\")", "spots": ["(2,)"],
            "span": "[1,5)", "spans": "{[1,3),[7,8)}", "own": "[0.5,1)",
        });
        let names: Vec<_> = things.columns().into_iter().map(str::to_owned).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let shown = things.shown(&names);
        database
            .execute("insert into things select 2, price, prices, spot, spots, span, spans, own from things")
            .await;
        things.settle(&database).await;
        let mut inserted = things.changes()[0]["row"].clone();
        assert_eq!(inserted["id"], 2);
        inserted["id"] = json!(1);
        assert_eq!(inserted, row);
        assert_eq!(things.shown(&names), format!("{shown}, 2{}", &shown[1..]));
    });
}
