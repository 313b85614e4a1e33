//! Row-level security, with PostgreSQL as the oracle: what is judged here is what `SELECT` gives that role with those claims.

mod documented;
mod examples;
mod house;
mod least;
mod probing;
mod redefined;
mod revocation;
mod stream;
mod verdicts;

use serde_json::Value;
use tidegate::auth::{Algorithm, ClaimPath, Rules, Secret, mint};
use tidegate::cli::demo::cluster::Cluster;

use crate::fixture::{Database, private};
use crate::server::Server;

/// Long enough for every hash.
const SECRET: &str = "a secret of the tests, and of nobody else: long enough for each of the hashes.";

/// A cluster of its own, since roles are its; a database with `schema`, a superuser's connection, and a server in front.
async fn served(schema: &str, more: &[(&str, &str)]) -> (Cluster, Database, tokio_postgres::Client, Server) {
    let cluster: Cluster = tokio::task::spawn_blocking(|| private(&[])).await.expect("no panic");
    let database = Database::create_on(cluster.address()).await;
    let sql = database.client().await;
    sql.batch_execute(&format!("{}{schema}", house::AUTH)).await.unwrap_or_else(|error| panic!("{error:?}"));
    let settings = jwt(more);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
    let server = Server::start_with(&database, &settings).await;
    (cluster, database, sql, server)
}

/// The settings of a server that asks for tokens, and `more`.
pub(crate) fn jwt(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = [
        ("auth.mode", "jwt"),
        ("auth.jwt.secret", SECRET),
        ("auth.roles", r#"["authenticated","editor","anon"]"#),
    ];
    own.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A token for a role with these claims.
pub(crate) fn token(role: &str, claims: &Value) -> String {
    let secret: Secret = SECRET.parse().expect("long enough");
    let rules = Rules {
        issuer: None,
        audience: Vec::new(),
        leeway: std::time::Duration::ZERO,
        role: "role".parse::<ClaimPath>().expect("a path"),
        roles: vec![role.to_owned()],
    };
    let claims = claims.as_object().expect("an object").clone();
    let allowed: Vec<Algorithm> = vec!["HS256".parse().expect("one")];
    let end = std::time::SystemTime::now() + std::time::Duration::from_hours(1);
    mint(&secret, &allowed, &rules, role, Some(end), claims).expect("the secret serves")
}
