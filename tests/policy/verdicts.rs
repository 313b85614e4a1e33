use serde_json::json;
use tidegate::report::Severity;

use super::house::{House, identity, user};
use crate::fixture::scenario;

const SCHEMA: &str = "
create table entries (id int primary key, owner uuid, title text);
create table notes (id int primary key, owner uuid);
create table open (id int primary key);
alter table entries replica identity full;
alter table notes replica identity full;
alter table entries enable row level security;
alter table notes enable row level security;
create policy own on entries using (owner = auth.uid());
create policy recent on entries as restrictive using (now() > '2020-01-01');
create policy late on notes for insert with check (true);
revoke all on notes from anon;
";

#[test]
fn every_policy_has_its_verdict_for_every_role() {
    scenario(async |_| {
        let house = House::open(SCHEMA).await;
        let report = house.check(&["authenticated", "anon", "nobody"]).await;
        let told: Vec<_> = report
            .findings
            .iter()
            .map(|finding| (finding.severity, &*finding.subject, &*finding.message))
            .collect();
        for (severity, subject, part) in [
            (Severity::Fine, "public.entries", "policy `own` is followed for role `authenticated`"),
            (
                Severity::Warning,
                "public.entries",
                "role `authenticated` cannot subscribe: policy `recent` of public.entries: `now()` depends on time",
            ),
            (Severity::Note, "public.notes", "role `authenticated` sees no row"),
            (Severity::Fine, "public.notes", "role `anon` may not read it"),
            (Severity::Fine, "public.open", "role `anon` sees every row: no policy binds it"),
            (Severity::Fault, "role nobody", "cannot be taken on"),
        ] {
            let found = told.iter().any(|it| it.0 == severity && it.1 == subject && it.2.contains(part));
            assert!(found, "{severity:?} {subject} {part}: {told:#?}");
        }
        house.close().await;
    });
}

#[test]
fn a_function_that_is_trusted_is_asked_once_and_not_looked_into() {
    scenario(async |_| {
        let function = "
            create function public.tenant() returns uuid language plpgsql stable as $$
            begin
              return (current_setting('request.jwt.claims', true)::json ->> 'sub')::uuid;
            end $$;
            drop policy own on entries; drop policy recent on entries;
            create policy own on entries using (owner = public.tenant());
            insert into entries select n, ('00000000-0000-0000-0000-00000000000' || n % 3)::uuid from generate_series(1, 9) n";
        let schema = format!("{SCHEMA}{function}");
        let claims =
            |number| identity("authenticated", &json!({"sub": user(number), "role": "authenticated"}));
        let trusting = House::open_with(&schema, &["public.tenant"]).await;
        for number in 1..=3 {
            let rows =
                trusting.agrees(&claims(number), "public.entries").await.expect("as PostgreSQL shows it");
            assert_eq!(rows, if number < 3 { 3 } else { 0 });
        }
        trusting.close().await;
        let asking = House::open(&schema).await;
        let error = asking.agrees(&claims(1), "public.entries").await.expect_err("nobody said that it may");
        assert!(error.contains("plpgsql") && error.contains("policy.identity_functions"), "{error}");
        asking.close().await;
    });
}
