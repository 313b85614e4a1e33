use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::table::{Kind, Table};
use crate::postgres::Fields;

/// Rows as a Parquet file, each group of them a row group.
pub(super) fn encode(table: &Table, groups: &[Vec<Fields>]) -> Result<Vec<u8>, ParquetError> {
    let schema = Arc::new(parse_message_type(&schema(table))?);
    let level = ZstdLevel::try_new(3)?;
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let mut body = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut body, schema, Arc::new(properties))?;
    for rows in groups {
        let mut group = writer.next_row_group()?;
        for (place, (_, kind)) in table.columns.iter().enumerate() {
            let column = group.next_column()?;
            let column = column.ok_or_else(|| ParquetError::General("a column is missing".to_owned()))?;
            write(column, *kind, rows.iter().map(|row| row.text(place)))?;
        }
        group.close()?;
    }
    writer.close()?;
    Ok(body)
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
