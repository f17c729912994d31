//! Timeouts of a connection: in memory, with a clock that moves only when every task waits.

mod closing;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use super::{Config, Service, connection::Protocol, peer::Peer, transport::Transport};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const LONG: usize = 1024 * 1024;

fn service() -> Service {
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/long", get(|| async { vec![b'x'; LONG] }))
        .route("/never", get(std::future::pending::<()>))
        .route("/slow", get(|| async { sleep(seconds(10)).await }))
        .route("/refuses", post(|| async { StatusCode::UNAUTHORIZED }))
        .route("/body", post(|body: Bytes| async move { body.len().to_string() }));
    let raw_refusal = |status: StatusCode| (HeaderMap::new(), Bytes::from(format!("[{}]", status.as_u16())));
    Service {
        router,
        tells_local_address: false,
        deadline: seconds(15),
        raw_refusal: Arc::new(raw_refusal),
        metrics: None,
    }
}

/// The client's end of a connection, and the server's task.
struct Client {
    io: DuplexStream,
    server: JoinHandle<()>,
    stop: watch::Sender<bool>,
    start: Instant,
}

fn connect() -> Client {
    connect_with(|_| ())
}

fn connect_with(change: impl FnOnce(&mut Config)) -> Client {
    let mut config = Config::default();
    change(&mut config);
    let (io, theirs) = duplex(1024);
    connect_over(&config, io, theirs)
}

fn connect_over(config: &Config, io: DuplexStream, theirs: impl Transport + Send + 'static) -> Client {
    let (stop, stopping) = watch::channel(false);
    let protocol = Protocol::new(config, service());
    let client = SocketAddr::from(([192, 0, 2, 1], 1000));
    let peer = Peer::Tcp { client, local: None };
    let server = tokio::spawn(async move { protocol.run(theirs, peer, stopping).await });
    Client { io, server, stop, start: Instant::now() }
}

impl Transport for DuplexStream {
    fn has_unread(&self) -> bool {
        false
    }
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.unwrap();
    }

    /// Sends one byte a second until the server closes.
    async fn trickle(&mut self, text: &str) {
        for byte in text.bytes().cycle() {
            if self.io.write_all(&[byte]).await.is_err() {
                return;
            }
            if timeout(seconds(1), self.server_gone()).await.is_ok() {
                return;
            }
        }
    }

    async fn server_gone(&mut self) {
        while !self.server.is_finished() {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Reads until the answer to `GET /` is complete.
    async fn hello(&mut self) -> String {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\nhello") {
            seen.push(self.io.read_u8().await.expect("an answer"));
        }
        String::from_utf8(seen).unwrap()
    }

    /// Reads everything until the server closes.
    async fn remaining(&mut self) -> String {
        let mut seen = Vec::new();
        self.io.read_to_end(&mut seen).await.unwrap();
        String::from_utf8(seen).unwrap()
    }

    #[track_caller]
    fn took(&self, expected: Duration) {
        let took = self.start.elapsed();
        assert!(took >= expected, "{took:?} is before {expected:?}");
        assert!(took < expected + Duration::from_millis(20), "{took:?} is after {expected:?}");
    }

    fn restart(&mut self) {
        self.start = Instant::now();
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed() {
    let mut client = connect();
    assert_eq!(client.remaining().await, "");
    client.took(seconds(5));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_cut_off() {
    let mut client = connect();
    sleep(seconds(3)).await;
    client.trickle("GET / HTTP/1.1\r\nx-endless: ").await;
    client.took(seconds(3 + 5));
    let answer = client.remaining().await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.ends_with("[408]"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn empty_lines_do_not_extend_the_time() {
    let mut client = connect();
    client.trickle("\r\n").await;
    client.took(seconds(5));
}

#[tokio::test(start_paused = true)]
async fn the_next_head_has_as_long_as_the_first() {
    let mut client = connect();
    client.send(GET).await;
    client.hello().await;
    sleep(seconds(20)).await;
    client.restart();
    client.send("GET / HT").await;
    assert!(client.remaining().await.ends_with("[408]"));
    client.took(seconds(5));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_without_an_answer() {
    let mut client = connect();
    client.send(GET).await;
    client.hello().await;
    client.restart();
    assert_eq!(client.remaining().await, "");
    client.took(seconds(75));
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_leaves_the_connection_idle_too() {
    let mut client = connect();
    client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\nPOST /nowhere HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answers = client.remaining().await;
    assert!(answers.starts_with("HTTP/1.1 200 ") && answers.contains("\r\n\r\nHTTP/1.1 404 "), "{answers}");
    client.took(seconds(75));
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_stays_open() {
    let mut client = connect();
    for pause in [4, 74, 0, 12, 74, 1, 74] {
        sleep(seconds(pause)).await;
        client.send(GET).await;
        client.hello().await;
    }
    assert!(!client.server.is_finished());
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_turn() {
    let mut client = connect();
    client.send(&GET.repeat(3)).await;
    for _ in 0..3 {
        client.hello().await;
    }
    client.send(GET).await;
    client.hello().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_cut_off_behind_a_service_that_waits_for_it() {
    let mut client = connect();
    client.send("POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 9999\r\n\r\n").await;
    client.trickle("x").await;
    client.took(seconds(15 + 5));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_arrives_after_its_refusal_leaves_the_connection_usable() {
    let mut client = connect();
    for _ in 0..3 {
        client.send("POST /refuses HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n").await;
        sleep(Duration::from_millis(400)).await;
        client.send("xx").await;
        sleep(Duration::from_millis(400)).await;
        client.send("xxx").await;
    }
    client.send(GET).await;
    let answers = client.hello().await;
    assert_eq!(answers.matches("HTTP/1.1 401 ").count(), 3, "{answers}");
    assert!(!answers.contains("connection: close"), "{answers}");
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_that_does_not_come_ends_the_connection_and_the_answer_says_so() {
    let mut client = connect();
    client.send("POST /refuses HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nxx").await;
    let answer = client.remaining().await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close\r\n"), "{answer}");
    client.took(seconds(1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asked_before_sending_is_refused_at_once() {
    let mut client = connect();
    client.send("POST /refuses HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n").await;
    let answer = client.remaining().await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("connection: close\r\n"), "{answer}");
    client.took(seconds(0));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_hangs_is_cut_off() {
    let mut client = connect();
    client.send("GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.remaining().await, "");
    client.took(seconds(15 + 5));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_cut_off() {
    let mut client = connect();
    client.send("GET /long HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.server_gone().await;
    client.took(seconds(15));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_too_slowly_is_cut_off() {
    let mut client = connect();
    client.send("GET /long HTTP/1.1\r\nhost: a\r\n\r\n").await;
    while !client.server.is_finished() {
        let _ = timeout(seconds(1), client.io.read_u8()).await;
        sleep(Duration::from_millis(10)).await;
    }
    client.took(seconds(15));
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_may_take_long_if_it_is_read() {
    let mut client = connect();
    client.send("GET /long HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut piece = vec![0; 64 * 1024];
    for _ in 0..LONG / piece.len() {
        sleep(seconds(10)).await;
        client.io.read_exact(&mut piece).await.expect("the server is patient");
    }
    assert!(client.start.elapsed() > seconds(100));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_that_no_clock_can_represent_does_not_panic() {
    let mut client = connect_with(|config| config.timeouts.first_byte = Duration::MAX);
    sleep(seconds(60)).await;
    client.send(GET).await;
    client.hello().await;
}
