//! An OpenID provider on a loopback address that counts its requests, changes its keys, fails and lies, as the test says.

use std::{
    io::Write,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::domain::sign_in::{Audience, ClaimPath, JwsAlgorithm, KeySource, OidcRules, UserIdSource};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Audience of the tokens.
pub const AUDIENCE: &str = "our-client";

/// Answer to a request for the key set.
#[derive(Clone, Debug)]
pub enum Answer {
    Keys,
    /// The keys, and these entries before them.
    KeysAfter(Vec<Value>),
    /// The keys without their `kid`.
    UnnamedKeys,
    Redirect(String),
    Status(u16),
    /// A body of this type, whatever it is.
    Body(&'static str, String),
    /// A gzip bomb, with `Content-Encoding` or without.
    GzipBomb {
        named: bool,
    },
    /// A byte each 50 ms, for ever.
    SlowDrip,
    /// Nothing, ever.
    Hang,
}

/// A provider; its server ends with the test's runtime.
pub struct SwitchedProvider {
    pub issuer: String,
    inner: Arc<Inner>,
}

struct Inner {
    /// Issuer and `jwks_uri` of the discovery document.
    discovery: Mutex<(String, String)>,
    answer: Mutex<Answer>,
    keys: Mutex<Vec<(String, Arc<EcdsaKeyPair>)>>,
    key_hits: AtomicUsize,
    discovery_hits: AtomicUsize,
}

impl SwitchedProvider {
    /// Starts one with one key.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            discovery: Mutex::new((issuer.clone(), format!("{issuer}/jwks.json"))),
            answer: Mutex::new(Answer::Keys),
            keys: Mutex::default(),
            key_hits: AtomicUsize::new(0),
            discovery_hits: AtomicUsize::new(0),
        });
        let serving = inner.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(serving.clone(), stream));
            }
        });
        let provider = Self { issuer, inner };
        provider.add_key("key-0");
        provider
    }

    /// Switches the answer to requests for the key set.
    pub fn answer(&self, answer: Answer) {
        if let Answer::GzipBomb { .. } = answer {
            LazyLock::force(&BOMB);
        }
        *self.inner.answer.lock().unwrap() = answer;
    }

    /// Switches the discovery document.
    pub fn discovery(&self, issuer: &str, jwks_uri: &str) {
        *self.inner.discovery.lock().unwrap() = (issuer.to_owned(), jwks_uri.to_owned());
    }

    /// Adds a key, with which tokens are signed from now on.
    pub fn add_key(&self, kid: &str) {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        self.inner.keys.lock().unwrap().push((kid.to_owned(), Arc::new(key)));
    }

    /// Removes all keys but the newest.
    pub fn withdraw_old_keys(&self) {
        let mut keys = self.inner.keys.lock().unwrap();
        let newest = keys.pop().unwrap();
        *keys = vec![newest];
    }

    /// Requests for the key set.
    pub fn key_hits(&self) -> usize {
        self.inner.key_hits.load(Ordering::SeqCst)
    }

    /// Requests for the discovery document.
    pub fn discovery_hits(&self) -> usize {
        self.inner.discovery_hits.load(Ordering::SeqCst)
    }

    /// Rules for its tokens.
    pub fn rules(&self) -> OidcRules {
        OidcRules {
            issuer: self.issuer.clone(),
            keys: KeySource::Discovery,
            algorithms: vec![JwsAlgorithm::ES256],
            audience: Audience { claim: "aud".to_owned(), accepted: vec![AUDIENCE.to_owned()] },
            token_types: vec![String::new(), "jwt".to_owned()],
            user_id: UserIdSource { claim: ClaimPath("sub".to_owned()), prefix: String::new(), verified_email: false },
            required_claims: Vec::new(),
            refused_claims: Vec::new(),
            max_age: None,
            leeway: Duration::ZERO,
            jwks_max_stale: Duration::from_hours(24),
            allow_private_addresses: false,
        }
    }

    /// ID token of a user, signed with the newest key.
    pub fn token(&self, user: &str, now_seconds: i64) -> String {
        let (kid, _) = self.newest();
        self.token_with_kid(Some(&kid), user, now_seconds)
    }

    /// ID token that says this `kid`, signed with the newest key.
    pub fn token_with_kid(&self, kid: Option<&str>, user: &str, now_seconds: i64) -> String {
        let mut header = json!({ "alg": "ES256", "typ": "JWT" });
        if let Some(kid) = kid {
            header["kid"] = json!(kid);
        }
        let claims = json!({
            "iss": self.issuer, "aud": AUDIENCE, "sub": user, "iat": now_seconds, "exp": now_seconds + 3600,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(&header), part(&claims));
        let signature = self.newest().1.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn newest(&self) -> (String, Arc<EcdsaKeyPair>) {
        self.inner.keys.lock().unwrap().last().unwrap().clone()
    }
}

impl Inner {
    fn jwks(&self, before: &[Value]) -> String {
        let keys = self.keys.lock().unwrap();
        let ours = keys.iter().map(|(kid, key)| {
            // An uncompressed point (SEC 1 §2.3.3).
            let (x, y) = key.public_key().as_ref()[1..].split_at(32);
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": x, "y": y })
        });
        let all: Vec<_> = before.iter().cloned().chain(ours).collect();
        json!({ "keys": all }).to_string()
    }
}

async fn serve(inner: Arc<Inner>, mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let json = |body: String| response("200 OK", "content-type: application/json\r\n", body.as_bytes());
    let answer = if head.starts_with("GET /.well-known/openid-configuration ") {
        inner.discovery_hits.fetch_add(1, Ordering::SeqCst);
        let (issuer, jwks_uri) = inner.discovery.lock().unwrap().clone();
        json(json!({ "issuer": issuer, "jwks_uri": jwks_uri }).to_string())
    } else {
        inner.key_hits.fetch_add(1, Ordering::SeqCst);
        let answer = inner.answer.lock().unwrap().clone();
        let lines = "content-type: application/json\r\ncache-control: max-age=3600\r\n";
        match answer {
            Answer::Keys => response("200 OK", lines, inner.jwks(&[]).as_bytes()),
            Answer::KeysAfter(entries) => response("200 OK", lines, inner.jwks(&entries).as_bytes()),
            Answer::UnnamedKeys => {
                let mut set: Value = serde_json::from_str(&inner.jwks(&[])).unwrap();
                for key in set["keys"].as_array_mut().unwrap() {
                    key.as_object_mut().unwrap().remove("kid");
                }
                response("200 OK", lines, set.to_string().as_bytes())
            }
            Answer::Redirect(to) => response("302 Found", &format!("location: {to}\r\n"), b""),
            Answer::Status(status) => response(&format!("{status} Status"), "", b""),
            Answer::Body(kind, body) => response("200 OK", &format!("content-type: {kind}\r\n"), body.as_bytes()),
            Answer::GzipBomb { named } => {
                let encoding = if named { "content-encoding: gzip\r\n" } else { "" };
                response("200 OK", &format!("{lines}{encoding}"), &BOMB)
            }
            Answer::SlowDrip => return drip(stream).await,
            Answer::Hang => return std::future::pending().await,
        }
    };
    let _ = stream.write_all(&answer).await;
}

fn response(status: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{lines}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A gzip file of 16 MiB of zeros. It is made before a request comes: that takes seconds.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![0; 16 << 20]).unwrap();
    gzip.finish().unwrap()
});

async fn drip(mut stream: TcpStream) {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 200000\r\n\r\n";
    let mut sent = stream.write_all(head.as_bytes()).await;
    while sent.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
        sent = stream.write_all(b" ").await;
    }
}
