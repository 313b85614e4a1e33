//! The page at `/docs`.

use super::house::App;
use crate::fixture::scenario;
use crate::server::Server;

const FILES: [&str; 3] = ["/docs", "/docs/reference.js", "/docs/style.css"];

#[test]
fn the_page_is_there_with_the_application_and_may_ask_its_own_server_alone() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        for path in FILES {
            let answer = app.nobody().get(path).await;
            assert_eq!(answer.status, 200, "{path}");
            let policy = answer.header("content-security-policy");
            assert!(
                policy.contains("default-src 'none'") && policy.contains("connect-src 'self';"),
                "{policy}"
            );
        }
    });
}

#[test]
fn a_server_without_the_application_has_no_such_page() {
    scenario(async |test| {
        let database = test.database().await;
        let server = Server::start(&database).await;
        for path in FILES {
            let answer = server.get(path).await;
            assert_eq!(answer.expect("it answers").0, 404, "{path}");
        }
    });
}
