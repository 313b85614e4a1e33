use fractional_index::FractionalIndex;
use tokio_postgres::{Error, Transaction};

/// A place above all others is a little longer than theirs now and then, so after some thousand cards a column is laid
/// out anew. In characters, two a byte.
const LONGEST: usize = 32;

/// Where a column has room for one more card, on top.
enum Room {
    Free(String),
    /// Once those that are there, from top to bottom, stand here.
    Relaid {
        column: Vec<String>,
        top: String,
    },
}

/// The places of a column of that many cards, from top to bottom.
pub(super) fn column(cards: usize) -> Vec<String> {
    below(FractionalIndex::default(), cards)
}

/// A place above all cards of a state, which may have to move for it.
pub(super) async fn top(transaction: &Transaction<'_>, state: i64) -> Result<String, Error> {
    // Texts that others chose otherwise stay where they are.
    const COLUMN: &str = "
        select id, position
        from public.entries
        where state_id = $1
          and position ~ '^([0-9a-f]{2})*80$'
        order by position
        for update";
    const RELAY: &str = "
        update public.entries set
          position = relaid.position
        from unnest($1::bigint[], $2::text[]) as relaid (id, position)
        where entries.id = relaid.id";
    let rows = transaction.query(COLUMN, &[&state]).await?;
    let (ids, places): (Vec<i64>, Vec<String>) =
        rows.iter().map(|row| (row.get::<_, i64>(0), row.get::<_, String>(1))).unzip();
    match room(&places) {
        Room::Free(top) => Ok(top),
        Room::Relaid { column, top } => {
            transaction.execute(RELAY, &[&ids, &column]).await?;
            Ok(top)
        }
    }
}

fn room(column: &[String]) -> Room {
    let (Some(highest), Some(lowest)) = (column.first(), column.last()) else {
        return Room::Free(FractionalIndex::default().to_string());
    };
    let top = FractionalIndex::new_before(&place(highest)).to_string();
    if top.len() <= LONGEST {
        return Room::Free(top);
    }
    // Below all that are taken, so that no two meet on the way.
    let mut column = below(FractionalIndex::new_after(&place(lowest)), column.len() + 1);
    let top = column.remove(0);
    Room::Relaid { column, top }
}

fn below(first: FractionalIndex, count: usize) -> Vec<String> {
    let places = std::iter::successors(Some(first), |last| Some(FractionalIndex::new_after(last)));
    places.take(count).map(|place| place.to_string()).collect()
}

fn place(text: &str) -> FractionalIndex {
    FractionalIndex::from_string(text).expect("an even number of hexadecimal digits with 80 in the end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_short_and_in_order_however_many_cards_come_and_go() {
        let mut column = column(4);
        let mut relaid = 0;
        for step in 0..50_000 {
            let top = match room(&column) {
                Room::Free(top) => top,
                Room::Relaid { column: moved, top } => {
                    assert!(column.iter().all(|taken| !moved.contains(taken) && *taken != top));
                    assert_eq!(moved.len(), column.len());
                    relaid += 1;
                    column = moved;
                    top
                }
            };
            column.insert(0, top);
            if step % 3 > 0 || column.len() > 20 {
                column.truncate(column.len() - 1);
            }
            assert!(column.is_sorted() && column.iter().all(|place| place.len() <= LONGEST), "{column:?}");
        }
        assert!(relaid > 0);
    }
}
