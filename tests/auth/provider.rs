use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Signer;
use crate::fixture::eventually;
use crate::stage::spawn;

/// Serves a key set, and the document that names it, from where a provider would.
pub(super) struct Provider {
    address: SocketAddr,
    files: Arc<Files>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Files {
    keys: Mutex<String>,
    document: Mutex<String>,
    asked: AtomicUsize,
}

impl Provider {
    pub(super) async fn start(keys: &[&Signer]) -> Self {
        let mut provider = Self { address: ([127, 0, 0, 1], 0).into(), files: Arc::default(), serving: None };
        provider.set(keys);
        provider.resume().await;
        let document = json!({"issuer": provider.issuer(), "jwks_uri": provider.jwks_url()});
        provider.set_document(&document);
        provider
    }

    pub(super) fn issuer(&self) -> String {
        format!("http://{}/realm", self.address)
    }

    pub(super) fn jwks_url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// From now on these are the keys.
    pub(super) fn set(&self, keys: &[&Signer]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        self.set_text(&json!({"keys": keys}).to_string());
    }

    /// The same, whatever is in it.
    pub(super) fn set_text(&self, text: &str) {
        text.clone_into(&mut self.files.keys.lock());
    }

    pub(super) fn set_document(&self, document: &Value) {
        *self.files.document.lock() = document.to_string();
    }

    /// How often the keys were asked for.
    pub(super) fn asked(&self) -> usize {
        self.files.asked.load(Ordering::SeqCst)
    }

    /// Waits until they have been asked for once more.
    pub(super) async fn asked_again(&self) {
        let before = self.asked();
        eventually("the keys are fetched", async || (self.asked() > before).then_some(())).await;
    }

    /// Goes away: whoever connects is refused.
    pub(super) async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // It was told to: that is how it ends.
            let _ = serving.await;
        }
    }

    /// Comes back, on the same port.
    pub(super) async fn resume(&mut self) {
        let listener =
            eventually("the port is free", async || TcpListener::bind(self.address).await.ok()).await;
        self.address = listener.local_addr().expect("it listens");
        self.serving = Some(spawn(serve(listener, self.files.clone())));
    }
}

async fn serve(listener: TcpListener, files: Arc<Files>) {
    loop {
        let (stream, _) = listener.accept().await.expect("the machine has sockets");
        let files = files.clone();
        let answer = service_fn(move |request: Request<_>| {
            let response = files.answer(&request);
            async { Ok::<_, Infallible>(response) }
        });
        spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

impl Files {
    fn answer(&self, request: &Request<hyper::body::Incoming>) -> Response<Full<Bytes>> {
        let body = match request.uri().path() {
            "/keys" => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                self.keys.lock().clone()
            }
            "/realm/.well-known/openid-configuration" => self.document.lock().clone(),
            _ => {
                let mut response = Response::new(Full::default());
                *response.status_mut() = StatusCode::NOT_FOUND;
                return response;
            }
        };
        Response::new(Full::new(body.into()))
    }
}
