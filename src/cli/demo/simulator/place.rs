use tokio_postgres::{Error, Transaction};

use crate::workspace::Place;

/// The places of a column of that many cards, from top to bottom.
pub(super) fn column(cards: usize) -> Vec<String> {
    Place::spread(cards).iter().map(Place::to_string).collect()
}

/// A place above all cards of a state, which move for it when its text would grow long.
pub(super) async fn top(transaction: &Transaction<'_>, state: i64) -> Result<String, Error> {
    const COLUMN: &str = "
        select id, position
        from public.entries
        where state_id = $1
        order by position
        for update";
    const RELAY: &str = "
        update public.entries set
          position = relaid.position
        from unnest($1::bigint[], $2::text[]) as relaid (id, position)
        where entries.id = relaid.id";
    let rows = transaction.query(COLUMN, &[&state]).await?;
    let highest = rows.first().map(|row| Place::parse(&row.get::<_, String>(1))).transpose();
    if let Ok(highest) = highest
        && let Some(top) = Place::between(None, highest.as_ref())
        && !top.is_long()
    {
        return Ok(top.to_string());
    }
    let mut places = column(rows.len() + 1);
    let top = places.remove(0);
    let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    transaction.execute(RELAY, &[&ids, &places]).await?;
    Ok(top)
}
