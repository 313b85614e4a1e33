use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, SET_COOKIE};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use ring::digest::{SHA256, digest};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::stage::spawn;

/// A browser as far as logging in goes: it keeps cookies, and follows redirections by hand.
///
/// See <https://www.rfc-editor.org/rfc/rfc6749#section-4.1> and <https://www.rfc-editor.org/rfc/rfc7636>.
pub(crate) struct Browser {
    issuer: String,
    /// The client that the page is, and where it lies.
    client: Arc<str>,
    page: String,
    resource: String,
    cookies: Vec<Cookie>,
}

struct Cookie {
    name: String,
    value: String,
    path: String,
}

/// A code that a provider gave, and what it has to be shown with.
pub(crate) struct Code {
    text: String,
    pub(crate) verifier: String,
    nonce: String,
}

/// What a code, or a refresh token, was traded for.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) id: String,
}

struct Answer {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Browser {
    /// A fresh one, on the page of `client` at `origin`, which wants tokens for `resource`.
    pub(crate) fn new(issuer: &str, client: &str, origin: &str, resource: &str) -> Self {
        let page = format!("{origin}/");
        Self {
            issuer: issuer.into(),
            client: client.into(),
            page,
            resource: resource.into(),
            cookies: Vec::new(),
        }
    }

    /// Logs in as `subject`, up to the code.
    pub(crate) async fn log_in(&mut self, subject: &str) -> Code {
        let (verifier, state, nonce) = (random(), random(), random());
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let with = [("code_challenge", &*challenge), ("code_challenge_method", "S256")];
        let begun = self.authorize(&state, &nonce, &with).await;
        let login = begun.location.expect("the provider asks who it is");
        let asked = self.get(&login).await;
        assert!(
            asked.status == 200 && asked.body.contains(&format!("value=\"{subject}\"")),
            "{}",
            asked.body
        );
        let mut next = self.post(&login, &[("sub", subject)]).await.location.expect("it goes on");
        while !next.starts_with(&self.page) {
            next = self.get(&next).await.location.expect("back to the page");
        }
        let answer = query(&next);
        let get = |name: &str| answer.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        assert_eq!(get("state"), Some(state), "{next}");
        assert_eq!(get("iss").as_ref(), Some(&self.issuer), "{next}");
        Code { text: get("code").expect("a code"), verifier, nonce }
    }

    /// The error that the provider sends the browser back with, if its page asks like this beside the usual.
    pub(crate) async fn is_refused(&mut self, with: &[(&str, &str)]) -> Option<String> {
        let back = self.authorize("s", "n", with).await.location?;
        query(&back).into_iter().find(|(name, _)| name == "error").map(|(_, error)| error)
    }

    async fn authorize(&mut self, state: &str, nonce: &str, with: &[(&str, &str)]) -> Answer {
        let (client, page, resource) = (self.client.clone(), self.page.clone(), self.resource.clone());
        let usual = [
            ("client_id", &*client),
            ("response_type", "code"),
            ("redirect_uri", &page),
            ("scope", "openid profile email"),
            ("resource", &resource),
            ("state", state),
            ("nonce", nonce),
            ("prompt", "login"),
        ];
        let query = form(&[&usual, with].concat());
        self.get(&format!("{}/auth?{query}", self.issuer)).await
    }

    /// Trades a code for tokens.
    ///
    /// # Errors
    /// What the provider says.
    pub(crate) async fn redeem(&mut self, code: &Code) -> Result<Tokens, Value> {
        let page = self.page.clone();
        let tokens = self
            .trade(&[
                ("grant_type", "authorization_code"),
                ("code", &code.text),
                ("redirect_uri", &page),
                ("code_verifier", &code.verifier),
            ])
            .await?;
        let claims = claims(&tokens.id);
        assert_eq!(
            (&claims["nonce"], &claims["aud"]),
            (&Value::from(&*code.nonce), &Value::from(&*self.client))
        );
        Ok(tokens)
    }

    /// Trades a refresh token for the next tokens.
    ///
    /// # Errors
    /// As [`Browser::redeem`].
    pub(crate) async fn refresh(&mut self, tokens: &Tokens) -> Result<Tokens, Value> {
        self.trade(&[("grant_type", "refresh_token"), ("refresh_token", &tokens.refresh)]).await
    }

    /// Logs in as `subject`.
    pub(crate) async fn tokens(&mut self, subject: &str) -> Tokens {
        let code = self.log_in(subject).await;
        self.redeem(&code).await.expect("the provider's own code")
    }

    async fn trade(&mut self, with: &[(&str, &str)]) -> Result<Tokens, Value> {
        let (client, resource) = (self.client.clone(), self.resource.clone());
        let fields = [&[("client_id", &*client), ("resource", &resource)], with].concat();
        let answer = self.post(&format!("{}/token", self.issuer), &fields).await;
        let told: Value = serde_json::from_str(&answer.body).expect("JSON");
        if answer.status != 200 {
            return Err(told);
        }
        let text = |name: &str| told[name].as_str().unwrap_or_else(|| panic!("no {name}: {told}")).to_owned();
        Ok(Tokens { access: text("access_token"), refresh: text("refresh_token"), id: text("id_token") })
    }

    async fn get(&mut self, url: &str) -> Answer {
        self.ask(Method::GET, url, String::new()).await
    }

    async fn post(&mut self, url: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask(Method::POST, url, form(fields)).await
    }

    async fn ask(&mut self, method: Method, url: &str, body: String) -> Answer {
        let url = if url.starts_with('/') { format!("{}{url}", self.issuer) } else { url.to_owned() };
        let uri: Uri = url.parse().expect("a URL");
        let authority = uri.authority().expect("a host").to_string();
        let cookies = self.cookies.iter().filter(|cookie| uri.path().starts_with(&cookie.path));
        let cookies: Vec<_> = cookies.map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        let request = Request::builder()
            .method(method)
            .uri(uri.path_and_query().expect("a path").as_str())
            .header(HOST, &authority)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(COOKIE, cookies.join("; "))
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let stream = TcpStream::connect(&authority).await.expect("the provider listens");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        spawn(async {
            // It ends with its only answer.
            let _ = connection.await;
        });
        let response = sender.send_request(request).await.expect("an answer");
        self.keep(&response);
        let location = response.headers().get(LOCATION).map(|url| url.to_str().expect("ASCII").to_owned());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a whole answer").to_bytes();
        Answer { status, location, body: String::from_utf8(body.to_vec()).expect("UTF-8") }
    }

    fn keep<B>(&mut self, response: &Response<B>) {
        for cookie in response.headers().get_all(SET_COOKIE) {
            let mut parts = cookie.to_str().expect("ASCII").split("; ");
            let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            let path = parts.find_map(|part| part.strip_prefix("path=")).unwrap_or("/");
            self.cookies.retain(|known| known.name != name || known.path != path);
            if !value.is_empty() {
                self.cookies.push(Cookie { name: name.into(), value: value.into(), path: path.into() });
            }
        }
    }
}

/// The claims of a token, believed as they are.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("three parts");
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("JSON")
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn query(url: &str) -> Vec<(String, String)> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn random() -> String {
    BASE64_URL_SAFE_NO_PAD
        .encode([fastrand::u128(..).to_be_bytes(), fastrand::u128(..).to_be_bytes()].concat())
}
