use refinery::Migration;

/// A file of `sql/`.
pub(super) struct File {
    /// Its name, as in `0001_people`.
    pub(super) name: &'static str,
    sql: &'static str,
}

macro_rules! file {
    ($name:literal) => {
        File { name: $name, sql: include_str!(concat!("../../../sql/", $name, ".sql")) }
    };
}

/// Those of the history.
pub(super) const ANALYTICS: &[File] =
    &[File { name: "0001_facts", sql: include_str!("../../../sql/analytics/0001_facts.sql") }];

/// Those of the application, in the order in which they build up. One that has been released is never changed again: the
/// next one mends it.
pub(super) const APPLICATION: &[File] = &[
    file!("0001_people"),
    file!("0002_boards"),
    file!("0003_workflows"),
    file!("0004_entries"),
    file!("0005_activities"),
    file!("0006_kpis"),
    file!("0007_records"),
    file!("0008_jobs"),
];

impl File {
    /// The file as refinery names it: `0001_people` is its `V1__people`.
    pub(super) fn migration(&self) -> Migration {
        let (number, name) = self.name.split_once('_').expect("a number comes first, as is tested");
        let version: i32 = number.parse().expect("digits, as is tested");
        Migration::unapplied(&format!("V{version}__{name}"), self.sql).expect("a name of refinery's form")
    }
}

/// The name of a file that this program may not have.
pub(super) fn name_of(version: i32, name: &str) -> String {
    format!("{version:04}_{name}")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_schema_is_embedded_in_order() {
        for (folder, files) in [("sql", APPLICATION), ("sql/analytics", ANALYTICS)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let mut names: Vec<_> = fs::read_dir(folder)
                .expect("the schema is part of the tree")
                .map(|entry| entry.expect("readable"))
                .filter(|entry| entry.path().is_file())
                .map(|entry| entry.file_name().into_string().expect("ASCII"))
                .collect();
            names.sort();
            let files: Vec<_> = files.iter().map(|file| format!("{}.sql", file.name)).collect();
            assert_eq!(names, files);
        }
    }

    #[test]
    fn the_numbers_have_no_gap_and_names_are_the_same_there_and_back() {
        for (number, file) in (1..).zip(APPLICATION).chain((1..).zip(ANALYTICS)) {
            let migration = file.migration();
            assert_eq!(migration.version(), number);
            assert_eq!(name_of(migration.version(), migration.name()), file.name);
        }
    }
}
