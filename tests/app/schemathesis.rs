//! The document is true: schemathesis makes requests of it, good and bad ones, and looks whether each is answered as it says.
//!
//! See <https://schemathesis.readthedocs.io/>.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use super::house::App;
use crate::fixture::{Database, scenario};

/// The same requests each time; another number asks others.
const SEED: &str = "20260131";
/// Requests for an operation in each phase that makes them up by chance: a minute on two cores.
const EXAMPLES: &str = "12";
/// Boards, of which the first has most of what the configuration names, and the last are there to be deleted.
const BOARDS: usize = 24;

#[test]
fn every_answer_is_as_the_document_says() {
    scenario(async |test| {
        // It asks more than any one client may.
        let app = App::start_with(
            test.database().await,
            &[("limits.requests_per_second", "0"), ("analytics.enabled", "true")],
        )
        .await;
        let token = prepare(&app).await;
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(app.database.name());
        fs::create_dir_all(&scratch).expect("the build's temporary folder is ours");
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/app");
        let mut asks = Command::new(program());
        asks.current_dir(&scratch)
            .env("SCHEMATHESIS_HOOKS", ours.join("schemathesis.py"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .arg("--config-file")
            .arg(ours.join("schemathesis.toml"))
            .arg("run")
            .arg(format!("http://{}/openapi.json", app.server.address()))
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args(["--checks", "all", "--max-examples", EXAMPLES, "--seed", SEED, "--continue-on-failure"])
            .args(["--generation-database", "none", "--warnings", "off", "--no-color"])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = asks.output().await.expect("it was found to be there");
        let told = String::from_utf8_lossy(&output.stdout);
        // Line by line: an address of a hundred thousand characters says no more than its beginning.
        let short: Vec<String> = told.lines().map(|line| line.chars().take(400).collect()).collect();
        println!("{}", short.join("\n"));
        let trouble = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "schemathesis ended with {}: {trouble}", output.status);
        assert!(told.contains("Operations:") && told.contains("generated"), "it asked nothing");
        // A failed run's is left to be looked at.
        fs::remove_dir_all(&scratch).expect("ours");
    });
}

/// Rows with the numbers that the configuration names, of which Ada and Ben are admins; gives Ada's token.
async fn prepare(app: &App) -> String {
    let (ada, ben) = (app.person("ada").await, app.person("ben").await);
    for number in 0..BOARDS {
        let board = ada.board(&format!("Board {number}")).await;
        ada.admit(&board, "ben", "admin").await;
        ada.post(&format!("/v1/boards/{board}/categories"), json!({"name": "Sails"})).await.must(201);
        for title in ["One", "Two", "Three", "Four"].iter().cycle().take(if number == 0 { 8 } else { 1 }) {
            let entry = ada.entry(&board, json!({"title": title})).await;
            let told = json!({"body": "Look, @ada"});
            ben.post(&format!("/v1/entries/{entry}/comments"), told).await.must(201);
        }
    }
    measure(&app.database).await;
    let contact = json!({"email": "ada@example.com", "phone": "+49 30 901820"});
    ada.patch("/v1/me/contact", contact).await.must(200);
    ada.token().to_owned()
}

async fn measure(database: &Database) {
    database
        .execute(
            "insert into public.kpi_values (board_id, kpi, value, recent) values (1, 'overdue', 8, '{7,8}') on conflict do nothing",
        )
        .await;
}

/// The one that `script/setup` has installed, or else one in PATH.
fn program() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tidegate/schemathesis/bin/schemathesis");
    let in_path = || {
        let paths = std::env::var_os("PATH")?;
        std::env::split_paths(&paths).map(|folder| folder.join("schemathesis")).find(|file| file.is_file())
    };
    let found = if installed.is_file() { Some(installed) } else { in_path() };
    found.expect("there is no schemathesis: `script/setup schemathesis` installs it")
}
