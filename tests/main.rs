//! The integration tests, in one binary.

mod client;
mod fixture;
mod server;

mod catalog;
mod check;
mod clusters;
mod config;
mod conversation;
mod invariants;
mod layers;
mod publication;
mod seam;
mod snapshot;
mod source;
mod oracle;
