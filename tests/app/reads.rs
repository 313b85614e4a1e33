//! Cached reads: never older than what the stream has shown, never another's, and made once.

use hyper::Method;
use serde_json::{Value, json};

use super::house::App;
use crate::fixture::{eventually, scenario};

/// Whether the answer was there already, by what the server counts: a test has a process of its own.
async fn hits(app: &App) -> f64 {
    app.server.metric("tidegate_read_hits_total").await
}

#[test]
fn a_read_that_is_asked_again_is_not_made_again_until_a_change_touches_it() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let (ferry, port) = (ada.board("Ferry").await, ada.board("Port").await);
        let (of_ferry, of_port) =
            (format!("/v1/boards/{ferry}/entries"), format!("/v1/boards/{port}/entries"));
        let settle = async || {
            // A change of the board is behind every answer from here on, once it has come round.
            eventually("the answer is kept", async || {
                let before = hits(&app).await;
                ada.get(&of_ferry).await.must(200);
                ada.get(&of_port).await.must(200);
                (hits(&app).await - before >= 2.0).then_some(())
            })
            .await;
        };
        settle().await;
        let first = ada.get(&of_ferry).await;
        assert_eq!(first.header("cache-control"), "private, no-cache");
        let known = ada.ask(Method::GET, &of_ferry, None, &[("if-none-match", first.header("etag"))]).await;
        assert_eq!((known.status, known.body.len()), (304, 0));
        assert_eq!(known.header("etag"), first.header("etag"));

        let before = hits(&app).await;
        ada.entry(&ferry, json!({"title": "One"})).await;
        // The other board's answer holds.
        eventually("the change has come round", async || {
            let changed =
                ada.ask(Method::GET, &of_ferry, None, &[("if-none-match", first.header("etag"))]).await;
            (changed.status == 200).then_some(())
        })
        .await;
        let after = hits(&app).await;
        ada.get(&of_port).await.must(200);
        assert!(hits(&app).await >= after + 1.0 && after >= before, "{before} {after}");
    });
}

#[test]
fn whoever_was_told_of_a_change_reads_it_however_busy_the_cache_is() {
    scenario(async |test| {
        let app = App::start_with(test.database().await, &[("limits.requests_per_second", "0")]).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let entry = ada.entry(&board, json!({"title": "0"})).await;
        let path = format!("/v1/entries/{entry}");
        let list = format!("/v1/boards/{board}/entries");
        let mut client = app.socket(&ada).await;
        client.subscribe(json!({"id": "e", "table": "public.entries", "columns": ["id", "title"]})).await;
        client.expect("subscribed").await;
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (api, path, list, stop) = (ada.apart(), path.clone(), list.clone(), stop.clone());
            readers.spawn(async move {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    api.get(&path).await.must(200);
                    api.get(&list).await.must(200);
                }
            });
        }
        let writer = ada.apart();
        let writing = async {
            for number in 1..=200 {
                writer.patch(&path, json!({"title": number.to_string()})).await.must(200);
            }
        };
        let told = async {
            for _ in 1..=200 {
                let changes = client.expect("changes").await;
                let shown = changes["changes"][0]["row"]["title"].as_str().expect("a title").to_owned();
                let shown: u32 = shown.parse().expect("a number");
                for (path, place) in [(&path, None), (&list, Some(0))] {
                    let read = ada.get(path).await.must(200);
                    let row = place.map_or(&read, |place| &read["rows"][place]);
                    let title: u32 = row["title"].as_str().expect("a title").parse().expect("a number");
                    assert!(title >= shown, "{path} shows {title}, and the stream {shown}");
                }
            }
        };
        tokio::join!(writing, told);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        readers.join_all().await;
    });
}

#[test]
fn a_slow_read_that_overlaps_the_change_leaves_nothing_stale_behind() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let path = format!("/v1/boards/{board}/categories");
        ada.post(&path, json!({"name": "old"})).await.must(201);
        // A read of categories sleeps on each row, behind its snapshot.
        app.database
            .execute(
                "create function public.slow() returns boolean language sql volatile
                 as 'select pg_sleep(2) is not null';
                 create policy slow on public.categories as restrictive for select to app_user using (public.slow());",
            )
            .await;
        let sleeps = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
        let names = |answer: &Value| answer["rows"][0]["name"].as_str().expect("a name").to_owned();
        let slow = async { names(&ada.apart().get(&path).await.must(200)) };
        let change = async {
            eventually("the read has begun", async || (app.database.number(sleeps).await > 0).then_some(()))
                .await;
            let mut client = app.socket(&ada).await;
            app.database.execute("update public.categories set name = 'new'").await;
            let lsn = app.database.client().await.query_one("select pg_current_wal_lsn()::text", &[]).await;
            let lsn: String = lsn.expect("it is up").get(0);
            client.await_lsn(lsn.parse().expect("a position"), |_| {}).await;
            // The stream has passed it: who asks from here on is shown it, whatever is being read.
            let joined = names(&ada.get(&path).await.must(200));
            assert_eq!(joined, "new");
        };
        let (read, ()) = tokio::join!(slow, change);
        assert_eq!(read, "old", "it began before");
        app.database.execute("drop policy slow on public.categories").await;
        assert_eq!(names(&ada.get(&path).await.must(200)), "new");
    });
}

#[test]
fn what_is_taken_from_a_role_is_not_served_from_the_cache() {
    scenario(async |test| {
        let app = App::start_with(test.database().await, &[("policy.refresh_ms", "100")]).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let path = format!("/v1/boards/{board}/categories");
        ada.post(&path, json!({"name": "Bug"})).await.must(201);
        ada.get(&path).await.must(200);
        app.database.execute("revoke select on public.categories from app_user").await;
        eventually("it is taken away", async || (ada.get(&path).await.status == 403).then_some(())).await;
        app.database.execute("grant select on public.categories to app_user").await;
        eventually("and given back", async || (ada.get(&path).await.status == 200).then_some(())).await;
    });
}

#[test]
fn nobody_is_served_what_another_may_see_while_memberships_come_and_go() {
    scenario(async |test| {
        let app = App::start_with(test.database().await, &[("limits.requests_per_second", "0")]).await;
        let ada = app.person("ada").await;
        let others = [("ben", app.person("ben").await), ("cle", app.person("cle").await)];
        let lead = app.with_role("app_lead", "lea");
        let mut boards = Vec::new();
        for name in ["Ferry", "Port", "Quay"] {
            let board = ada.board(name).await;
            let entry = ada.entry(&board, json!({"title": name})).await;
            let said =
                ada.post(&format!("/v1/entries/{entry}/comments"), json!({"body": name})).await.must(201);
            let comment = said["row"]["id"].as_str().expect("an id").to_owned();
            let state = ada.states(&board).await[0].clone();
            boards.push((board, entry, comment, state));
        }
        let client = app.database.client().await;
        let mut line = app.socket(&ada).await;
        let before = hits(&app).await;
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut asked = [0, 0];
        for _ in 0..200 {
            let (board, entry, comment, state) = random.choice(&boards).expect("some").clone();
            let (name, api) = random.choice(&others).expect("some").clone();
            if random.u8(..3) == 0 {
                let path = format!("/v1/boards/{board}/members/{name}");
                let answer = if random.bool() {
                    ada.put(&path, json!({"role": "viewer"})).await
                } else {
                    ada.delete(&path).await
                };
                assert!(matches!(answer.status, 200 | 201 | 404), "{answer:?}");
            }
            let lsn = client.query_one("select pg_current_wal_lsn()::text", &[]).await.expect("it is up");
            let lsn: String = lsn.get(0);
            // From here on the cache may answer.
            line.await_lsn(lsn.parse().expect("a position"), |frame| panic!("{frame}")).await;
            let headers = [("tidegate-min-lsn", &*lsn)];
            let is_member = "select exists (select from public.board_members where board_id = $1::text::bigint and user_id = $2)";
            let is_member: bool =
                client.query_one(is_member, &[&board, &name]).await.expect("it is up").get(0);
            for path in [
                format!("/v1/boards/{board}"),
                format!("/v1/boards/{board}/entries"),
                format!("/v1/boards/{board}/workflow"),
                format!("/v1/entries/{entry}"),
                format!("/v1/entries/{entry}/comments"),
                format!("/v1/boards/{board}/members"),
                format!("/v1/boards/{board}/members/ada"),
                format!("/v1/comments/{comment}"),
                format!("/v1/workflow-states/{state}"),
            ] {
                // Those who see all have it kept. Then without the position that was seen, from the cache where it is there, and
                // with it, from the database.
                assert_eq!(ada.get(&path).await.status, 200, "{path}");
                assert_eq!(lead.get(&path).await.status, 200, "{path}");
                for headers in [&[][..], &[], &headers] {
                    let answer = api.ask(Method::GET, &path, None, headers).await;
                    assert_eq!(answer.status, if is_member { 200 } else { 404 }, "{name} {path} {headers:?}");
                }
                asked[usize::from(is_member)] += 1;
            }
            let activities = api.ask(Method::GET, "/v1/activities?limit=500", None, &headers).await.must(200);
            let all = activities["rows"].as_array().expect("rows");
            assert_eq!(all.iter().any(|row| row["board_id"] == json!(board)), is_member, "{name} {board}");
        }
        assert!(asked[0] > 100 && asked[1] > 100, "{asked:?}: both happen");
        let hits = hits(&app).await - before;
        assert!(hits >= f64::from(asked[1]), "{hits} answers from the cache, {asked:?}");
    });
}

#[test]
fn pages_show_every_row_once_in_order() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let states = ada.states(&board).await;
        let mut commands = Vec::new();
        for number in 0..57 {
            let body = json!({"title": format!("Card {number}"), "state_id": states[number % 4]});
            commands
                .push(json!({"method": "POST", "path": format!("/v1/boards/{board}/entries"), "body": body}));
        }
        // In one transaction: all of them have one and the same moment.
        let batch = ada.post("/v1/batch", json!({"commands": commands})).await.must(200);
        assert_eq!(batch["results"].as_array().expect("results").len(), 57);
        for (path, rows) in [
            (format!("/v1/boards/{board}/entries?limit=10"), 57),
            (format!("/v1/activities?limit=7&board_id={board}"), 58),
            ("/v1/boards?limit=1".to_owned(), 1),
        ] {
            let mut shown = Vec::new();
            let mut next = String::new();
            loop {
                let page = ada.get(&format!("{path}{next}")).await.must(200);
                shown.extend(page["rows"].as_array().expect("rows").iter().map(|row| row["id"].to_string()));
                match page["next"].as_str() {
                    Some(after) => next = format!("&after={after}"),
                    None => break,
                }
            }
            assert_eq!(shown.len(), rows, "{path}");
            shown.sort();
            shown.dedup();
            assert_eq!(shown.len(), rows, "{path}: each once");
        }
        let wrong = ada.get(&format!("/v1/boards/{board}/entries?after=abc")).await;
        assert_eq!(wrong.refused(422), "invalid_input");
    });
}

#[test]
fn what_people_looked_at_and_searched_for_is_written_down() {
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        let ada = app.person("ada").await;
        let board = ada.board("Ferry").await;
        let entry = ada.entry(&board, json!({"title": "=1+1"})).await;
        for _ in 0..2 {
            ada.get(&format!("/v1/entries/{entry}")).await.must(200);
        }
        ada.get(&format!("/v1/boards/{board}/entries?q=x%25")).await.must(200);
        let export = ada.get(&format!("/v1/boards/{board}/export")).await;
        assert_eq!((export.status, export.header("content-type")), (200, "text/csv; charset=utf-8"));
        let text = String::from_utf8(export.body.to_vec()).expect("UTF-8");
        assert!(text.contains(",'=1+1,"), "no formula for a spreadsheet: {text}");
        let counted = |action: &str| {
            format!("select count(*) from app.user_actions where user_id = 'ada' and action = '{action}'")
        };
        eventually("it is written", async || {
            let counts = (
                app.database.number(&counted("viewed")).await,
                app.database.number(&counted("searched")).await,
                app.database.number(&counted("exported")).await,
            );
            (counts == (2, 1, 1)).then_some(())
        })
        .await;
        // The last ones too, when the server stops.
        let mut app = app;
        ada.get(&format!("/v1/entries/{entry}")).await.must(200);
        app.server.stop().await;
        assert_eq!(app.database.number(&counted("viewed")).await, 3);
    });
}

#[test]
fn what_is_kept_for_so_many_days_goes_after_them_and_nothing_else_does() {
    const ROWS: &str = "
        insert into activities (at, board_id, actor_id, subject, action)
        select now() - n * interval '1 day', b.id, 'ada', 'board', 'edited' from boards as b, generate_series(0, 9) as n;
        insert into notifications (created_at, user_id, board_id, kind, about)
        select now() - n * interval '1 day', 'ada', b.id, 'kpi', n from boards as b, generate_series(0, 9) as n;
        insert into app.user_actions (at, user_id, action, subject)
        select now() - n * interval '1 day', 'ada', 'viewed', 'board' from generate_series(9, 0, -1) as n";
    scenario(async |test| {
        let app = App::start(test.database().await).await;
        app.person("ada").await.board("Ferry").await;
        app.database.execute("delete from activities").await;
        app.database.execute(ROWS).await;
        let days =
            [("app.activities_days", "0"), ("app.notifications_days", "6"), ("app.user_actions_days", "3")];
        let app = app.restart_with(&days).await;
        let left = async || {
            let counts = app.select(
                "select (select count(*) from activities) as activities, (select count(*) from notifications) as notifications,
                   (select count(*) from app.user_actions) as actions",
            );
            counts.await.remove(0)
        };
        let wanted = json!({"activities": 10, "notifications": 6, "actions": 3});
        eventually("what is old has gone", async || (left().await == wanted).then_some(())).await;
    });
}
