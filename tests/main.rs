//! The integration tests, in one binary.

mod fixture;

mod clusters;
mod config;
mod layers;
mod oracle;
