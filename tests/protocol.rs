//! What `docs/protocol.md` promises, through the socket, beside a bystander.

mod delivery;
mod lifecycle;
mod snapshots;

use serde_json::{Value, json};
use tidegate::event::Lsn;

use crate::client::Client;
use crate::stage::Stage;

/// Takes frames until the last one of a snapshot, and gives back its rows and that frame.
async fn snapshot(client: &mut Client) -> (Vec<Value>, Value) {
    let mut rows = Vec::new();
    loop {
        let frame = client.expect("snapshot").await;
        rows.extend(frame["rows"].as_array().expect("rows").iter().cloned());
        if frame["last"] == true {
            assert!(frame["cursor"].is_string() && frame["lsn"].is_string(), "{frame}");
            return (rows, frame);
        }
        assert!(frame.get("cursor").is_none(), "{frame}");
    }
}

/// The next frame that is no `progress`.
async fn next(client: &mut Client) -> Value {
    loop {
        let frame = client.next().await.expect("alive");
        if frame["type"] != "progress" {
            return frame;
        }
    }
}

/// Everything that comes up to what is committed now.
async fn all(stage: &Stage, client: &mut Client) -> Vec<Value> {
    let mut frames = Vec::new();
    client.await_lsn(stage.lsn().await, |frame| frames.push(frame.clone())).await;
    frames
}

fn ids(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["id"].as_str().expect("an int8 is a string")).collect()
}

/// Operation and key of each change.
fn ops(frame: &Value) -> Vec<(&str, &str)> {
    let changes = frame["changes"].as_array().unwrap_or_else(|| panic!("no changes: {frame}"));
    changes
        .iter()
        .map(|change| {
            let id = change.get("row").unwrap_or(&change["key"]).get("id").and_then(Value::as_str);
            (change["op"].as_str().expect("an op"), id.expect("a key"))
        })
        .collect()
}

fn position(frame: &Value) -> Lsn {
    frame["lsn"].as_str().and_then(|lsn| lsn.parse().ok()).unwrap_or_else(|| panic!("no position: {frame}"))
}

fn resume(subscribed: &Value, last: &Value) -> Value {
    json!({"id": "a", "table": "entries", "cursor": last["cursor"], "shape": subscribed["shape"]})
}
