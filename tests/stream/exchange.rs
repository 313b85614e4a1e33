//! A message a row for backend services.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties, Consumer};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::house::House;
use super::server;
use crate::fixture::{DEADLINE, eventually, scenario};

const ENTRIES: &str = r#"
    create schema "my.app";
    create table "my.app".entries (id bigint primary key, title text, price numeric(10, 2));
    create table public.other (id int primary key);
    alter table "my.app".entries replica identity full;"#;

/// A service with a queue of its own.
struct Service {
    consumer: Consumer,
    connection: Connection,
}

impl Service {
    async fn bind(url: &str, key: &str) -> Self {
        eventually("the broker and the exchange are there", async || Self::try_bind(url, key).await.ok())
            .await
    }

    async fn try_bind(url: &str, key: &str) -> lapin::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let none = FieldTable::default;
        channel.queue_declare("service".into(), durable, none()).await?;
        let (queue, exchange) = ("service".into(), "tidegate.changes".into());
        channel.queue_bind(queue, exchange, key.into(), QueueBindOptions::default(), none()).await?;
        let consume =
            channel.basic_consume("service".into(), "".into(), BasicConsumeOptions::default(), none());
        Ok(Self { consumer: consume.await?, connection })
    }

    async fn next(&mut self) -> Delivery {
        let delivery = timeout(DEADLINE, self.consumer.next()).await.expect("waited in vain for a row");
        let delivery = delivery.expect("it goes on").expect("it goes on");
        delivery.ack(BasicAckOptions::default()).await.expect("it takes it");
        delivery
    }
}

fn body(delivery: &Delivery) -> Value {
    serde_json::from_slice(&delivery.data).expect("JSON")
}

fn headers(delivery: &Delivery) -> BTreeMap<String, String> {
    let headers = delivery.properties.headers().as_ref().expect("headers").inner().iter();
    let text = |value: &AMQPValue| match value {
        AMQPValue::LongString(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    headers.map(|(name, value)| (name.to_string(), text(value))).collect()
}

#[test]
fn every_change_is_a_message_that_a_debezium_consumer_reads() {
    scenario(async |test| {
        let (database, vhost) = (test.database().await, test.vhost().await);
        database.execute(ENTRIES).await;
        let settings = [
            ("exchange.enabled", "true"),
            ("exchange.tables", r#"["\"my.app\".*"]"#),
            ("postgres.tables", r#"["*.*"]"#),
        ];
        let _server = server(&database, &vhost, &settings).await;
        let mut service = Service::bind(&vhost.url(), "my%2Eapp.entries.*").await;
        let sql = r#"
            insert into "my.app".entries values (1, 'one', 1.50);
            insert into public.other values (1);
            update "my.app".entries set title = 'two', price = null;
            update "my.app".entries set id = 2;
            delete from "my.app".entries;"#;
        database.execute(&format!("begin; {sql} commit;")).await;
        database.execute(r#"truncate "my.app".entries"#).await;
        let mut told = Vec::new();
        for _ in 0..6 {
            told.push(service.next().await);
        }
        let keys: Vec<_> = told.iter().map(|message| message.routing_key.as_str()).collect();
        let expected = ["insert", "update", "delete", "insert", "delete", "truncate"];
        assert_eq!(keys, expected.map(|what| format!("my%2Eapp.entries.{what}")));
        let bodies: Vec<_> = told.iter().map(body).collect();
        let ops: Vec<_> = bodies.iter().map(|body| body["op"].as_str().expect("text")).collect();
        assert_eq!(ops, ["c", "u", "d", "c", "d", "t"]);
        assert_eq!(
            bodies[0]["after"],
            json!({"id": 1, "title": "one", "price": "AJY="}),
            "150 in two's complement"
        );
        assert_eq!(bodies[1]["before"]["title"], "one");
        assert_eq!(bodies[1]["after"], json!({"id": 1, "title": "two", "price": null}));
        assert_eq!((&bodies[2]["after"], &bodies[3]["before"]), (&Value::Null, &Value::Null));
        let source = &bodies[0]["source"];
        assert_eq!(
            (&source["connector"], &source["schema"], &source["table"], &source["db"]),
            (&json!("postgresql"), &json!("my.app"), &json!("entries"), &json!(database.name()))
        );
        assert_eq!(bodies[0]["source"]["txId"], bodies[4]["source"]["txId"]);
        let ids: BTreeSet<_> = told
            .iter()
            .map(|message| message.properties.message_id().as_ref().expect("an id").to_string())
            .collect();
        assert_eq!(ids.len(), 6, "each has an id of its own: {ids:?}");
        let first = headers(&told[0]);
        assert_eq!(first["cloudEvents_specversion"], "1.0");
        assert_eq!(first["cloudEvents_type"], "tidegate.row.insert");
        assert!(headers(&told[2]).contains_key("__debezium.newkey"), "{:?}", headers(&told[2]));
        assert_eq!(*told[0].properties.delivery_mode(), Some(2));
    });
}

#[test]
fn no_row_is_left_out_though_broker_and_holder_are_killed_in_mid_flow() {
    const ROWS: i64 = 3_000;
    scenario(async |_| {
        let settings = [
            ("exchange.enabled", "true"),
            ("journal.confirm_delay_ms", "500"),
            ("postgres.tables", r#"["public.*"]"#),
        ];
        let mut house = House::open(2, "create table public.rows (id bigint primary key);", &settings).await;
        let url = house.broker.url("/");
        let mut service = Service::bind(&url, "public.rows.insert").await;
        let writing = {
            let client = house.database.client().await;
            crate::stage::spawn(async move {
                for id in 0..ROWS {
                    let sql = format!("insert into public.rows values ({id})");
                    client.batch_execute(&sql).await.expect("PostgreSQL is up");
                }
            })
        };
        let (mut told, mut killed) = (BTreeMap::<i64, usize>::new(), 0);
        while told.len() < usize::try_from(ROWS).expect("small") {
            if killed == 0 && told.len() > 500 {
                killed = 1;
                let holder = house.holder().await;
                house.servers[holder].kill().await;
                house.servers[holder].start();
            }
            if killed == 1 && told.len() > 1_500 {
                killed = 2;
                house.crash_broker();
                service = Service::bind(&url, "public.rows.insert").await;
            }
            let message = service.next().await;
            *told.entry(body(&message)["after"]["id"].as_i64().expect("a number")).or_default() += 1;
        }
        writing.await.expect("the writer does not panic");
        let again: usize = told.values().map(|count| count - 1).sum();
        println!("{ROWS} rows, {again} told again, after {killed} kills");
        assert_eq!(killed, 2);
        service.connection.close(200, "OK".into()).await.expect("it is open");
        house.close().await;
    });
}
