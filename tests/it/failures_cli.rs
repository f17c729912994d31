//! `countersign failures`: reports of apps become rows with a cause, a beginning and a remedy.

use serde_json::{Value, json};

use crate::{
    cli::init,
    support::service::{Service, run, run_json},
};

/// Names of the members of a JSON object.
fn members(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn reports_become_rows_with_cause_beginning_and_remedy() {
    let (folder, _) = init(&[]);
    let path = folder.path();
    let (code, out, err) = run(&["failures"], path);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("No app has reported a failure since 20") && out.ends_with("Z.\n"), "{out}");
    assert_eq!(run_json(&["failures"], path)["failures"], json!([]));
    let (_, out, _) = run(&["failures", "--app", "web", "--since", "90d"], path);
    assert!(out.starts_with("App web has reported no failure since 20"), "{out}");
    let (code, _, err) = run(&["failures", "--since", "91d"], path);
    assert!(code == 2 && err.contains("at most \"90d\""), "{err}");

    let config = path.join("countersign.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replacen("\n# threshold = 20\n", "\nthreshold = 3\n", 1)).unwrap();
    let api_key = run_json(&["clients", "create", "backend", "--app", "web"], path);
    let service = Service::of(&config);
    for n in 0..8 {
        let user = format!("canary-user-{n}");
        let token = service.generate(api_key["api_key"].as_str().unwrap(), &user).await.ok().text("refresh_token");
        let failure = json!({
            "errorCode": 28, "reason": "PAYLOAD_USER_ID_MISMATCH", "userId": user, "platform": "web",
            "sdk_version": "6.5.0",
        });
        let body = json!({ "refresh_token": token, "failure": failure });
        // The same session counts once.
        for _ in 0..3 {
            assert_eq!(service.post("/v1/failures", None, &body).await.unwrap().status, 204);
        }
    }
    // What waits is written before the process ends.
    service.stop();

    let found = run_json(&["failures", "--since", "2h", "--app", "web"], path);
    let expected = ["failures", "sdk_versions", "since", "until"];
    assert_eq!(members(&found), expected);
    let row = &found["failures"][0];
    let expected = "app cause changes codes command confidence example first fix keys last platforms reports sentence \
                    sessions sessions_or_more since";
    assert_eq!(members(row), expected.split_whitespace().collect::<Vec<_>>());
    assert_eq!((&row["cause"], &row["app"], &row["codes"]), (&json!("mixed_batch"), &json!("web"), &json!(["28"])));
    assert_eq!((&row["reports"], found["failures"].as_array().unwrap().len()), (&json!(8), 1));
    // Two of eight may have one place in a sketch.
    assert!((6..=8).contains(&row["sessions"].as_u64().unwrap()), "{row}");
    assert!(row["since"].is_u64() && row["since"].as_u64() <= row["last"].as_u64(), "{row}");
    let changes: Vec<&str> =
        row["changes"].as_array().unwrap().iter().map(|change| change["what"].as_str().unwrap()).collect();
    let started = format!("version {} started", env!("CARGO_PKG_VERSION"));
    assert!(changes.contains(&started.as_str()), "{changes:?}");
    assert!(changes.iter().any(|what| what.starts_with("key ") && what.ends_with("… activated")), "{changes:?}");
    assert_eq!(row["example"]["code"], "28");
    assert_eq!(row["example"]["issue_to_end"], 3600);

    let (_, out, _) = run(&["failures"], path);
    for part in ["mixed_batch · app web · code 28", "8 reports, rises since 20", "Fix: ", "Before: ", "Latest: 20"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let (code, _, err) = run(&["failures", "--app", "wbe"], path);
    assert!(code == 1 && err.contains("did you mean web"), "{err}");

    // Nothing that a client wrote is kept.
    for file in ["countersign.db", "countersign.db-wal"] {
        let bytes = std::fs::read(path.join(file)).unwrap_or_default();
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "{file}");
    }
}
