//! Background tasks of a real process: one that dies takes the process with it, after draining.
//!
//! The failpoint is in debug builds only, as these tests are.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::service::Service;

/// A service whose task ends as soon as a file is there.
fn service(task: &str, file: &Path) -> Service {
    Service::dev_with(|command| {
        command.env("FAILPOINTS", format!("{task}={}", file.display())).env("COUNTERSIGN_LOG__FORMAT", "json");
    })
}

/// A request of which the body is still to come.
async fn half_a_request(service: &Service, body: &str) -> TcpStream {
    let mut client = TcpStream::connect(service.url.trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /v1/token/generate HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\n\r\n",
        service.api_key(),
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    // The service asks for the body: the request is under way.
    client.readable().await.unwrap();
    client
}

fn event<'a>(log: &'a [Value], message: &str) -> &'a Value {
    log.iter().find(|event| event["message"] == message).unwrap_or_else(|| panic!("no {message:?}: {log:?}"))
}

#[tokio::test]
async fn a_task_that_panics_is_an_alarm_and_the_process_drains_and_exits_with_1() {
    for task in ["node", "rotation"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("now");
        let mut service = service(task, &file);
        let ready = format!("{}/readyz", service.ops_url);
        service.get(&ready).await.ok();
        let body = json!({ "app": "web", "user_id": "u-1" }).to_string();
        let mut client = half_a_request(&service, &body).await;

        fs::write(&file, "panic").unwrap();
        let report = loop {
            let answer = service.get(&ready).await;
            if answer.status == 503 {
                break answer.json();
            }
        };
        assert!(report.to_string().contains("shutting down"), "{report}");
        let metrics = service.get(&format!("{}/metrics", service.ops_url)).await.ok();
        let metrics = String::from_utf8(metrics.body).unwrap();
        assert!(metrics.contains("countersign_alarms_total{kind=\"task\"} 1"), "{metrics}");

        client.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("HTTP/1.1 200 OK"), "the request under way is answered: {answer}");
        let (status, _, err) = service.wait();
        assert_eq!(status.code(), Some(1), "{err}");
        let log: Vec<Value> = err.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let gone = event(&log, "a background task is gone");
        assert_eq!(json!([gone["level"], gone["task"], gone["panicked"]]), json!(["ERROR", task, true]));
        event(&log, "drained");
        assert!(err.contains(&format!("the background task {task} panicked")), "{err}");
    }
}

#[tokio::test]
async fn a_listener_that_ends_by_itself_ends_the_process() {
    for task in ["public_listener", "ops_listener"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("now");
        let mut service = service(task, &file);
        fs::write(&file, "end").unwrap();
        let (status, _, err) = service.wait();
        assert_eq!(status.code(), Some(1), "{err}");
        assert!(err.contains(&format!("the background task {task} ended by itself")), "{err}");
    }
}
