//! `check` on brokers with something wrong.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use tidegate::journal::{self, StreamConfig};
use tidegate::report::{Finding, Report, Severity};

use crate::fixture::{Test, Vhost, private_broker, scenario};

const PASSWORD: &str = "not-to-be-shown";

/// A virtual host for one test, and a user of its name who may do nothing in it yet.
struct Place {
    vhost: Vhost,
    /// `host:port`.
    address: String,
}

impl Place {
    async fn create(test: &Test) -> Self {
        let vhost = test.vhost().await;
        vhost.ctl(&["add_user", vhost.name(), PASSWORD]);
        let url = vhost.url();
        let (_, address) = url.rsplit_once('@').expect("a full URL");
        let (address, _) = address.split_once('/').expect("a virtual host");
        Self { address: address.to_owned(), vhost }
    }

    fn name(&self) -> &str {
        self.vhost.name()
    }

    fn allow(&self, configure: &str, write: &str, read: &str) {
        let name = self.name();
        self.vhost.ctl(&["set_permissions", "--vhost", name, name, configure, write, read]);
    }

    fn config(&self) -> StreamConfig {
        config(&format!("amqp://{0}:{PASSWORD}@{1}/{0}", self.name(), self.address))
    }

    fn objects(&self) -> String {
        let name = self.name();
        let queues =
            self.vhost.ctl(&["list_queues", "--vhost", name, "name", "durable", "arguments", "consumers"]);
        let exchanges = self.vhost.ctl(&["list_exchanges", "--vhost", name, "name", "arguments"]);
        format!("{queues}{exchanges}")
    }

    /// Makes a stream with a maximum age in seconds, and the other limits of [`config`].
    async fn make_stream(&self, seconds: u64) {
        let connection = Connection::connect(&self.vhost.url(), ConnectionProperties::default()).await;
        let connection = connection.expect("it is there");
        let channel = connection.create_channel().await.expect("it takes channels");
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("stream".into()));
        arguments.insert("x-max-age".into(), AMQPValue::LongString(format!("{seconds}s").into()));
        arguments.insert("x-max-length-bytes".into(), AMQPValue::LongLongInt(1 << 30));
        arguments.insert("x-stream-max-segment-size-bytes".into(), AMQPValue::LongLongInt(1 << 27));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare("tidegate.journal".into(), options, arguments).await.expect("it is new");
        connection.close(200, "OK".into()).await.expect("it is open");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.vhost.ctl(&["delete_user", self.name()]);
    }
}

fn config(url: &str) -> StreamConfig {
    StreamConfig {
        url: url.parse().expect("valid"),
        stream: "tidegate.journal".into(),
        max_age: Duration::from_hours(1),
        max_bytes: 1 << 30,
        confirm_delay: Duration::ZERO,
        window_bytes: 1 << 20,
        event_bytes: 1 << 18,
    }
}

async fn look(config: &StreamConfig) -> Report {
    let report = journal::check(config).await;
    println!("{report:#?}");
    assert!(!format!("{report:?}").contains(PASSWORD), "{report:#?}");
    report
}

fn about<'a>(report: &'a Report, subject: &str) -> Vec<&'a Finding> {
    report.findings.iter().filter(|finding| finding.subject == subject).collect()
}

fn faults(report: &Report) -> Vec<&Finding> {
    report.findings.iter().filter(|finding| finding.severity == Severity::Fault).collect()
}

/// Runs what mends the last fault.
fn mend(place: &Place, report: &Report) {
    let fault = *faults(report).last().expect("there is one");
    let remedy = fault.remedy.as_ref().unwrap_or_else(|| panic!("{fault:?}"));
    for command in remedy.command.lines() {
        let (command, _) = command.split_once(" #").unwrap_or((command, ""));
        let words = command.strip_prefix("rabbitmqctl ").expect("a command").split(' ');
        let words: Vec<&str> = words.map(|word| word.trim_matches('\'')).collect();
        place.vhost.ctl(&words);
    }
}

#[test]
fn a_broker_is_told_of_and_left_as_it_was() {
    scenario(async |test| {
        let place = Place::create(test).await;
        place.allow(".*", ".*", ".*");
        let before = place.objects();
        let report = look(&place.config()).await;
        assert!(!report.has_faults(), "{report:#?}");
        assert!(about(&report, "broker")[0].message.starts_with("RabbitMQ 3."));
        assert!(about(&report, "stream")[0].message.contains("not there yet"));
        assert_eq!(about(&report, "alarms")[0].severity, Severity::Fine);
        assert_eq!(place.objects(), before);

        place.make_stream(3600).await;
        let before = place.objects();
        let report = look(&place.config()).await;
        assert!(!report.has_faults(), "{report:#?}");
        assert_eq!(about(&report, "stream")[0].severity, Severity::Fine);
        assert_eq!(place.objects(), before);
    });
}

#[test]
fn a_stream_with_other_limits_is_a_fault_that_names_them() {
    scenario(async |test| {
        let place = Place::create(test).await;
        place.allow(".*", ".*", ".*");
        place.make_stream(60).await;
        let before = place.objects();
        let report = look(&place.config()).await;
        let [fault] = faults(&report)[..] else { panic!("{report:#?}") };
        assert!(fault.subject == "stream" && fault.message.contains("'x-max-age'"), "{fault:?}");
        assert_eq!(place.objects(), before);
        mend(&place, &report);
        assert!(!look(&place.config()).await.has_faults());
    });
}

#[test]
fn permissions_that_are_missing_are_named_one_by_one() {
    scenario(async |test| {
        let place = Place::create(test).await;
        let denied = |report: &Report| {
            let denied = about(report, "permissions").into_iter();
            denied
                .filter(|finding| finding.severity == Severity::Fault)
                .map(|finding| finding.message.split_once(" may not ").expect("says what").1.to_owned())
                .collect::<Vec<_>>()
        };
        place.allow("", "", "");
        let report = look(&place.config()).await;
        let all = [
            "configure the queue `tidegate.journal`",
            "read the queue `tidegate.journal`",
            "configure the exchange `tidegate.changes`",
            "configure the exchange `tidegate.publish`",
            "configure the queue `tidegate.publish`",
            "configure the queue `tidegate.publish.rejected`",
            "write the exchange `tidegate.changes`",
            "write the queue `tidegate.publish`",
            "read the queue `tidegate.publish`",
            "write the exchange `amq.default`",
        ];
        assert_eq!(denied(&report), all);
        mend(&place, &report);
        assert!(!look(&place.config()).await.has_faults(), "the command gives all that it takes");

        place.allow("^tidegate", "^(tidegate|amq.default$)", r"^tidegate\.journal$");
        let report = look(&place.config()).await;
        assert_eq!(
            denied(&report),
            ["read the exchange `tidegate.publish`", "read the queue `tidegate.publish`"]
        );

        place.make_stream(3600).await;
        place.allow(r"^tidegate\.[^j]", "", "^tidegate");
        let report = look(&place.config()).await;
        let some = [
            "configure the queue `tidegate.journal`",
            "write the exchange `tidegate.changes`",
            "write the queue `tidegate.publish`",
            "write the exchange `amq.default`",
        ];
        assert_eq!(denied(&report), some);
    });
}

#[test]
fn whoever_does_not_come_in_is_told_why() {
    scenario(async |test| {
        for word in ["ACCESS_REFUSED", "NOT_ALLOWED", "onnection refused"] {
            // The client library tells of it, too.
            test.expect_in_log(word);
        }
        let report = look(&config(&format!("amqp://app:{PASSWORD}@127.0.0.1:1/v"))).await;
        let [fault] = faults(&report)[..] else { panic!("{report:#?}") };
        assert!(fault.message.starts_with("nothing listens at 127.0.0.1:1"), "{fault:?}");

        let place = Place::create(test).await;
        let (address, name) = (&place.address, place.name());
        let report = look(&config(&format!("amqp://{name}:{PASSWORD}-other@{address}/{name}"))).await;
        assert_eq!(faults(&report)[0].subject, "login");

        let report = look(&place.config()).await;
        assert!(faults(&report)[0].message.contains("has no permission in"), "{report:#?}");
        mend(&place, &report);
        assert!(!look(&place.config()).await.has_faults());

        place.vhost.ctl(&["delete_vhost", name]);
        let report = look(&place.config()).await;
        assert_eq!(faults(&report)[0].message, format!("`{name}` is not there"));
        mend(&place, &report);
        assert!(!look(&place.config()).await.has_faults());
    });
}

#[test]
fn a_broker_with_an_alarm_is_told_of() {
    scenario(async |_| {
        let broker = tokio::task::spawn_blocking(private_broker).await.expect("no panic");
        let limit = |limit| tokio::task::block_in_place(|| broker.ctl(&["set_disk_free_limit", limit]));
        limit("999GB").expect("it takes it");
        let report = look(&config(&broker.url("/"))).await;
        let [fault] = faults(&report)[..] else { panic!("{report:#?}") };
        assert!(fault.subject == "alarms" && fault.message.contains("low on disk"), "{fault:?}");
    });
}
