use bytes::{BufMut, Bytes, BytesMut};

/// One image of a row, as the stream carries it: the column values in the order of its [`Relation`], unparsed.
///
/// Layout: that of `TupleData` without its leading column count. A column is `Byte1` kind; for `t`, `Int32` length
/// in bytes, then that many bytes of PostgreSQL's text form.
/// See <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>.
///
/// [`Relation`]: super::Relation
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row(Bytes);

/// One column's value in one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datum<'a> {
    /// SQL NULL; in an old image that carries only the key, also every column outside it.
    Null,
    /// A large value that did not change, and that the stream therefore leaves out.
    Unchanged,
    /// Not told: a column outside the key, of an image that carries only that. No [`Row`] gives it by itself, since the
    /// stream has NULL in its place.
    Untold,
    /// PostgreSQL's text form.
    Text(&'a [u8]),
}

/// A tuple whose lengths or kinds do not add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tuple is cut short or has an unknown kind of column")]
pub struct InvalidRow;

const NULL: u8 = b'n';
const UNCHANGED: u8 = b'u';
const TEXT: u8 = b't';

impl Row {
    /// Takes `columns` columns off the front of `body`, which keeps the rest.
    ///
    /// # Errors
    /// [`InvalidRow`] if `body` ends before they do, or holds a kind other than `n`, `u` and `t` (binary values are
    /// never asked for). `body` is then left as it was.
    pub fn split_off(body: &mut Bytes, columns: usize) -> Result<Self, InvalidRow> {
        let mut rest: &[u8] = body;
        for _ in 0..columns {
            next_column(&mut rest)?;
        }
        let length = body.len() - rest.len();
        Ok(Self(body.split_to(length)))
    }

    /// The values in column order.
    pub fn columns(&self) -> impl Iterator<Item = Datum<'_>> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| next_column(&mut rest).expect("checked when the row was made"))
        })
    }

    /// The value of column `index`, counted from 0; `None` beyond the last column.
    ///
    /// Walks over the columns before it.
    pub fn get(&self, index: usize) -> Option<Datum<'_>> {
        self.columns().nth(index)
    }

    /// The size of the image in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the image has no columns at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The encoded columns, for the journal's own encoding.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

fn next_column<'a>(rest: &mut &'a [u8]) -> Result<Datum<'a>, InvalidRow> {
    let (kind, tail) = rest.split_first().ok_or(InvalidRow)?;
    let (datum, tail) = match *kind {
        NULL => (Datum::Null, tail),
        UNCHANGED => (Datum::Unchanged, tail),
        TEXT => {
            let (length, tail) = tail.split_first_chunk::<4>().ok_or(InvalidRow)?;
            let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| InvalidRow)?;
            let (text, tail) = tail.split_at_checked(length).ok_or(InvalidRow)?;
            (Datum::Text(text), tail)
        }
        _ => return Err(InvalidRow),
    };
    *rest = tail;
    Ok(datum)
}

/// Builds a [`Row`] column by column.
#[derive(Debug, Default)]
pub struct RowBuilder(BytesMut);

impl RowBuilder {
    /// An image without columns yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one column.
    ///
    /// # Panics
    /// If a value is longer than 2 GiB, which PostgreSQL's own limit of 1 GiB a field excludes.
    pub fn push(&mut self, datum: Datum<'_>) -> &mut Self {
        match datum {
            Datum::Null | Datum::Untold => self.0.put_u8(NULL),
            Datum::Unchanged => self.0.put_u8(UNCHANGED),
            Datum::Text(text) => {
                self.0.put_u8(TEXT);
                self.0.put_i32(i32::try_from(text.len()).expect("PostgreSQL's fields are at most 1 GiB"));
                self.0.put_slice(text);
            }
        }
        self
    }

    /// The finished image.
    pub fn finish(self) -> Row {
        Row(self.0.freeze())
    }
}

impl<'a> FromIterator<Datum<'a>> for Row {
    fn from_iter<I: IntoIterator<Item = Datum<'a>>>(columns: I) -> Self {
        let mut builder = RowBuilder::new();
        for column in columns {
            builder.push(column);
        }
        builder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_back_as_they_were_pushed_and_the_rest_is_left() {
        let columns = [Datum::Text(b"7"), Datum::Null, Datum::Unchanged, Datum::Text(b"")];
        let row: Row = columns.into_iter().collect();
        let mut body = BytesMut::from(&row.as_bytes()[..]);
        body.put_slice(b"rest");
        let mut body = body.freeze();
        let taken = Row::split_off(&mut body, 4).expect("complete");
        assert_eq!(taken.columns().collect::<Vec<_>>(), columns);
        assert_eq!(taken.get(3), Some(Datum::Text(b"")));
        assert_eq!(taken.get(4), None);
        assert_eq!(&body[..], b"rest");
    }

    #[test]
    fn every_prefix_of_a_row_is_refused() {
        let row: Row = [Datum::Text(b"seven"), Datum::Null].into_iter().collect();
        for length in 0..row.len() {
            let mut body = row.as_bytes().slice(..length);
            assert_eq!(Row::split_off(&mut body, 2), Err(InvalidRow));
            assert_eq!(body.len(), length);
        }
    }
}
