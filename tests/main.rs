//! The integration tests, in one binary.

mod client;
mod fixture;
mod server;
mod stage;

mod analytics;
mod app;
mod auth;
mod brokers;
mod catalog;
mod check;
mod clusters;
mod commands;
mod config;
mod conversation;
mod edge;
mod encoding;
mod envelope;
mod fuzz;
mod input;
mod invariants;
mod journal;
mod layers;
mod limits;
mod migrate;
mod oracle;
mod protocol;
mod policy;
mod publication;
mod publish;
mod seam;
mod snapshot;
mod sse;
mod source;
mod stream;
mod traps;
