use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{Format, IsNull, ToSql, Type};

/// A parameter in PostgreSQL's text form, of whatever type the statement gives it: the type's own input function
/// reads it.
#[derive(Debug)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl Text<'_> {
    /// The type to announce a parameter with, for PostgreSQL to infer it from its place in the statement.
    pub(super) const INFERRED: Type = Type::UNKNOWN;
}

impl ToSql for Text<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(ty, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
}
