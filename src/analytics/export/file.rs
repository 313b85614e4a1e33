use std::io;
use std::sync::Arc;

use object_store::{PutPayload, PutPayloadMut};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::table::{Kind, Table};
use crate::postgres::Fields;

/// A Parquet file that rows are put into, a group of them at a time: of what is in it only the encoded bytes are kept.
pub(super) struct File {
    table: &'static Table,
    writer: SerializedFileWriter<Body>,
}

/// In blocks, since a vector of hundreds of megabytes would be copied as it grows.
struct Body(PutPayloadMut);

const BLOCK: usize = 256 * 1024;

impl File {
    pub(super) fn new(table: &'static Table) -> Result<Self, ParquetError> {
        let schema = Arc::new(parse_message_type(&schema(table))?);
        let level = ZstdLevel::try_new(3)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let body = Body(PutPayloadMut::new().with_block_size(BLOCK));
        Ok(Self { table, writer: SerializedFileWriter::new(body, schema, Arc::new(properties))? })
    }

    /// Puts rows in, as a row group.
    pub(super) fn put(&mut self, rows: &[Fields]) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for (place, (_, kind)) in self.table.columns.iter().enumerate() {
            let column = group.next_column()?;
            let column = column.ok_or_else(|| ParquetError::General("a column is missing".to_owned()))?;
            write(column, *kind, rows.iter().map(|row| row.text(place)))?;
        }
        group.close().map(drop)
    }

    /// How many it has by now.
    pub(super) fn bytes(&self) -> usize {
        self.writer.bytes_written()
    }

    /// All of it.
    pub(super) fn end(self) -> Result<PutPayload, ParquetError> {
        Ok(self.writer.into_inner()?.0.freeze())
    }
}

impl io::Write for Body {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// See <https://github.com/apache/parquet-format/blob/master/LogicalTypes.md>.
fn schema(table: &Table) -> String {
    let column = |(name, kind): &(&str, Kind)| match kind {
        Kind::Number => format!("optional int64 {name};"),
        Kind::Double => format!("optional double {name};"),
        Kind::Text => format!("optional binary {name} (STRING);"),
        Kind::Moment => format!("optional int64 {name} (TIMESTAMP(MICROS,true));"),
        Kind::Truth => format!("optional boolean {name};"),
    };
    let columns: Vec<_> = table.columns.iter().map(column).collect();
    format!("message {} {{ {} }}", table.name, columns.join(" "))
}

fn write<'a>(
    mut column: SerializedColumnWriter<'_>,
    kind: Kind,
    texts: impl Iterator<Item = Option<&'a str>>,
) -> Result<(), ParquetError> {
    let texts: Vec<Option<&str>> = texts.collect();
    let levels: Vec<i16> = texts.iter().map(|text| i16::from(text.is_some())).collect();
    let present = texts.into_iter().flatten();
    match kind {
        Kind::Number | Kind::Moment => {
            let values = parsed::<i64>(present)?;
            column.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
        }
        Kind::Double => {
            let values = parsed::<f64>(present)?;
            column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
        }
        Kind::Text => {
            let values: Vec<ByteArray> = present.map(ByteArray::from).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
        }
        Kind::Truth => {
            let values: Vec<bool> = present.map(|text| text == "true").collect();
            column.typed::<BoolType>().write_batch(&values, Some(&levels), None)?;
        }
    }
    column.close()
}

fn parsed<'a, T: std::str::FromStr>(texts: impl Iterator<Item = &'a str>) -> Result<Vec<T>, ParquetError> {
    texts
        .map(|text| text.parse().map_err(|_| ParquetError::General(format!("`{text}` is no such number"))))
        .collect()
}
