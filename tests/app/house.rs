use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tidegate::postgres::migrate::Schema;
use tidegate::postgres::{Settings, migrate};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_postgres::Client as Sql;

use crate::client::Client;
use crate::fixture::Database;
use crate::policy;
use crate::server::Server;

/// 32 bytes, as `app.contact_keys` has them.
pub(crate) const KEY: &str = "first:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A server with the application on a database of its own.
pub(crate) struct App {
    pub(crate) server: Server,
    pub(crate) database: Database,
    /// As the superuser.
    pub(crate) sql: Sql,
}

/// Somebody's way to it, over one connection that is made anew when it is lost.
#[derive(Clone)]
pub(crate) struct Api {
    address: SocketAddr,
    token: Option<Arc<str>>,
    line: Arc<Mutex<Option<SendRequest<Full<Bytes>>>>>,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The settings of a server with the application, which asks for tokens, and `more`.
pub(crate) fn settings(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = [
        ("app.enabled", "true"),
        ("app.contact_keys", KEY),
        // Claims about measures turn them on.
        ("analytics.enabled", "false"),
        ("auth.roles", r#"["app_user","app_lead"]"#),
        ("auth.profile_function", "app.sync_profile"),
    ];
    let own: Vec<(&str, &str)> = own.iter().chain(more).copied().collect();
    policy::jwt(&own)
}

/// Brings a database to the application's schema.
pub(crate) async fn migrate(database: &Database) {
    let settings = Settings::parse(&database.url()).expect("a URL");
    for schema in [Schema::Application, Schema::Analytics] {
        migrate::run(schema, &settings).await.unwrap_or_else(|error| panic!("{error:?}"));
    }
}

impl App {
    /// On a database of the shared cluster.
    pub(crate) async fn start(database: Database) -> Self {
        Self::start_with(database, &[]).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(database: Database, more: &[(&str, &str)]) -> Self {
        migrate(&database).await;
        let settings = settings(more);
        let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (&**key, &**value)).collect();
        let server = Server::start_with(&database, &settings).await;
        let sql = database.client().await;
        Self { server, database, sql }
    }

    /// Somebody with a token, of whom the server knows by then.
    pub(crate) async fn person(&self, name: &str) -> Api {
        let api = self.with_role("app_user", name);
        assert_eq!(api.get("/v1/me").await.status, 200);
        api
    }

    /// Somebody with a token for another role.
    pub(crate) fn with_role(&self, role: &str, name: &str) -> Api {
        Api::new(self.server.address(), Some(policy::token(role, &json!({"sub": name, "name": name}))))
    }

    /// Somebody's socket, that has read `ready`.
    pub(crate) async fn socket(&self, api: &Api) -> Client {
        let bearer = format!("Bearer {}", api.token());
        let mut client = Client::open_with(self.server.address(), &[("authorization", &bearer)])
            .await
            .unwrap_or_else(|error| panic!("no socket: {error}"));
        client.expect("ready").await;
        client
    }

    /// Stops the server, and starts another on the same database.
    pub(crate) async fn restart_with(mut self, more: &[(&str, &str)]) -> Self {
        self.server.stop().await;
        Self::start_with(self.database, more).await
    }

    /// A read that is not older than all that is committed.
    pub(crate) async fn fresh(&self, api: &Api, path: &str) -> Answer {
        const END: &str = "select pg_current_wal_lsn()::text";
        let end: String = self.sql.query_one(END, &[]).await.expect("it is up").get(0);
        api.ask(Method::GET, path, None, &[("tidegate-min-lsn", &end)]).await
    }

    /// The rows of a query, as the superuser sees them.
    pub(crate) async fn select(&self, sql: &str) -> Vec<Value> {
        let rows = format!("select to_jsonb(q)::text from ({sql}) as q");
        let rows = self.sql.query(&rows, &[]).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        rows.iter().map(|row| serde_json::from_str(row.get(0)).expect("PostgreSQL writes JSON")).collect()
    }

    /// Every row that somebody may follow, and every contact, in no order of its own.
    pub(crate) async fn everything(&self) -> BTreeSet<String> {
        const TABLES: &str = "
            select format('select %L || t::text from public.%I as t', tablename || ' ', tablename)
            from pg_tables
            where schemaname = 'public'";
        let tables = self.sql.query(TABLES, &[]).await.expect("the superuser may");
        let mut parts: Vec<String> = tables.iter().map(|row| row.get(0)).collect();
        parts.push("select 'contacts ' || t::text from app.user_contacts as t".to_owned());
        let rows = self.sql.query(&parts.join(" union all "), &[]).await.expect("the superuser may");
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Somebody without.
    pub(crate) fn nobody(&self) -> Api {
        Api::new(self.server.address(), None)
    }
}

impl Api {
    pub(crate) fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self { address, token: token.map(Into::into), line: Arc::default() }
    }

    /// Its token, for a socket.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().expect("somebody")
    }

    /// The same over a connection of its own.
    pub(crate) fn apart(&self) -> Self {
        Self { line: Arc::default(), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, Some(body), &[]).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PUT, path, Some(body), &[]).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.ask(Method::PATCH, path, Some(body), &[]).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(Method::DELETE, path, None, &[]).await
    }

    /// Asks, and panics if the line breaks.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let answer = self.try_ask(method.clone(), path, body, headers).await;
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Asks; the error if nobody answers.
    pub(crate) async fn try_ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(body)).expect("a request");
        let mut line = self.line.lock().await;
        if line.as_ref().is_none_or(SendRequest::is_closed) {
            *line = Some(self.connect().await?);
        }
        let line = line.as_mut().expect("it was made");
        line.ready().await.map_err(|error| error.to_string())?;
        let response = line.send_request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (line, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            // The next request finds out.
            _ = connection.await;
        });
        Ok(line)
    }

    /// Founds a board; its id.
    pub(crate) async fn board(&self, name: &str) -> String {
        self.post("/v1/boards", json!({"name": name})).await.must(201)["row"]["id"]
            .as_str()
            .expect("an id")
            .into()
    }

    /// Makes somebody a member.
    pub(crate) async fn admit(&self, board: &str, user: &str, role: &str) {
        let answer = self.put(&format!("/v1/boards/{board}/members/{user}"), json!({"role": role})).await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    }

    /// The ids of a board's states, from left to right.
    pub(crate) async fn states(&self, board: &str) -> Vec<String> {
        let workflow = self.get(&format!("/v1/boards/{board}/workflow")).await.must(200);
        let states = workflow["states"].as_array().expect("states");
        states.iter().map(|state| state["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// The id of a board's transition of this name.
    pub(crate) async fn transition(&self, board: &str, name: &str) -> String {
        let workflow = self.get(&format!("/v1/boards/{board}/workflow")).await.must(200);
        let mut transitions = workflow["transitions"].as_array().expect("transitions").iter();
        let found = transitions.find(|transition| transition["name"] == name).expect("a transition");
        found["id"].as_str().expect("an id").to_owned()
    }

    /// Puts an entry on a board; its id.
    pub(crate) async fn entry(&self, board: &str, body: Value) -> String {
        let answer = self.post(&format!("/v1/boards/{board}/entries"), body).await.must(201);
        answer["row"]["id"].as_str().expect("an id").to_owned()
    }
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The body, of an answer of this status.
    pub(crate) fn must(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// The problem's code, of an answer of this status.
    pub(crate) fn refused(&self, status: u16) -> String {
        self.must(status)["code"].as_str().expect("problems have a code").to_owned()
    }

    /// A header, which must be there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no `{name}`: {self:?}"));
        value.to_str().expect("visible ASCII")
    }
}
