//! Answers by the minute: a node counts them, and writes them to the store.

use std::time::Duration;

use countersign::{
    clock::{Clock, UnixMillis},
    store::ActivityCount,
};
use serde_json::json;

use super::{
    cli::init,
    support::{
        service::{Service, run_json},
        test_service::TestService,
    },
};

/// Ticks after which a node has written.
const WRITTEN: u32 = 10;

async fn recorded(service: &TestService) -> Vec<ActivityCount> {
    service.services.store().activity_since(UnixMillis(0)).await.unwrap()
}

/// Sum of the mints, the refreshes and the refused requests of an app.
fn sum(counts: &[ActivityCount], app: &str) -> [u64; 3] {
    let of_app = counts.iter().filter(|count| count.app.as_str() == app);
    of_app.fold([0; 3], |[mints, refreshes, refused], count| {
        [mints + count.mints, refreshes + count.refreshes, refused + count.refused]
    })
}

#[tokio::test]
async fn answers_are_counted_by_app_and_minute() {
    let service = TestService::new().await;
    let token = service.session("u-1").await;
    service.login("u-2").await;
    service.refresh(&token).await.ok();
    service.generate(&json!({ "app": "web", "user_id": "" })).await;
    service.generate(&json!({ "app": "nowhere", "user_id": "u-1" })).await;
    service.run(WRITTEN).await;
    let first = recorded(&service).await;
    assert_eq!(sum(&first, "web"), [2, 1, 1]);
    assert!(first.iter().all(|count| count.app.as_str() == "web" && count.minute.0 % 60_000 == 0), "{first:?}");

    service.clock.forward(Duration::from_mins(2));
    let now = service.clock.now();
    service.generate(&json!({ "app": "ios", "user_id": "u-1" })).await.ok();
    let answer = service.post("/v1/token/exchange", &json!({ "app": "ios" })).await;
    assert_eq!(answer.status, 401);
    service.run(WRITTEN).await;
    let all = recorded(&service).await;
    assert_eq!(sum(&all, "web"), [2, 1, 1], "each is counted once");
    assert_eq!(sum(&all, "ios"), [1, 0, 1]);
    let ios = all.iter().find(|count| count.app.as_str() == "ios").unwrap();
    assert!(ios.minute > first[0].minute && now.since(ios.minute) < Duration::from_mins(1), "{all:?} at {now:?}");
}

/// A quiet service writes nothing.
#[tokio::test]
async fn without_answers_there_are_no_rows() {
    let service = TestService::new().await;
    service.run(2 * WRITTEN).await;
    assert_eq!(recorded(&service).await, []);
}

#[tokio::test]
async fn a_service_that_stops_writes_what_it_counted() {
    let (folder, _) = init(&[]);
    let key = run_json(&["clients", "create", "backend", "--app", "web"], folder.path());
    let service = Service::of(&folder.path().join("countersign.toml"));
    let token = service.generate(key["api_key"].as_str().unwrap(), "u-1").await.ok().text("refresh_token");
    service.refresh(&token).await.unwrap().ok();
    let (status, _, log) = service.stop();
    assert!(status.success(), "{log}");
    let store = rusqlite::Connection::open(folder.path().join("countersign.db")).unwrap();
    let sums = "SELECT app, sum(mints), sum(refreshes), sum(refused) FROM activity GROUP BY app";
    let sums: (String, i64, i64, i64) =
        store.query_row(sums, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    assert_eq!(sums, ("web".to_owned(), 1, 1, 0));
}
