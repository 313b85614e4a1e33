//! Services that publish through the broker, and browsers that listen.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::house::House;
use super::server;
use crate::client::Client;
use crate::fixture::{DEADLINE, eventually, scenario};
use crate::publish::{listen, publish};

const NOTHING: &str = "create table public.cards (id bigint primary key);";

/// A service.
struct Service {
    channel: Channel,
    _connection: Connection,
}

impl Service {
    async fn connect(url: &str) -> Self {
        let connection = loop {
            match Connection::connect(url, ConnectionProperties::default()).await {
                Ok(connection) => break connection,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        };
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        Self { channel, _connection: connection }
    }

    /// Publishes, and waits until the broker has it.
    async fn publish(&self, channel: &str, body: &[u8], properties: BasicProperties) -> lapin::Result<()> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = properties.with_delivery_mode(2);
        let sent =
            self.channel.basic_publish("tidegate.publish".into(), channel.into(), options, body, properties);
        match sent.await?.await? {
            Confirmation::Ack(None) => Ok(()),
            // Returned, since nothing is bound to the exchange yet, or not stored.
            _ => Err(lapin::ErrorKind::FutureCompleted.into()),
        }
    }
}

/// Binary mode: attributes in headers.
fn attributes(pairs: &[(&str, &str)]) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, text) in pairs {
        headers.insert(format!("cloudEvents_{name}").into(), AMQPValue::LongString((*text).into()));
    }
    BasicProperties::default().with_headers(headers)
}

/// Reads events until `last` says so.
async fn read(client: &mut Client, mut last: impl FnMut(&Value) -> bool) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let frame = client.next().await.expect("the connection lives");
        if frame["type"] != "events" {
            continue;
        }
        for event in frame["events"].as_array().expect("a list") {
            events.push(event.clone());
            if last(event) {
                return events;
            }
        }
    }
}

#[test]
fn what_a_service_publishes_reaches_the_browsers_of_every_server_and_rubbish_goes_where_it_can_be_found() {
    scenario(async |test| {
        test.expect_in_log("rejected what a service has published");
        let (database, vhost) = (test.database().await, test.vhost().await);
        database.execute(NOTHING).await;
        let (first, second) = (server(&database, &vhost, &[]).await, server(&database, &vhost, &[]).await);
        let mut listeners = [listen(&first, "deploys.eu").await, listen(&second, "deploys.eu").await];
        let service = eventually("the exchange is there", async || {
            let service = Service::connect(&vhost.url()).await;
            let probe = service.publish("probe", b"1", BasicProperties::default()).await;
            probe.is_ok().then_some(service)
        })
        .await;
        let plain = BasicProperties::default();
        let large = vec![b'1'; 300_000];
        for rubbish in [&b"{"[..], b"", b"\xFF\xFE", &large] {
            service.publish("deploys.eu", rubbish, plain.clone()).await.expect("the broker takes it");
        }
        service.publish("deploys.eu", b"1", attributes(&[("id", "")])).await.expect("the broker takes it");
        let built =
            attributes(&[("id", "7"), ("source", "/ci"), ("type", "build.done"), ("traceparent", "00-ab")]);
        for _ in 0..3 {
            service.publish("deploys.eu", br#"{"n": 1}"#, built.clone()).await.expect("the broker takes it");
        }
        let structured = json!({"specversion": "1.0", "id": "8", "source": "/ci", "type": "t", "data": [2]});
        let kind = BasicProperties::default().with_content_type("application/cloudevents+json".into());
        service.publish("deploys.eu", structured.to_string().as_bytes(), kind).await.expect("it takes it");
        assert_eq!(publish(&second, json!({"channel": "deploys.eu", "data": "posted"})).await.0, 200);
        database.execute("select pg_logical_emit_message(true, 'tidegate:deploys.eu', '\"emitted\"')").await;
        for listener in &mut listeners {
            let (mut posted, mut emitted) = (false, false);
            let events = read(listener, |event| {
                posted |= event["data"] == "posted";
                emitted |= event["data"] == "emitted";
                posted && emitted
            })
            .await;
            assert_eq!(events.len(), 4, "{events:?}");
            assert_eq!(
                (&events[0]["id"], &events[0]["data"], &events[0]["traceparent"]),
                (&json!("7"), &json!({"n": 1}), &json!("00-ab"))
            );
            assert_eq!((&events[1]["id"], &events[1]["data"]), (&json!("8"), &json!([2])));
        }
        let reasons = rejected(&service, 5).await;
        assert!(reasons.iter().any(|reason| reason.contains("publish.max_bytes")), "{reasons:?}");
        assert_eq!(
            reasons.iter().filter(|reason| reason.contains("not one JSON value")).count(),
            3,
            "{reasons:?}"
        );
        assert!(reasons.iter().any(|reason| reason.contains("`id`")), "{reasons:?}");
    });
}

/// The reasons in the queue of what was rejected.
async fn rejected(service: &Service, count: usize) -> Vec<String> {
    let queue = "tidegate.publish.rejected";
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer =
        service.channel.basic_consume(queue.into(), "".into(), options, none).await.expect("it is there");
    let mut reasons = Vec::new();
    while reasons.len() < count {
        let delivery =
            timeout(DEADLINE, consumer.next()).await.expect("one more").expect("one").expect("one");
        let headers = delivery.properties.headers().as_ref().expect("headers").inner();
        let Some(AMQPValue::LongString(reason)) = headers.get("x-tidegate-reason") else {
            panic!("no reason")
        };
        reasons.push(reason.to_string());
        delivery.ack(BasicAckOptions::default()).await.expect("it takes it");
    }
    reasons
}

#[test]
fn a_flood_of_events_loses_none_and_repeats_none_though_broker_and_writer_are_killed_in_the_middle() {
    const EVENTS: usize = 4_000;
    scenario(async |_| {
        let mut house = House::open(2, NOTHING, &[]).await;
        let url = house.broker.url("/");
        let mut listener = Client::connect(house.servers[0].address).await;
        listener.subscribe(json!({"id": "c", "channel": "flood"})).await;
        let mut cursor = listener.expect("subscribed").await["cursor"].clone();
        let flood = crate::stage::spawn(async move {
            let mut service = Service::connect(&url).await;
            let mut next = 0;
            while next < EVENTS {
                let properties = attributes(&[("id", &next.to_string()), ("source", "/flood")]);
                match service.publish("flood", next.to_string().as_bytes(), properties).await {
                    Ok(()) => next += 1,
                    // It sends again whatever it was not told of: at least once.
                    Err(_) => service = Service::connect(&url).await,
                }
            }
        });
        let mut told: BTreeMap<u64, usize> = BTreeMap::new();
        let (mut killed, mut since) = (0, Instant::now());
        while told.len() < EVENTS {
            if told.len() > EVENTS / 4 && killed == 0 {
                killed = 1;
                house.crash_broker();
            }
            if told.len() > EVENTS / 2 && killed == 1 {
                killed = 2;
                let holder = house.holder().await;
                house.servers[holder].kill().await;
                house.servers[holder].start();
            }
            let next = listener.next_within(Duration::from_mins(1)).await.expect("the flood goes on");
            let Ok(frame) = next else {
                listener = eventually("a server is there", async || {
                    let server = &house.servers[fastrand::usize(..2)];
                    Client::try_connect(server.address).await.ok()
                })
                .await;
                listener.subscribe(json!({"id": "c", "channel": "flood", "cursor": cursor})).await;
                continue;
            };
            assert_ne!(frame["type"], "resync", "{frame}");
            if frame["type"] == "error" {
                listener.subscribe(json!({"id": "c", "channel": "flood", "cursor": cursor})).await;
                continue;
            }
            assert!(since.elapsed() < DEADLINE, "{} of {EVENTS} came, then nothing", told.len());
            if let Some(events) = frame["events"].as_array() {
                since = Instant::now();
                for event in events {
                    *told.entry(event["data"].as_u64().expect("a number")).or_default() += 1;
                }
            }
            if frame["cursor"].is_string() {
                cursor = frame["cursor"].clone();
            }
        }
        flood.await.expect("the service does not panic");
        let twice: Vec<_> = told.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "told twice: {twice:?}");
        assert_eq!(killed, 2);
        house.close().await;
    });
}

#[test]
fn a_queue_with_other_arguments_is_named_and_stops_nothing_else() {
    scenario(async |test| {
        test.expect_in_log("events of services cannot be taken");
        let (database, vhost) = (test.database().await, test.vhost().await);
        database.execute(NOTHING).await;
        let service = Service::connect(&vhost.url()).await;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let none = FieldTable::default();
        service.channel.queue_declare("tidegate.publish".into(), durable, none).await.expect("it is made");
        let server = server(&database, &vhost, &[]).await;
        let mut listener = listen(&server, "c").await;
        database.execute("select pg_logical_emit_message(true, 'tidegate:c', '1')").await;
        assert_eq!(read(&mut listener, |_| true).await[0]["data"], 1);
        eventually("the log names it", async || {
            test.logged("cannot declare the queue `tidegate.publish`").then_some(())
        })
        .await;
        service
            .channel
            .queue_delete("tidegate.publish".into(), QueueDeleteOptions::default())
            .await
            .expect("it goes");
        eventually("events are taken", async || {
            let (status, _) =
                publish(&server, json!({"channel": "c", "data": 2, "id": "2", "source": "/s"})).await;
            (status == 200).then_some(())
        })
        .await;
        assert_eq!(read(&mut listener, |_| true).await[0]["data"], 2);
    });
}
