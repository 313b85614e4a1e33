//! `tidegate demo`: a database of its own, a workload on it, and the server in front.

pub mod cluster;
