//! Requests over HTTP, by `wrk`, as somebody with a token.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use tidegate::auth::{Algorithm, ClaimPath, Rules, Secret, mint};

pub(crate) const SECRET: &str =
    "a secret of the benches, and of nobody else: long enough for each of the hashes.";
/// How long a turn takes, in seconds.
pub(crate) const SECONDS: u32 = 5;

/// What came of a turn.
pub(crate) struct Turn {
    pub(crate) per_second: f64,
    pub(crate) p99_ms: f64,
}

/// Ada's.
pub(crate) fn token() -> String {
    let secret: Secret = SECRET.parse().expect("long enough");
    let rules = Rules {
        issuer: None,
        audience: Vec::new(),
        leeway: std::time::Duration::ZERO,
        role: "role".parse::<ClaimPath>().expect("a path"),
        roles: vec!["app_user".to_owned()],
    };
    let claims = json!({"sub": "ada"}).as_object().expect("an object").clone();
    let allowed: Vec<Algorithm> = vec!["HS256".parse().expect("one")];
    let end = std::time::SystemTime::now() + std::time::Duration::from_hours(1);
    mint(&secret, &allowed, &rules, "app_user", Some(end), claims).expect("the secret serves")
}

/// What a script ends with.
pub(crate) const REPORT: &str = r#"
done = function(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  print("RESULT " .. summary.requests / (summary.duration / 1e6) .. " " .. latency:percentile(99) / 1e3 .. " " .. failed)
end
"#;

/// A turn of `script` over so many connections.
pub(crate) fn wrk(script: &Path, connections: u32, url: &str) -> Turn {
    let run = Command::new("wrk")
        .args(["--threads", "2", "--connections", &connections.to_string()])
        .args(["--duration", &format!("{SECONDS}s"), "--script"])
        .arg(script)
        .arg(url)
        .output()
        .unwrap_or_else(|error| panic!("`wrk` is needed, as in `apt install wrk`: {error}"));
    let told = String::from_utf8_lossy(&run.stdout);
    let line = told.lines().find_map(|line| line.strip_prefix("RESULT "));
    let line = line.unwrap_or_else(|| panic!("{told}{}", String::from_utf8_lossy(&run.stderr)));
    let numbers: Vec<f64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
    assert!(numbers[2] == 0.0, "requests were refused or lost: {told}");
    Turn { per_second: numbers[0], p99_ms: numbers[1] }
}
