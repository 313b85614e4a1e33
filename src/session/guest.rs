use crate::limit::Meter;

/// Who came: how much it may ask.
#[derive(Debug)]
pub struct Guest {
    /// What it asks is counted by this.
    pub meter: Meter,
}
