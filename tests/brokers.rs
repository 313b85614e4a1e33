//! The ground that the tests of RabbitMQ stand on.

use std::net::TcpStream;

use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};

use crate::fixture::{eventually, private_broker, scenario};

/// Where the machine's own RabbitMQ and its Erlang's name server are.
const OWN: [u16; 2] = [5672, 4369];

#[test]
fn a_stream_keeps_its_messages_while_a_private_broker_crashes_and_stops() {
    scenario(async |test| {
        test.expect_in_log("lapin");
        let mut broker = private_broker();
        let connection = connect(&broker.url("/")).await;
        let channel = stream(&connection).await.expect("the vhost is ours");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("open");
        for text in ["one", "two"] {
            let sent = channel
                .basic_publish(
                    "".into(),
                    "kept".into(),
                    BasicPublishOptions::default(),
                    text.as_bytes(),
                    persistent(),
                )
                .await;
            let confirmed = sent.expect("open").await.expect("answered");
            assert!(matches!(confirmed, Confirmation::Ack(None)), "{confirmed:?}");
        }
        broker.kill().expect("ours");
        broker.resume().expect("recovers");
        assert_eq!(read(&broker.url("/"), 2).await, ["one", "two"]);
        broker.stop().expect("ours");
        broker.resume().expect("starts again");
        assert_eq!(read(&broker.url("/"), 2).await, ["one", "two"]);
    });
}

#[test]
fn virtual_hosts_of_two_tests_are_strangers() {
    scenario(async |test| {
        let (one, two) = (test.vhost().await, test.vhost().await);
        let (first, second) = (connect(&one.url()).await, connect(&two.url()).await);
        let channel = first.create_channel().await.expect("open");
        let declare = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare("kept".into(), declare, FieldTable::default()).await.expect("ours");
        let passive = QueueDeclareOptions { passive: true, ..declare };
        channel.queue_declare("kept".into(), passive, FieldTable::default()).await.expect("declared above");
        let channel = second.create_channel().await.expect("open");
        let found = channel.queue_declare("kept".into(), passive, FieldTable::default()).await;
        assert!(found.is_err(), "{found:?}");
        assert_eq!(one.ctl(&["list_queues", "-p", one.name(), "name"]).trim(), "kept");
    });
}

#[test]
fn a_private_broker_crashes_alone() {
    scenario(async |test| {
        let listening = || OWN.map(|port| TcpStream::connect(("127.0.0.1", port)).is_ok());
        let before = listening();
        let bystander = test.vhost().await;
        let mut broker = private_broker();
        assert!(bystander.url() != broker.url("/") && !OWN.contains(&broker.port()));
        broker.kill().expect("ours");
        connect(&bystander.url()).await.create_channel().await.expect("it never noticed");
        assert_eq!(listening(), before);
    });
}

async fn connect(url: &str) -> Connection {
    let connected = Connection::connect(url, ConnectionProperties::default()).await;
    connected.unwrap_or_else(|error| panic!("cannot connect to {url}: {error:?}"))
}

async fn stream(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("kept".into(), durable, arguments).await?;
    Ok(channel)
}

/// The first messages of the stream. A broker that has just started greets before its streams have a leader: until
/// then they are «not found», and for a moment after that reading ends the connection with an «internal error».
async fn read(url: &str, count: usize) -> Vec<String> {
    let (_connection, consumer) =
        eventually("the stream has a leader", async || consume(url).await.ok()).await;
    let messages = consumer.take(count).then(async |delivery| {
        let delivery = delivery.expect("open");
        delivery.acker.ack(BasicAckOptions::default()).await.expect("open");
        String::from_utf8(delivery.data).expect("text")
    });
    messages.collect().await
}

async fn consume(url: &str) -> lapin::Result<(Connection, Consumer)> {
    let connection = connect(url).await;
    let channel = stream(&connection).await?;
    channel.basic_qos(100, BasicQosOptions::default()).await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-stream-offset".into(), AMQPValue::LongString("first".into()));
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume("kept".into(), "".into(), options, arguments).await?;
    Ok((connection, consumer))
}

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}
