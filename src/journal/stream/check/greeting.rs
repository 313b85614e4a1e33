use std::io::{self, Read, Write};
use std::time::Duration;

use lapin::tcp::{AMQPUriTcpExt as _, HandshakeError};
use lapin::types::FieldTable;
use lapin::types::parsing::{parse_field_table, parse_long_uint, parse_short_uint};

use tokio::task::spawn_blocking;

use super::super::Url;
use super::Next;
use crate::report::{Report, Severity};

/// What a broker says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Greeting {
    product: String,
    version: String,
}

/// The first release with streams.
const OLDEST: (u32, u32) = (3, 9);
/// The first release in which streams were not new.
const RECOMMENDED: (u32, u32) = (3, 10);

/// Opens AMQP 0-9-1. See <https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, 4.2.2.
const OPENING: &[u8] = b"AMQP\0\0\x09\x01";
/// Type, channel and size of a frame.
const FRAME_HEADER_BYTES: usize = 7;
/// A greeting has some 500 bytes; before the tuning a frame has 4,096 at most, but nobody keeps to it.
const MOST_BYTES: usize = 64 * 1024;
/// A broker greets within milliseconds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the broker is, and whether it is recent enough.
pub(super) async fn look(url: &Url, report: &mut Report) -> Next {
    let url = url.clone();
    let read = spawn_blocking(move || read(&url)).await;
    let (severity, message) = match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
        Ok(greeting) => greeting.judged(),
        Err(error) => (
            Severity::Warning,
            format!("its version cannot be told ({error}): RabbitMQ 3.9 is needed at least"),
        ),
    };
    report.add(severity, "broker", message);
    if severity == Severity::Fault { Next::Stop } else { Next::GoOn }
}

/// Reads a broker's greeting, which the client library keeps to itself, on a connection of its own.
///
/// Blocks for a few times [`TIMEOUT`] at most. The greeting comes before any name or password is told.
fn read(url: &Url) -> io::Result<Greeting> {
    let mut uri = url.0.clone();
    uri.query.connection_timeout = Some(u64::try_from(TIMEOUT.as_millis()).unwrap_or(u64::MAX));
    let mut stream = uri.connect().map_err(|error| match error {
        HandshakeError::Failure(error) => error,
        HandshakeError::WouldBlock(_) => io::ErrorKind::WouldBlock.into(),
    })?;
    // The library leaves it as its own loop needs it.
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(OPENING)?;
    stream.flush()?;
    let mut header = [0; FRAME_HEADER_BYTES];
    stream.read_exact(&mut header)?;
    let size = u32::from_be_bytes([header[3], header[4], header[5], header[6]]) as usize;
    if size > MOST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut method = vec![0; size];
    stream.read_exact(&mut method)?;
    decode(&method).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The method `connection.start`: two numbers that name it, two bytes of the protocol's version, and the properties.
fn decode(method: &[u8]) -> Option<Greeting> {
    const CONNECTION_START: u32 = 0x000a_000a;
    let (rest, name) = parse_long_uint(method).ok()?;
    let (rest, _version) = parse_short_uint(rest).ok()?;
    let (_, properties) = (name == CONNECTION_START).then(|| parse_field_table(rest).ok())??;
    Some(Greeting { product: text(&properties, "product")?, version: text(&properties, "version")? })
}

fn text(properties: &FieldTable, name: &str) -> Option<String> {
    properties.inner().get(name)?.as_long_string().map(ToString::to_string)
}

impl Greeting {
    fn judged(&self) -> (Severity, String) {
        let Self { product, version } = self;
        let name = format!("{product} {version}");
        match self.release() {
            _ if product != "RabbitMQ" => {
                (Severity::Warning, format!("{name}: the journal is known to work with RabbitMQ only"))
            }
            None => (Severity::Note, format!("{name}: 3.9 is needed at least")),
            Some(release) if release < OLDEST => (
                Severity::Fault,
                format!("{name} is too old: streams need 3.9 at least, and 3.10 or later is better"),
            ),
            Some(release) if release < RECOMMENDED => {
                (Severity::Warning, format!("{name} was the first with streams: 3.10 or later is better"))
            }
            Some(_) => (Severity::Fine, name),
        }
    }

    /// The first two parts of the version, if they are numbers.
    fn release(&self) -> Option<(u32, u32)> {
        let mut parts = self.version.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_read_and_no_prefix_of_it() {
        let mut table = Vec::new();
        for (name, value) in [("product", "RabbitMQ"), ("version", "3.10.8")] {
            table.push(u8::try_from(name.len()).expect("short"));
            table.extend_from_slice(name.as_bytes());
            table.push(b'S');
            table.extend_from_slice(&u32::try_from(value.len()).expect("short").to_be_bytes());
            table.extend_from_slice(value.as_bytes());
        }
        let mut method = vec![0, 10, 0, 10, 0, 9];
        method.extend_from_slice(&u32::try_from(table.len()).expect("short").to_be_bytes());
        method.extend_from_slice(&table);
        let greeting = decode(&method).expect("well-formed");
        assert_eq!((greeting.product.as_str(), greeting.release()), ("RabbitMQ", Some((3, 10))));
        for end in 0..method.len() {
            assert_eq!(decode(&method[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_broker_without_streams_is_a_fault_and_another_product_is_not() {
        let severity = |product: &str, version: &str| {
            Greeting { product: product.into(), version: version.into() }.judged().0
        };
        assert_eq!(severity("RabbitMQ", "3.8.34"), Severity::Fault);
        assert_eq!(severity("RabbitMQ", "3.9.0"), Severity::Warning);
        assert_eq!(severity("RabbitMQ", "3.10.8"), Severity::Fine);
        assert_eq!(severity("RabbitMQ", "4.0.0-rc.1"), Severity::Fine);
        assert_eq!(severity("RabbitMQ", "?"), Severity::Note);
        assert_eq!(severity("LavinMQ", "2.0.0"), Severity::Warning);
    }
}
