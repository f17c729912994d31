//! Requests against listeners of the test, by names that a stub resolves.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use reqwest::dns::Resolve;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// Listener that counts its connections, and answers each with these bytes.
async fn server(answer: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, hits) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = hits.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer).await;
            });
        }
    });
    (address, hits)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// Stub that gives one answer after the other, the last one again and again.
struct Script {
    answers: Vec<Vec<SocketAddr>>,
    asked: Mutex<usize>,
}

#[async_trait]
impl Lookup for Script {
    async fn lookup(&self, _host: &str) -> io::Result<Vec<SocketAddr>> {
        let mut asked = self.asked.lock().unwrap();
        *asked += 1;
        Ok(self.answers[(*asked - 1).min(self.answers.len() - 1)].clone())
    }
}

fn script(answers: Vec<Vec<SocketAddr>>) -> (Outbound, Arc<Script>) {
    let script = Arc::new(Script { answers, asked: Mutex::new(0) });
    (Outbound::resolving_by(script.clone()), script)
}

async fn get(outbound: &Outbound, to: &Destination) -> Result<Vec<u8>, OutboundError> {
    outbound.get(to, HeaderMap::new()).await.map(|answer| answer.body)
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_not_dialled() {
    let (canary, hits) = server(OK).await;
    for allow_private in [false, true] {
        let (outbound, script) = script(vec![vec![canary]]);
        let url = format!("https://idp.example:{}/jwks", canary.port());
        let to = Destination::configured(&url, allow_private).unwrap();
        assert_eq!(get(&outbound, &to).await, Err(OutboundError::Address));
        assert_eq!(*script.asked.lock().unwrap(), 1);
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_dialled() {
    let (canary, hits) = server(OK).await;
    let allowed = SocketAddr::from(([9, 9, 9, 9], 0));
    let resolver = |script: &Arc<Script>| CheckedResolver { lookup: script.clone(), reach: Reach::Public };
    // A name that is allowed once and leads to this machine from then on.
    let (_, rebinding) = script(vec![vec![allowed], vec![canary]]);
    let checked = resolver(&rebinding);
    let found: Vec<_> = checked.resolve("idp.example".parse().unwrap()).await.unwrap().collect();
    assert_eq!(found, [allowed]);
    assert!(checked.resolve("idp.example".parse().unwrap()).await.is_err());
    // A name with both: what must not be dialled is not handed on.
    let (_, mixed) = script(vec![vec![canary, allowed]]);
    let found: Vec<_> = resolver(&mixed).resolve("idp.example".parse().unwrap()).await.unwrap().collect();
    assert_eq!(found, [allowed]);
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_request_resolves_its_name_once() {
    let (canary, hits) = server(OK).await;
    let other = SocketAddr::from(([127, 0, 0, 3], 0));
    let (outbound, script) = script(vec![vec![canary], vec![other]]);
    let to = Destination::configured(&format!("http://localhost:{}/", canary.port()), false).unwrap();
    assert_eq!(get(&outbound, &to).await, Ok(b"{}".to_vec()));
    assert_eq!((*script.asked.lock().unwrap(), hits.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn localhost_leads_to_loopback_addresses_only() {
    let (outbound, _) = script(vec![vec![SocketAddr::from(([10, 0, 0, 1], 0)), SocketAddr::from(([1, 1, 1, 1], 0))]]);
    let to = Destination::configured("http://localhost:1/", true).unwrap();
    assert_eq!(get(&outbound, &to).await, Err(OutboundError::Address));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (canary, hits) = server(OK).await;
    let redirect = format!("HTTP/1.1 302 Found\r\nlocation: http://{canary}/\r\ncontent-length: 0\r\n\r\n").leak();
    let (server, _) = server(redirect.as_bytes()).await;
    let to = Destination::configured(&format!("http://{server}/"), false).unwrap();
    assert_eq!(get(&Outbound::new(), &to).await, Err(OutboundError::Status(StatusCode::FOUND)));
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn only_plain_json_is_read() {
    let table: [(&[u8], Result<(), OutboundError>); 8] = [
        (OK, Ok(())),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/jwk-set+json\r\ncontent-length: 2\r\n\r\n{}", Ok(())),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", Ok(())),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: 2\r\n\r\n{}",
            Err(OutboundError::ContentType("text/html".to_owned())),
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}", Err(OutboundError::Compressed)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 262145\r\n\r\n", Err(OutboundError::TooLong)),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Err(OutboundError::Status(StatusCode::NO_CONTENT))),
        (
            b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
            Err(OutboundError::Status(StatusCode::INTERNAL_SERVER_ERROR)),
        ),
    ];
    for (answer, expected) in table {
        let (server, _) = server(answer).await;
        let to = Destination::configured(&format!("http://{server}/"), false).unwrap();
        assert_eq!(get(&Outbound::new(), &to).await.map(drop), expected, "{}", String::from_utf8_lossy(answer));
    }
}
