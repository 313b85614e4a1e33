//! The integration tests, in one binary.

mod client;
mod fixture;
mod server;

mod catalog;
mod check;
mod clusters;
mod config;
mod conversation;
mod layers;
mod publication;
mod snapshot;
mod source;
mod oracle;
