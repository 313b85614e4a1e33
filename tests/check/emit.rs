use tidegate::postgres::check::{self, Config, Severity};

use super::{about, config, settings, sql};
use crate::fixture::{Database, private, scenario};

#[test]
fn who_may_publish_by_sql_is_told_with_the_revoke_and_the_server_keeps_its_own_right() {
    scenario(async |_| {
        // Rights on functions of the catalog are a database's own; roles are the cluster's.
        let cluster = private(&[]);
        let database = Database::create_on(cluster.address()).await;
        database.execute("create role member; create role clerk; create role owner_ superuser login").await;
        let roles = vec!["clerk".to_owned(), "member".to_owned(), "nobody".to_owned()];
        let config = Config { roles, ..config(&database) };
        let look = async || check::run(&settings(&database), &config).await.expect("it can look");
        let report = look().await;
        let told = about(&report, "pg_logical_emit_message")[0];
        assert_eq!(told.severity, Severity::Warning);
        assert!(told.message.contains("as clerk, member may publish"), "{}", told.message);
        database.execute(sql(told)).await;
        let report = look().await;
        assert_eq!(about(&report, "pg_logical_emit_message")[0].severity, Severity::Fine);

        // Whoever changes a table may have no right to write messages: the trigger tells of it all the same.
        let _ = check::fix(&settings(&database), &config).await.expect("may");
        let client = database.client().await;
        let sql = "create schema clerks authorization clerk; set role clerk; create table clerks.t (id int)";
        client.batch_execute(sql).await.expect("DDL goes on");
        let peek = format!(
            "select count(*)::bigint from pg_logical_slot_peek_binary_changes('{}', null, null, 'proto_version', '1',
                 'publication_names', '{}', 'messages', 'true')
              where encode(data, 'escape') like '%tidegate.schema%'",
            "told",
            database.publication()
        );
        let client = database.client().await;
        client
            .batch_execute("select pg_create_logical_replication_slot('told', 'pgoutput')")
            .await
            .expect("a slot");
        client.batch_execute("set role clerk; create table clerks.u (id int)").await.expect("DDL goes on");
        assert_eq!(database.number(&peek).await, 1, "told in the log");
    });
}
