//! The integration tests, in one binary.

mod fixture;

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
