//! End of a connection: drain, keep-alive, and clients that end their side first.

use std::{
    io,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    time::sleep,
};

use super::{Config, GET, Transport, connect, connect_over, connect_with, seconds};

/// Stream whose runtime has not noticed what arrived after the first `noticed` reads, until it is asked about it.
struct Unnoticed {
    io: DuplexStream,
    noticed: usize,
    asked: AtomicBool,
}

impl Transport for Unnoticed {
    fn has_unread(&self) -> bool {
        !self.asked.swap(true, Relaxed)
    }
}

impl AsyncRead for Unnoticed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.noticed == 0 && !self.asked.load(Relaxed) {
            return Poll::Pending;
        }
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.noticed = self.noticed.saturating_sub(1);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Unnoticed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn draining_closes_what_is_idle() {
    let mut client = connect_with(|config| config.drain_idle = Duration::ZERO);
    client.send(GET).await;
    client.hello().await;
    client.restart();
    client.stop.send_replace(true);
    assert_eq!(client.remaining().await, "");
    client.took(Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn draining_answers_a_request_that_was_on_its_way() {
    let mut client = connect();
    client.send(GET).await;
    client.hello().await;
    client.restart();
    client.stop.send_replace(true);
    sleep(Duration::from_millis(100)).await;
    client.send(GET).await;
    let answer = client.remaining().await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("hello"), "{answer}");
    client.took(Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn draining_lets_a_request_finish() {
    let mut client = connect();
    client.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    sleep(seconds(1)).await;
    client.stop.send_replace(true);
    let answer = client.remaining().await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("connection: close\r\n"), "{answer}");
    client.took(seconds(10));
}

#[tokio::test(start_paused = true)]
async fn a_closing_server_reads_on_for_a_limited_time() {
    let mut client = connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    client.hello().await;
    client.restart();
    client.server_gone().await;
    client.took(seconds(1));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_arrives_while_an_idle_connection_closes_is_answered() {
    let (io, theirs) = duplex(1024);
    let mut client =
        connect_over(&Config::default(), io, Unnoticed { io: theirs, noticed: 1, asked: AtomicBool::new(false) });
    client.send(GET).await;
    client.hello().await;
    sleep(seconds(74)).await;
    client.send(GET).await;
    let answer = client.remaining().await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("hello"), "{answer:?}");
    client.took(seconds(75));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_reads_on_for_a_short_time_once_it_has_closed_its_side() {
    let mut client = connect();
    client.send(GET).await;
    client.hello().await;
    assert_eq!(client.remaining().await, "");
    client.took(seconds(75));
    client.send(GET).await;
    client.server_gone().await;
    client.took(seconds(75 + 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_ended_its_side_gets_its_answers() {
    for (request, answers) in [(GET.repeat(3), 3), ("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n".to_owned(), 1)] {
        let mut client = connect();
        client.send(&request).await;
        client.io.shutdown().await.unwrap();
        let answer = client.remaining().await;
        assert_eq!(answer.matches("HTTP/1.1 200 ").count(), answers, "{answer}");
        assert!(client.start.elapsed() <= seconds(11));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ended_its_side_in_the_middle_of_a_request_holds_nothing() {
    for part in ["", "GET / HT", "POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nxx"] {
        let mut client = connect();
        client.send(part).await;
        client.io.shutdown().await.unwrap();
        client.remaining().await;
        client.server_gone().await;
        client.took(Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_went_away_holds_nothing_beyond_the_deadline() {
    let mut client = connect();
    client.send("GET /never HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.io.shutdown().await.unwrap();
    client.server_gone().await;
    client.took(seconds(15 + 5));
}
