use tokio_postgres::{Client, Error};

/// A file of `sql/`: its name and its text.
type File = (&'static str, &'static str);

/// The board schema, in the order in which it builds up.
pub(super) const BOARDS: &[File] = &[
    ("0001_boards.sql", include_str!("../../../sql/0001_boards.sql")),
    ("0002_entries.sql", include_str!("../../../sql/0002_entries.sql")),
    ("0003_activities.sql", include_str!("../../../sql/0003_activities.sql")),
    ("0004_kpi_values.sql", include_str!("../../../sql/0004_kpi_values.sql")),
];

/// What comes on top for people who log in.
pub(super) const MEMBERS: &[File] = &[("0005_members.sql", include_str!("../../../sql/0005_members.sql"))];

/// Applies files of `sql/`, in one transaction.
pub(super) async fn apply(client: &mut Client, files: &[File]) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    for (name, sql) in files {
        tracing::debug!(name, "applying");
        transaction.batch_execute(sql).await?;
    }
    transaction.commit().await
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_schema_is_embedded_in_order() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        let mut names: Vec<_> = fs::read_dir(folder)
            .expect("the schema is part of the tree")
            .map(|entry| entry.expect("readable").file_name().into_string().expect("ASCII"))
            .collect();
        names.sort();
        let embedded: Vec<_> = BOARDS.iter().chain(MEMBERS).map(|(name, _)| *name).collect();
        assert_eq!(names, embedded);
    }
}
