//! Measures: each against a computation of its own, over histories that chance writes, while parts are killed.

mod anew;
mod charts;
mod exactly_once;
mod export;
mod history;
mod independent;
mod jobs;
mod killed;
mod live;
mod loads;
mod retention;
mod states;
mod work;
