//! The integration tests, in one binary.

mod fixture;

mod catalog;
mod clusters;
mod layers;
mod snapshot;
