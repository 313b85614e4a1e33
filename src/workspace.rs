//! What the reference application is made of: its tables, what requests say, and what is answered to them.
//!
//! ```text
//!  Resource   a table's columns, and a row of it as the wire protocol writes it
//!  Shape      what a body or a query may say: one description, which requests are held to and the document shows
//!  Place      keys between two others, so that to move a card is to write one row
//!  Vault      what of people is encrypted before PostgreSQL sees it
//!  Fault      why a request was refused, each with a stable name
//! ```
//!
//! [`command`](crate::command) writes and [`query`](crate::query) reads, both as whoever asks: what they may is for the
//! policies in `sql/` to say.
//!
//! Never here: a socket, a status line, a connection.

mod fault;
mod id;
mod place;
mod resource;
mod shape;
pub mod tables;
mod vault;

pub use fault::{Code, Fault, FieldFault};
pub use id::{Id, Label, Person, Uuid};
pub use place::{InvalidPlace, Place};
pub use resource::{Column, Form, Resource};
pub use shape::{Shape, present};
/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

pub use vault::{InvalidKeys, Keys, NoKey, Unreadable, Vault};
