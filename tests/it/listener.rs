//! The listener over real sockets: what it refuses, its caps, its drain. Its timeouts are tested beside it, on a clock
//! that can be moved.

use std::{net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit},
    http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE},
    routing::{get, post},
};
use countersign::{
    listener::{Config, ListenError, Service, bind, serve},
    telemetry::{Metrics, Stopwatch},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, watch},
    task::JoinHandle,
    time::timeout,
};

/// Longest time that a machine with other work may take for what needs milliseconds.
const PATIENCE: Duration = Duration::from_mins(1);

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// A listener that serves a small router on a free port.
struct TestListener {
    address: SocketAddr,
    metrics: Arc<Metrics>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    /// Notified when a request to `/wait` arrives.
    waiting: Arc<Notify>,
    /// Lets one request to `/wait` go on.
    go_on: Arc<Notify>,
}

impl TestListener {
    fn open(change: impl FnOnce(&mut Config)) -> Self {
        let (waiting, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (stop, stopping) = watch::channel(false);
        let mut config = Config { listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Config::default() };
        change(&mut config);
        let listener = bind(config.listen).unwrap();
        let (address, metrics) = (listener.local_addr(), Metrics::new());
        let service = Service {
            router: router(Arc::clone(&waiting), Arc::clone(&go_on)),
            tells_local_address: false,
            deadline: Duration::from_secs(15),
            raw_refusal: Arc::new(problem),
            metrics: Some(Arc::clone(&metrics)),
        };
        let serving = tokio::spawn(serve(listener, config, service, stopping));
        Self { address, metrics, stop, serving, waiting, go_on }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these bytes and reads the answer until the listener closes.
    async fn answer_to(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // It may close before it has read everything.
        let _ = stream.write_all(bytes).await;
        rest(&mut stream).await
    }

    async fn refuses(&self, bytes: &[u8], status: u16) {
        let answer = self.answer_to(bytes).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
        assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer:?}");
        assert!(answer.contains("connection: close\r\n"), "{answer:?}");
        assert!(answer.ends_with(&format!("\r\n\r\n{{\"status\":{status}}}")), "{answer:?}");
    }

    async fn no_connection_is_left(&self) {
        while !self.metrics.encode().contains("countersign_connections 0\n") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn router(waiting: Arc<Notify>, go_on: Arc<Notify>) -> Router {
    let wait = move || async move {
        waiting.notify_one();
        go_on.notified().await;
        "waited"
    };
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/peer", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }))
        .route("/body", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/wait", get(wait))
        .layer(DefaultBodyLimit::max(16 * 1024))
}

fn problem(status: StatusCode) -> (HeaderMap, Bytes) {
    let kind = HeaderValue::from_static("application/problem+json");
    (HeaderMap::from_iter([(CONTENT_TYPE, kind)]), Bytes::from(format!("{{\"status\":{}}}", status.as_u16())))
}

/// Everything until the other side closes; a reset ends it too.
async fn rest(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let reading = async { while matches!(stream.read_buf(&mut seen).await, Ok(1..)) {} };
    timeout(PATIENCE, reading).await.expect("the listener closes");
    String::from_utf8(seen).unwrap()
}

/// Asks on a connection that stays, and returns the answer to `GET /`.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\nhello") {
        seen.push(stream.read_u8().await.expect("an answer"));
    }
    String::from_utf8(seen).unwrap()
}

/// A request with so many headers, and so many bytes of head.
fn head(headers: usize, bytes: usize) -> String {
    let extra: Vec<_> = (3..headers).map(|n| format!("x{n}: y\r\n")).collect();
    let head = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n".to_owned() + &extra.concat();
    let fill = bytes.saturating_sub(head.len() + "z: \r\n\r\n".len());
    head + &format!("z: {}\r\n\r\n", "z".repeat(fill))
}

#[tokio::test]
async fn serves_and_keeps_the_connection() {
    let listener = TestListener::open(|_| ());
    let mut stream = listener.connect().await;
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(!ask(&mut stream).await.contains("connection: close"));
    assert!(listener.metrics.encode().contains("countersign_connections 1\n"));
    drop(stream);
    listener.no_connection_is_left().await;
}

#[tokio::test]
async fn handlers_see_the_peer() {
    let listener = TestListener::open(|_| ());
    let mut stream = listener.connect().await;
    stream.write_all(b"GET /peer HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let me = stream.local_addr().unwrap().to_string();
    assert!(rest(&mut stream).await.ends_with(&me));
}

#[tokio::test]
async fn a_head_may_have_16_kb_and_64_fields() {
    let listener = TestListener::open(|_| ());
    assert!(listener.answer_to(head(64, 0).as_bytes()).await.starts_with("HTTP/1.1 200 "));
    assert!(listener.answer_to(head(0, 16 * 1024).as_bytes()).await.starts_with("HTTP/1.1 200 "));
    listener.refuses(head(65, 0).as_bytes(), 431).await;
    listener.refuses(head(0, 16 * 1024 + 1).as_bytes(), 431).await;
    listener.refuses(head(0, 20 * 1024).as_bytes(), 431).await;
    listener.refuses(head(0, 300 * 1024).as_bytes(), 431).await;
    listener.refuses(format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(20_000)).as_bytes(), 431).await;
}

#[tokio::test]
async fn what_is_not_http_1_is_refused_with_a_problem() {
    let listener = TestListener::open(|_| ());
    let tls_hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0xab; 500]].concat();
    for bytes in [
        b"garbage\r\n\r\n".as_slice(),
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /body HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST /body HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"POST /body HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
        b"POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: ten\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"GET / HTTP/1.1\r\nx: \0\r\n\r\n",
        &tls_hello,
    ] {
        listener.refuses(bytes, 400).await;
    }
}

#[tokio::test]
async fn a_host_that_is_missing_doubled_or_malformed_is_refused() {
    let listener = TestListener::open(|_| ());
    for hosts in ["", "host: a\r\nhost: a\r\n", "host: a b\r\n", "host:\r\n", "host: a:99999\r\n", "host: http://a\r\n"]
    {
        listener.refuses(format!("GET / HTTP/1.1\r\n{hosts}\r\n").as_bytes(), 400).await;
        // The next request's beginning is in doubt: it is not served.
        let answer = listener.answer_to(format!("GET / HTTP/1.1\r\n{hosts}\r\n{GET}").as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    assert!(listener.answer_to(b"GET / HTTP/1.0\r\n\r\n").await.ends_with("hello"));
}

#[tokio::test]
async fn a_coding_that_is_not_read_and_a_length_beyond_reason_are_refused() {
    let listener = TestListener::open(|_| ());
    let post = |header: &str| format!("POST /body HTTP/1.1\r\nhost: a\r\n{header}\r\n\r\n");
    listener.refuses(post("transfer-encoding: gzip, chunked").as_bytes(), 501).await;
    listener.refuses(post("transfer-encoding: chunked, chunked").as_bytes(), 400).await;
    for length in ["18446744073709551615", "18446744073709551616", "99999999999999999999999999999999"] {
        listener.refuses(post(&format!("content-length: {length}")).as_bytes(), 413).await;
    }
}

#[tokio::test]
async fn a_client_that_has_ended_its_side_gets_its_answer() {
    let listener = TestListener::open(|_| ());
    for _ in 0..100 {
        let mut stream = listener.connect().await;
        stream.write_all(GET.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        assert!(rest(&mut stream).await.ends_with("hello"));
    }
    listener.no_connection_is_left().await;
}

#[tokio::test]
async fn a_request_that_arrives_in_the_last_moment_of_keep_alive_is_answered() {
    let listener = TestListener::open(|config| config.keep_alive = Duration::from_secs(2));
    let mut stream = listener.connect().await;
    ask(&mut stream).await;
    // On this one-threaded runtime the listener does not run while the thread sleeps: its time is up when it sees the
    // request.
    let mut stream = stream.into_std().unwrap();
    std::thread::sleep(Duration::from_millis(2100));
    std::io::Write::write_all(&mut stream, GET.as_bytes()).unwrap();
    let answer = rest(&mut TcpStream::from_std(stream).unwrap()).await;
    assert!(answer.ends_with("hello"), "{answer:?}");
}

#[tokio::test]
async fn garbage_behind_a_good_request_is_refused_after_its_answer() {
    let listener = TestListener::open(|_| ());
    let answer = listener.answer_to(format!("{GET}garbage\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\n\r\nhelloHTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("{\"status\":400}"), "{answer}");
}

#[tokio::test]
async fn a_body_that_nobody_reads_ends_the_connection_and_the_answer_arrives() {
    let listener = TestListener::open(|_| ());
    let large = "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 600000\r\n\r\n".to_owned() + &"x".repeat(600_000);
    let answer = listener.answer_to(large.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer:?}");
    let endless = "POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_owned()
        + &format!("1000\r\n{}\r\n", "x".repeat(4096)).repeat(50);
    assert!(listener.answer_to(endless.as_bytes()).await.starts_with("HTTP/1.1 413 "));
    listener.no_connection_is_left().await;
}

#[tokio::test]
async fn a_flood_is_not_read_for_ever() {
    let listener = TestListener::open(|_| ());
    let mut stream = listener.connect().await;
    stream.write_all(b"POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\n").await.unwrap();
    let flood = async { while stream.write_all(&[b'x'; 8192]).await.is_ok() {} };
    timeout(PATIENCE, flood).await.expect("the listener closes");
    listener.no_connection_is_left().await;
}

#[tokio::test]
async fn too_many_connections_are_turned_away_with_a_reason() {
    let listener = TestListener::open(|config| config.max_connections = NonZeroUsize::new(2).unwrap());
    let (mut one, mut two) = (listener.connect().await, listener.connect().await);
    ask(&mut one).await;
    ask(&mut two).await;
    let answer = rest(&mut listener.connect().await).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer:?}");
    assert!(answer.ends_with("{\"status\":503}"), "{answer:?}");
    assert!(listener.metrics.encode().contains("countersign_connections_refused_total 1\n"));
    drop((one, two));
    listener.no_connection_is_left().await;
    ask(&mut listener.connect().await).await;
}

#[tokio::test]
async fn one_address_may_not_take_all_connections() {
    let listener = TestListener::open(|config| config.max_connections_per_address = NonZeroUsize::MIN);
    let mut one = listener.connect().await;
    ask(&mut one).await;
    assert!(rest(&mut listener.connect().await).await.starts_with("HTTP/1.1 503 "));
    ask(&mut one).await;
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight_and_takes_nothing_new() {
    let listener = TestListener::open(|config| (config.drain_idle, config.drain) = (Duration::ZERO, 10 * PATIENCE));
    let (mut idle, mut busy) = (listener.connect().await, listener.connect().await);
    ask(&mut idle).await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    listener.waiting.notified().await;
    listener.stop.send_replace(true);
    assert_eq!(rest(&mut idle).await, "");
    while TcpStream::connect(listener.address).await.is_ok() {}
    assert!(!listener.serving.is_finished(), "a request is in flight");
    listener.go_on.notify_one();
    let answer = rest(&mut busy).await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("waited"), "{answer}");
    drop(busy);
    timeout(PATIENCE, listener.serving).await.expect("long before the deadline").unwrap();
}

#[tokio::test]
async fn the_deadline_cuts_off_what_does_not_finish() {
    let listener = TestListener::open(|config| config.drain = Duration::from_millis(200));
    let mut busy = listener.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    listener.waiting.notified().await;
    let start = Stopwatch::start();
    listener.stop.send_replace(true);
    timeout(PATIENCE, listener.serving).await.expect("it ends").unwrap();
    assert!(start.elapsed() >= Duration::from_millis(200), "it was given its time");
    assert_eq!(rest(&mut busy).await, "");
    assert!(listener.metrics.encode().contains("countersign_connections 0\n"));
}

#[tokio::test]
async fn connections_that_wait_to_be_accepted_are_not_lost_to_a_drain() {
    let listener = TestListener::open(|_| ());
    // On this one-threaded runtime the listener has not run yet: all of these are in the kernel's queue.
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut stream = std::net::TcpStream::connect(listener.address).unwrap();
        std::io::Write::write_all(&mut stream, GET.as_bytes()).unwrap();
        waiting.push(stream);
    }
    listener.stop.send_replace(true);
    for stream in waiting {
        stream.set_nonblocking(true).unwrap();
        let answer = rest(&mut TcpStream::from_std(stream).unwrap()).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close\r\n"), "{answer:?}");
    }
}

#[tokio::test]
async fn says_what_to_do_where_it_cannot_listen() {
    let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let second = bind(first.local_addr()).unwrap_err();
    assert!(matches!(second, ListenError::InUse(address) if address == first.local_addr()));
    assert!(second.to_string().contains(&first.local_addr().to_string()));
    let elsewhere = bind(SocketAddr::from(([192, 0, 2, 1], 0))).unwrap_err();
    assert!(matches!(elsewhere, ListenError::NotOurs(_)), "{elsewhere}");
}
