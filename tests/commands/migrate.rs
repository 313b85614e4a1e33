//! `migrate`, as a shell runs it.

use super::*;

#[test]
fn migrate_says_what_it_applied_and_ends_with_0_1_or_2() {
    scenario(async |test| {
        let database = test.database().await;
        let run =
            async |arguments: &[&str]| outcome(on(&database, &[&["migrate"], arguments].concat())).await;

        let (status, listed, stderr) = run(&["--list"]).await;
        assert_eq!(status, 0, "{stderr}");
        assert!(listed.starts_with("0001_people: to be applied\n"), "{listed}");

        database.execute("create table boards (id int)").await;
        let (status, stdout, stderr) = run(&[]).await;
        assert_eq!((status, stdout.as_str()), (1, "applied 0001_people\n"), "{stderr}");
        let told = "tidegate: could not apply migration `0002_boards`: ";
        assert!(stderr.contains(told) && stderr.contains("\"boards\" already exists"), "{stderr}");

        database.execute("drop table boards").await;
        let (status, stdout, stderr) = run(&[]).await;
        assert_eq!(status, 0, "{stderr}");
        assert!(stdout.starts_with("applied 0002_boards\napplied 0003_workflows\n"), "{stdout}");
        assert_eq!(run(&[]).await.1, "nothing to apply\n");
        let (_, listed, _) = run(&["--list"]).await;
        assert_eq!(listed.lines().filter(|line| line.contains(": applied 2")).count(), 9, "{listed}");

        database.execute("update app.schema_history set checksum = '1' where version = 3").await;
        let (status, _, stderr) = run(&[]).await;
        assert!(status == 1 && stderr.contains("`0003_workflows` was changed"), "{status}: {stderr}");
        let (status, listed, _) = run(&["--list"]).await;
        assert!(status == 0 && listed.contains(", and changed since\n"), "{status}: {listed}");

        let mut nowhere = tidegate(&["migrate"]);
        nowhere.env("TIDEGATE__POSTGRES__URL", "postgres://nobody@127.0.0.1:1/nowhere");
        assert_eq!(outcome(nowhere).await.0, 2);
    });
}

#[test]
fn processes_that_migrate_at_the_same_time_apply_each_once() {
    scenario(async |test| {
        let database = test.database().await;
        let run = || outcome(on(&database, &["migrate"]));
        let outcomes = tokio::join!(run(), run(), run(), run());
        let outcomes = [outcomes.0, outcomes.1, outcomes.2, outcomes.3];
        assert!(outcomes.iter().all(|(status, ..)| *status == 0), "{outcomes:?}");
        let applied = outcomes.iter().flat_map(|(_, stdout, _)| stdout.lines());
        let applied = applied.filter(|line| line.starts_with("applied ")).count();
        assert_eq!(applied, 9, "{outcomes:?}");
        assert_eq!(database.number("select count(*) from app.schema_history").await, 8);
    });
}
