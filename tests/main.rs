//! The integration tests, in one binary.

mod fixture;

mod catalog;
mod clusters;
mod config;
mod layers;
mod snapshot;
mod source;
