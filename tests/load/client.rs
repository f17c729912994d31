//! Client with little overhead: prepared requests over kept-alive connections.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{credentials::Credentials, reports::Reporters, stored::Stored};

/// Address, API key and app that requests are sent with.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub api_key: String,
    pub app: String,
}

/// Kinds of call.
#[derive(Clone)]
pub enum Call {
    /// A login, each time of another user.
    Mint,
    /// An exchange of the next user's credential.
    Exchange(Arc<Credentials>),
    /// The next refresh of this connection's session.
    Refresh,
    /// A login and three refreshes of it, repeatedly.
    Mix,
    /// A login, and the logout of its session, in turn.
    LoginAndLogout,
    /// The next refresh of sessions that were in the store before.
    Stored(Arc<Stored>),
    /// `GET /healthz`.
    Health,
    /// The key set of the public keys.
    KeySet,
    /// A refresh with a refresh token whose seal is wrong.
    ForgedRefresh(Arc<str>),
    /// A login with an API key that is not on record.
    UnknownKey,
    /// The next report of a failure.
    Report(Arc<Reporters>),
    /// This report of a failure. Where this status is 429, those within the quota go before it.
    Reported(Arc<str>, u16),
}

impl Call {
    /// Returns the status of the answer that is measured.
    pub fn expected(&self) -> u16 {
        match self {
            Self::ForgedRefresh(_) | Self::UnknownKey => 401,
            Self::Report(_) => 204,
            Self::Reported(_, expected) => *expected,
            _ => 200,
        }
    }
}

/// One connection, and the session it refreshes.
pub struct Client {
    stream: TcpStream,
    target: Target,
    calls: u64,
    refresh_token: Option<String>,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(target: &Target) -> io::Result<Self> {
        let buffer = Vec::with_capacity(8192);
        Ok(Self {
            stream: connected(target.address).await?,
            target: target.clone(),
            calls: 0,
            refresh_token: None,
            buffer,
        })
    }

    /// Makes the call; returns the status. After an error the next call uses a new connection.
    pub async fn call(&mut self, call: &Call) -> io::Result<u16> {
        self.calls += 1;
        let done = self.ask(call).await;
        if done.is_err() {
            self.stream = connected(self.target.address).await?;
        }
        done
    }

    /// Returns the last answer, head and body.
    pub fn answer(&self) -> &str {
        std::str::from_utf8(&self.buffer).unwrap_or_default()
    }

    async fn ask(&mut self, call: &Call) -> io::Result<u16> {
        match call {
            Call::Mint => self.mint().await,
            Call::Exchange(credentials) => self.exchange(credentials.next()).await,
            Call::Mix if self.calls % 4 == 1 => self.mint().await,
            Call::Refresh | Call::Mix => self.refresh().await,
            Call::LoginAndLogout => self.login_or_log_out().await,
            Call::Stored(stored) => self.refresh_stored(stored).await,
            Call::Health => self.get("/healthz").await,
            Call::KeySet => self.get("/.well-known/jwks.json").await,
            Call::ForgedRefresh(token) => self.present(token).await,
            Call::UnknownKey => self.mint_with_unknown_key().await,
            Call::Report(reporters) => self.post("/v1/failures", "", &reporters.next()).await,
            Call::Reported(body, expected) => loop {
                let status = self.post("/v1/failures", "", body).await?;
                if status == *expected || *expected != 429 {
                    return Ok(status);
                }
            },
        }
    }

    async fn get(&mut self, path: &str) -> io::Result<u16> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.target.address)).await
    }

    async fn mint_with_unknown_key(&mut self) -> io::Result<u16> {
        let authorization = format!("Authorization: Bearer csk1_0123456789abcdef_{}\r\n", "A".repeat(43));
        let body = format!(r#"{{"app":"{}","user_id":"user-1"}}"#, self.target.app);
        self.post("/v1/token/generate", &authorization, &body).await
    }

    async fn mint(&mut self) -> io::Result<u16> {
        static USERS: AtomicU64 = AtomicU64::new(0);
        let user = USERS.fetch_add(1, Ordering::Relaxed);
        let authorization = format!("Authorization: Bearer {}\r\n", self.target.api_key);
        let body = format!(r#"{{"app":"{}","user_id":"user-{user}"}}"#, self.target.app);
        let status = self.post("/v1/token/generate", &authorization, &body).await?;
        if status == 200 {
            self.refresh_token = self.answered_refresh_token();
        }
        Ok(status)
    }

    async fn exchange(&mut self, credential: &str) -> io::Result<u16> {
        let authorization = format!("Authorization: Bearer {credential}\r\n");
        let body = format!(r#"{{"app":"{}"}}"#, self.target.app);
        self.post("/v1/token/exchange", &authorization, &body).await
    }

    async fn refresh(&mut self) -> io::Result<u16> {
        let Some(token) = self.refresh_token.take() else { return self.mint().await };
        let status = self.present(&token).await?;
        self.refresh_token = if status == 200 { self.answered_refresh_token() } else { Some(token) };
        Ok(status)
    }

    async fn login_or_log_out(&mut self) -> io::Result<u16> {
        match self.refresh_token.take() {
            None => self.mint().await,
            Some(token) => self.post("/v1/token/revoke", "", &format!(r#"{{"refresh_token":"{token}"}}"#)).await,
        }
    }

    async fn refresh_stored(&mut self, stored: &Stored) -> io::Result<u16> {
        let (session, token) = stored.next();
        let status = self.present(token.expose()).await?;
        if status == 200 {
            stored.rotated(session);
        }
        Ok(status)
    }

    async fn present(&mut self, token: &str) -> io::Result<u16> {
        self.post("/v1/token/refresh", "", &format!(r#"{{"refresh_token":"{token}"}}"#)).await
    }

    async fn post(&mut self, path: &str, headers: &str, body: &str) -> io::Result<u16> {
        let (host, length) = (self.target.address, body.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        self.send(&request).await
    }

    async fn send(&mut self, request: &str) -> io::Result<u16> {
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(status) = complete(&self.buffer) {
                return Ok(status);
            }
        }
    }

    fn answered_refresh_token(&self) -> Option<String> {
        let (_, rest) = self.answer().split_once(r#""refresh_token":""#)?;
        Some(rest.split('"').next()?.to_owned())
    }
}

async fn connected(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Returns the status if head and body are complete. It allocates nothing: a load generator that is slower than the
/// server leaves it idle, and an idle server spends more on each answer.
fn complete(bytes: &[u8]) -> Option<u16> {
    const LENGTH: &str = "content-length:";
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_end]).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_at_checked(LENGTH.len())?;
        name.eq_ignore_ascii_case(LENGTH).then(|| value.trim().parse::<usize>().ok())?
    });
    let status = head.get(9..12)?.parse().ok()?;
    // An answer of 204 has neither a body nor its length.
    let length = if status == 204 { 0 } else { length? };
    (bytes.len() >= head_end + length).then_some(status)
}
