//! The admin API of a host, asked at its socket or over TCP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use jackfield::listen::Address;
use serde_json::{Value, json};
use tokio::net::{TcpStream, UnixStream};

use crate::answer::Story;
use crate::{Answer, Host, Options, PATIENCE};

/// The keys of `[host]` that give it an admin API, at a socket and over TCP.
pub const WITH_ADMIN: &str = r#"admin = ["unix:admin.sock", "127.0.0.1:0"]"#;

/// The admin API of a host, as one caller asks it.
#[derive(Clone)]
pub struct Admin {
    place: Place,
    token: Option<String>,
}

#[derive(Clone)]
enum Place {
    Socket(PathBuf),
    Tcp(SocketAddr),
}

/// A request to the admin API.
#[must_use = "it is sent by `send`"]
pub struct AdminRequest<'a> {
    admin: &'a Admin,
    request: http::request::Builder,
    names_host: bool,
    body: Bytes,
    path: String,
}

impl Host {
    /// Starts a host with an admin API and this site.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start_with_admin(site: &str) -> Self {
        Self::start_with(site, Options { host: WITH_ADMIN.into(), ..Options::default() }).await
    }

    /// Its admin API, at the socket in its folder.
    pub fn admin(&self) -> Admin {
        Admin::at_socket(self.folder())
    }

    /// Its admin API, over TCP.
    ///
    /// # Panics
    /// If it has none there.
    pub fn admin_over_tcp(&self) -> Admin {
        let tcp = self.running().admin_addresses().iter().find_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        });
        Admin { place: Place::Tcp(tcp.expect("it has an admin API over TCP")), token: None }
    }
}

impl Admin {
    /// At the socket `admin.sock` in a folder.
    pub fn at_socket(folder: &Path) -> Self {
        Self { place: Place::Socket(folder.join("admin.sock")), token: None }
    }

    /// The same, asked with this token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// The address over TCP.
    ///
    /// # Panics
    /// If it is a socket.
    pub fn address(&self) -> SocketAddr {
        match self.place {
            Place::Tcp(address) => address,
            Place::Socket(_) => panic!("a socket has no address"),
        }
    }

    /// Any request.
    ///
    /// # Panics
    /// If it is none.
    pub fn request(&self, method: &str, path: &str) -> AdminRequest<'_> {
        let method = Method::from_bytes(method.as_bytes()).expect("a test knows its methods");
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        AdminRequest { admin: self, request, names_host: false, body: Bytes::new(), path: path.into() }
    }

    /// A GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send().await
    }

    /// A PUT of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.request("PUT", path).json(body).send().await
    }

    /// A POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path).json(body).send().await
    }

    /// A DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path).send().await
    }

    /// Makes a tenant with these hosts.
    pub async fn make_tenant(&self, tenant: &str, hosts: &[&str]) {
        self.put(&format!("/v1/tenants/{tenant}"), &json!({ "hosts": hosts })).await.expect(201);
    }

    /// Makes a token, the operator's or this tenant's, and gives its text.
    ///
    /// # Panics
    /// If it is not made.
    pub async fn make_token(&self, tenant: Option<&str>) -> String {
        let answer = self.post("/v1/tokens", &json!({ "name": "ci", "tenant": tenant })).await;
        answer.expect(201).json()["token"].as_str().expect("a token has a text").to_owned()
    }

    /// Uploads a component.
    pub async fn upload(&self, tenant: &str, component: impl Into<Bytes>) -> Answer {
        let upload = self.request("POST", &format!("/v1/tenants/{tenant}/artifacts"));
        upload.header("content-type", "application/wasm").body(component).send().await
    }

    /// Uploads a component that is to be kept, and gives its digest.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn uploaded(&self, tenant: &str, component: impl Into<Bytes>) -> String {
        let answer = self.upload(tenant, component).await;
        assert!(answer.status.is_success(), "{answer}");
        text(&answer.json()["digest"])
    }

    /// Adds a document, and gives the revision.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn revision(&self, tenant: &str, document: &Value) -> String {
        let answer = self.post(&format!("/v1/tenants/{tenant}/revisions"), document).await;
        assert!(answer.status.is_success(), "{answer}");
        text(&answer.json()["revision"])
    }

    /// Makes a revision live, whatever is.
    pub async fn roll_out(&self, tenant: &str, revision: &str) -> Answer {
        self.roll_out_if(tenant, revision, "*").await
    }

    /// Makes a revision live on this condition.
    pub async fn roll_out_if(&self, tenant: &str, revision: &str, condition: &str) -> Answer {
        let put = self.request("PUT", &format!("/v1/tenants/{tenant}/rollout"));
        put.header("if-match", condition).json(&json!({ "live": revision })).send().await
    }

    /// A connection on which the caller sends.
    ///
    /// # Panics
    /// If there is none.
    pub async fn connect<
        B: hyper::body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    >(
        &self,
    ) -> SendRequest<B> {
        match &self.place {
            Place::Socket(path) => {
                let stream = UnixStream::connect(path).await.expect("the socket is there");
                let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
                tokio::spawn(connection);
                sender
            }
            Place::Tcp(address) => {
                let stream = TcpStream::connect(address).await.expect("somebody listens");
                let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
                tokio::spawn(connection);
                sender
            }
        }
    }
}

impl AdminRequest<'_> {
    /// Adds a header field. Without one named `host`, the API's address is asked for.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.names_host |= name.eq_ignore_ascii_case("host");
        self.request = self.request.header(name, value.as_ref());
        self
    }

    /// Gives it a body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Gives it a JSON body and the content type for it.
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Sends it on a connection of its own.
    ///
    /// # Panics
    /// If no whole answer comes back in time.
    pub async fn send(mut self) -> Answer {
        if !self.names_host {
            let host = match &self.admin.place {
                Place::Socket(_) => "localhost".to_owned(),
                Place::Tcp(address) => address.to_string(),
            };
            self = self.header("host", host);
        }
        let request = self.request.body(Full::new(self.body)).expect("a test knows its fields");
        let method = request.method().clone();
        let mut sender = self.admin.connect().await;
        let exchange = async {
            let (head, body) = sender.send_request(request).await?.into_parts();
            hyper::Result::Ok((head, body.collect().await?.to_bytes()))
        };
        let exchanged = tokio::time::timeout(PATIENCE, exchange).await;
        let exchanged = exchanged.unwrap_or_else(|_| panic!("{method} {} got no answer in time", self.path));
        let (head, body) = exchanged.unwrap_or_else(|error| panic!("{method} {}: {error}", self.path));
        let story = Story { method, path: self.path, site: String::new(), log: Vec::new() };
        Answer { status: head.status, headers: head.headers, body, story }
    }
}

/// A text of JSON.
///
/// # Panics
/// If it is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}
