//! Stand-in until the room is merged.
use crate::event::Datum;
/// f
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Filter(u8);
/// e
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// m
    #[error("m")]
    Missing {
        /// c
        column: String,
    },
    /// m
    #[error("m")]
    Raised,
}
impl Filter {
    /// c
    pub fn canonical(&self) -> &str {
        ""
    }
    /// m
    pub fn matches(&self, _row: &[Datum<'_>]) -> Result<bool, RowError> {
        Ok(true)
    }
}
/// i
#[derive(Debug)]
pub struct Index<K>(Vec<K>);
impl<K: Copy + PartialEq> Index<K> {
    /// n
    pub fn new() -> Self {
        Self(Vec::new())
    }
    /// n
    pub fn insert(&mut self, _f: &Filter, k: K) {
        self.0.push(k)
    }
    /// n
    pub fn remove(&mut self, _f: &Filter, k: &K) {
        self.0.retain(|o| o != k)
    }
    /// n
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// n
    pub fn candidates(&self, _row: &[Datum<'_>], out: &mut Vec<K>) {
        out.extend(&self.0)
    }
}
