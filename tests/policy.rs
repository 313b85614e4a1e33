//! Row-level security, with PostgreSQL as the oracle: what is judged here is what `SELECT` gives that role with those claims.

mod examples;
mod house;
