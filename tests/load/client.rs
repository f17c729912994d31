//! A client that costs little: prepared requests over kept-alive connections.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A login.
    Generate,
    /// The next refresh of this connection's session.
    Refresh,
    /// `GET /healthz`.
    Health,
}

/// One connection, and the session it refreshes.
pub struct Client {
    stream: TcpStream,
    address: SocketAddr,
    api_key: String,
    number: usize,
    logins: usize,
    refresh_token: Option<String>,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr, api_key: &str, number: usize) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (api_key, buffer) = (api_key.to_owned(), Vec::with_capacity(8192));
        Self { stream, address, api_key, number, logins: 0, refresh_token: None, buffer }
    }

    /// Makes the call; the answer's status.
    pub async fn call(&mut self, call: Call) -> std::io::Result<u16> {
        match call {
            Call::Health => self.send(&format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", self.address)).await,
            Call::Generate => self.generate().await,
            Call::Refresh => {
                let Some(token) = self.refresh_token.take() else { return self.generate().await };
                let status = self.post("/v1/token/refresh", "", &format!(r#"{{"refresh_token":"{token}"}}"#)).await?;
                self.refresh_token = if status == 200 { self.answered_refresh_token() } else { Some(token) };
                Ok(status)
            }
        }
    }

    async fn generate(&mut self) -> std::io::Result<u16> {
        let authorization = format!("Authorization: Bearer {}\r\n", self.api_key);
        // Each login is another user's, as at a service with many of them.
        self.logins += 1;
        let body = format!(r#"{{"app":"web","user_id":"user-{}-{}"}}"#, self.number, self.logins);
        let status = self.post("/v1/token/generate", &authorization, &body).await?;
        if status == 200 {
            self.refresh_token = self.answered_refresh_token();
        }
        Ok(status)
    }

    async fn post(&mut self, path: &str, headers: &str, body: &str) -> std::io::Result<u16> {
        let (host, length) = (self.address, body.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        self.send(&request).await
    }

    async fn send(&mut self, request: &str) -> std::io::Result<u16> {
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(status) = complete(&self.buffer) {
                return Ok(status);
            }
        }
    }

    fn answered_refresh_token(&self) -> Option<String> {
        let text = std::str::from_utf8(&self.buffer).ok()?;
        let (_, rest) = text.split_once(r#""refresh_token":""#)?;
        Some(rest.split('"').next()?.to_owned())
    }
}

/// The status, once head and body are there.
fn complete(bytes: &[u8]) -> Option<u16> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_end]).ok()?;
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    (bytes.len() >= head_end + length?).then(|| head.get(9..12)?.parse().ok())?
}
