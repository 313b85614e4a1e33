//! Defaults, file, environment, flags: which wins, and what is said of a mistake in each.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tidegate::config::{AllowedOrigins, Config, DEFAULTS, Error, Layers};

const URL: &str = "postgres://app:hunter2@127.0.0.1/app";

/// A configuration file that goes with its test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("config-{name}-{}.toml", std::process::id()));
        fs::write(&path, text).expect("the target directory is writable");
        Self(path)
    }

    fn layers(&self) -> Layers {
        Layers::default().file(&self.0)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // What is left behind under `target` is overwritten by the next run.
        let _ = fs::remove_file(&self.0);
    }
}

fn database() -> Layers {
    Layers::default().flag("--url", "postgres.url", URL)
}

fn variables<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(OsString, OsString)> {
    pairs.map(|(name, value)| (name.into(), value.into())).into()
}

fn load(layers: Layers) -> Config {
    layers.load().unwrap_or_else(|error| panic!("{error}"))
}

/// The error, as a line of text that does not betray the password.
fn mistake(layers: Layers) -> String {
    let error = layers.load().expect_err("not a configuration");
    let text = format!("{error} {error:?}");
    assert!(!error.to_string().contains("hunter2"), "{text}");
    error.to_string()
}

#[test]
fn the_defaults_hold_where_nothing_overrides_them() {
    let config = load(database());
    assert_eq!(config.postgres.url.expose(), URL);
    assert_eq!(config.postgres.tables.to_string(), "public.*");
    assert_eq!((&*config.postgres.publication, &*config.postgres.slot), ("tidegate", "tidegate"));
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.http.allowed_origins, AllowedOrigins::OwnAndLoopback);
    assert_eq!(config.session.heartbeat, Duration::from_secs(25));
    assert_eq!(config.journal.memory_bytes, 64 << 20);
    assert!(config.catalog.event_trigger && config.shows_hints());
}

#[test]
fn each_layer_overrides_the_one_before() {
    let file = File::new(
        "layers",
        "[postgres]\nurl = 'postgres://file'\nslot = 'file'\ntables = ['file.*']\n\
         [http]\nlisten = '127.0.0.1:1'\nhints = false\n",
    );
    let environment = || {
        file.layers().environment(variables([
            ("TIDEGATE__POSTGRES__SLOT", "variable"),
            ("TIDEGATE__POSTGRES__TABLES", r#"["variable.*", "app.orders"]"#),
            ("TIDEGATE__CATALOG__EVENT_TRIGGER", "false"),
            ("TIDEGATE__SHUTDOWN__GRACE_MS", "0"),
            ("PATH", "/bin"),
            ("TIDEGATE_TOKEN", "no key"),
        ]))
    };
    let from_file = load(file.layers());
    assert_eq!((&*from_file.postgres.slot, from_file.postgres.url.expose()), ("file", "postgres://file"));
    assert_eq!((from_file.http.listen.port(), from_file.shows_hints()), (1, false));

    let from_environment = load(environment());
    assert_eq!(&*from_environment.postgres.slot, "variable");
    assert_eq!(from_environment.postgres.tables.to_string(), "variable.*, app.orders");
    assert_eq!(from_environment.shutdown.grace, Duration::ZERO);
    assert!(!from_environment.catalog.event_trigger);
    assert_eq!(from_environment.http.listen.port(), 1, "what the variables leave is the file's");

    let flags = environment().set("postgres.slot=flag").expect("an assignment");
    let from_flags = load(flags.flag("--listen", "http.listen", "[::1]:2"));
    assert_eq!((&*from_flags.postgres.slot, from_flags.http.listen.port()), ("flag", 2));
}

#[test]
fn an_unknown_key_is_named_with_its_origin_and_the_nearest() {
    let file =
        File::new("unknown", "# a comment\n[postgres]\nurl = 'postgres://app:hunter2@h'\nslots = 'x'\n");
    assert_eq!(
        mistake(file.layers()),
        format!("{}:4: there is no key `postgres.slots`; did you mean `postgres.slot`?", file.0.display())
    );
    assert_eq!(
        mistake(database().environment(variables([("TIDEGATE__HTTP_LISTEN", "127.0.0.1:1")]))),
        "TIDEGATE__HTTP_LISTEN: there is no key `TIDEGATE__HTTP_LISTEN`; did you mean `TIDEGATE__HTTP__LISTEN`?"
    );
    assert_eq!(
        mistake(database().set("hub.heartbeat_ms=1").expect("an assignment")),
        "--set: there is no key `hub.heartbeat_ms`; did you mean `source.heartbeat_ms`?"
    );
    assert_eq!(
        mistake(database().set("quite.different=1").expect("an assignment")),
        "--set: there is no key `quite.different`; all keys are in config/default.toml"
    );
}

#[test]
fn a_section_that_is_none_is_an_unknown_key() {
    for (name, text) in
        [("table", "[sesion]\n"), ("scalar", "\nsesion = 1"), ("nested", "[session.sesion]\nx = 1")]
    {
        let file = File::new(name, text);
        let error = mistake(file.layers());
        assert!(error.contains("sesion"), "{error}");
        assert!(error.contains("there is no key"), "{error}");
    }
    let file = File::new("no-section", "postgres = 'postgres://app:hunter2@h'\n");
    assert!(mistake(file.layers()).contains(":1: there is no key `postgres`"));
}

#[test]
fn a_bad_value_is_named_with_its_key_and_origin() {
    let file = File::new("bad", "[postgres]\n\n\npool_size = 'many'\n");
    assert_eq!(
        mistake(file.layers()),
        format!(
            "`postgres.pool_size` = \"many\" ({}:4): must be a whole number from 2 to 10000",
            file.0.display()
        )
    );
    assert_eq!(
        mistake(database().environment(variables([("TIDEGATE__SESSION__HEARTBEAT_MS", "25s")]))),
        "`session.heartbeat_ms` = \"25s\" (TIDEGATE__SESSION__HEARTBEAT_MS): \
         must be a whole number from 100 to 600000"
    );
    assert_eq!(
        mistake(database().flag("--listen", "http.listen", "8080")),
        "`http.listen` = \"8080\" (--listen): must be an address and a port, as in 127.0.0.1:8080 or [::1]:8080"
    );
}

#[test]
fn values_out_of_their_range_or_kind_are_refused() {
    for (assignment, reason) in [
        ("session.outbox_bytes=0", "must be a whole number from 16384 to 1073741824"),
        ("session.outbox_bytes=-1", "must be a whole number"),
        ("catalog.event_trigger=yes", "must be true or false"),
        ("postgres.tables=public.*", "a JSON array"),
        ("postgres.tables=[1]", "a JSON array"),
        ("postgres.tables=[]", "at least one table"),
        ("postgres.slot=Upper", "lower-case letters"),
        ("postgres.publication=", "1 to 63 bytes"),
        ("journal.backend=disk", "memory or rabbitmq"),
        ("auth.mode=token", "none or jwt"),
        (r#"auth.roles=["none"]"#, "no role's name"),
        ("auth.anonymous_role=NONE", "no role's name"),
        (r#"auth.jwt.algorithms=["none"]"#, "`none` is no algorithm"),
        ("auth.jwt.algorithms=[]", "at least one algorithm"),
        ("auth.jwt.public_key=hunter", "a public key in PEM"),
        ("auth.jwt.jwks_url=http://keys.example.com/jwks", "begins with https://"),
        ("auth.jwt.role_claim=a..b", "names with dots"),
        ("auth.channels=news", "a list of tables"),
        (r#"auth.channels=["news"]"#, "rule 1: "),
        (r#"auth.channels=[{"pattern":"a"}]"#, "rule 1: allows nothing"),
        (r#"auth.channels=[{"pattern":"a","subscribes":true}]"#, "unknown field `subscribes`"),
        (r#"auth.channels=[{"pattern":"a..b","subscribe":true}]"#, "rule 1: the pattern has an empty word"),
        (r#"auth.channels=[{"pattern":"a","publish":true,"roles":["none"]}]"#, "no role's name"),
        (r#"auth.channels=[{"pattern":"a","publish":true,"claims":{"a":[]}}]"#, "a claim is a text"),
        (r#"auth.channels=[{"pattern":"a","publish":true,"claims":{"a..b":1}}]"#, "names with dots"),
        ("auth.jwt.audience=[7]", "list of texts"),
        ("auth.profile_function=sync_profile", "a function with its schema"),
        ("cache.backend=disk", "memory or redis"),
        ("cache.backend=redis", "needs to know where Redis is"),
        ("cache.url=http://hunter2@h", "must be a URL as in redis://"),
        ("http.hints=maybe", "true, false or auto"),
        (r#"http.allowed_origins=["app.example.com"]"#, "`app.example.com` is no origin"),
        ("analytics.fact_days=31", "must be 0, or a whole number from 32 to 36500"),
        ("telemetry.level=inof", "`inof` is not a level"),
        ("telemetry.format=xml", "text, json or auto"),
    ] {
        let error = mistake(database().set(assignment).expect("an assignment"));
        assert!(error.contains(reason) && error.contains("(--set)"), "{assignment}: {error}");
    }
}

#[test]
fn tokens_need_a_key_of_one_place_and_roles() {
    const SECRET: &str = "auth.jwt.secret=hunter2-hunter2-hunter2-hunter2!";
    let jwt = |assignments: &[&str]| {
        let layers = database().set("auth.mode=jwt").expect("an assignment");
        assignments.iter().fold(layers, |layers, assignment| layers.set(assignment).expect("an assignment"))
    };
    let roles = r#"auth.roles=["member"]"#;
    for (assignments, reason) in [
        (&[roles][..], "`auth.mode` = \"jwt\" (--set) needs a key"),
        (&[SECRET], "`auth.mode` = \"jwt\" (--set) needs the roles"),
        (&[roles, "auth.jwt.issuer=example"], "is no address to fetch keys from"),
        (
            &[roles, SECRET, "auth.login.client_id=page"],
            "`auth.login.client_id` = \"page\" (--set) needs a provider",
        ),
        (&[roles, SECRET, "auth.jwt.jwks_file=/x"], "goes with no `auth.jwt.secret`"),
        (
            &[roles, "auth.jwt.secret=hunter2"],
            "`auth.jwt.secret` = (not shown) (--set) has 7 bytes: it must have 32",
        ),
        (&[roles, SECRET, r#"auth.jwt.algorithms=["HS512"]"#], "has 32 bytes: it must have 64"),
        (&[roles, SECRET, r#"auth.jwt.algorithms=["RS256"]"#], "needs one of HS256"),
        (
            &[roles, "auth.jwt.secret=base64:hunter2!"],
            "`auth.jwt.secret` = (not shown) (--set): must be base64",
        ),
    ] {
        let error = mistake(jwt(assignments));
        assert!(error.contains(reason), "{assignments:?}: {error}");
    }
    for assignments in [
        &[roles, SECRET][..],
        &[roles, SECRET, "auth.jwt.issuer=example", "auth.jwt.audience=live"],
        &[roles, "auth.jwt.issuer=https://login.example.com", r#"auth.jwt.audience=["live"]"#],
        &[roles, "auth.jwt.jwks_url=http://127.0.0.1:9/jwks"],
        &[roles, "auth.jwt.issuer=https://login.example.com", "auth.login.client_id=page"],
        &[roles, SECRET, "http.listen=0.0.0.0:8080"],
    ] {
        assert!(!format!("{:?}", load(jwt(assignments))).contains("hunter2-"), "a secret is never shown");
    }
    assert!(!load(jwt(&[roles, SECRET])).shows_hints(), "whoever has a token does not own the database");
}

#[test]
fn a_section_within_a_section_is_set_by_every_layer() {
    let file =
        File::new("nested-keys", "[auth]\nroles = ['a']\n[auth.jwt]\nissuer = 'file'\nleeway_ms = 1\n");
    let layers = || file.layers().flag("--url", "postgres.url", URL);
    assert_eq!(load(layers()).auth.jwt.issuer.as_deref(), Some("file"));
    let variable = variables([("TIDEGATE__AUTH__JWT__ISSUER", "variable")]);
    let config = load(layers().environment(variable));
    assert_eq!(
        (config.auth.jwt.issuer.as_deref(), config.auth.jwt.leeway.as_millis()),
        (Some("variable"), 1)
    );
    let file = File::new("nested-bad", "[auth.jwt]\n\nisuer = 'x'\n");
    let error = mistake(file.layers());
    assert!(
        error.contains(":3: there is no key `auth.jwt.isuer`; did you mean `auth.jwt.issuer`?"),
        "{error}"
    );
    let file = File::new("nested-kind", "[auth]\njwt = 1\n");
    assert!(mistake(file.layers()).contains(":2: there is no key `auth.jwt`"));
}

#[test]
fn the_first_mistake_is_reported_even_where_a_later_layer_mends_it() {
    let file = File::new("mended", "[postgres]\npool_size = 0\n");
    let error = mistake(file.layers().set("postgres.pool_size=8").expect("an assignment"));
    assert!(error.contains(":2): must be"), "{error}");
}

#[test]
fn a_file_that_is_no_toml_is_named_with_the_line_but_not_quoted() {
    let file = File::new("syntax", "[postgres]\nurl = postgres://app:hunter2@h\n");
    let error = mistake(file.layers());
    assert!(error.starts_with(&format!("{}:2: not TOML: ", file.0.display())), "{error}");
    let missing = Layers::default().file("/nonexistent/tidegate.toml");
    assert!(mistake(missing).contains("/nonexistent/tidegate.toml"));
}

#[test]
fn a_connection_string_is_never_shown() {
    let file = File::new("secret", "[postgres]\nurl = ['postgres://app:hunter2@h']\n");
    let error = mistake(file.layers());
    assert!(error.contains("`postgres.url` = (not shown)"), "{error}");
    assert!(!format!("{:?}", load(database())).contains("hunter2"));
}

#[test]
fn a_connection_string_or_a_pattern_that_is_none_is_named_with_its_origin() {
    let file = File::new("url", "[postgres]\nurl = 'postgres://app:hunter2@h/d?sslmod=require'\n");
    assert_eq!(
        mistake(file.layers()),
        format!(
            "`postgres.url` = (not shown) ({}:2): there is no parameter `sslmod`; did you mean `sslmode`?",
            file.0.display()
        )
    );
    let variable = variables([("TIDEGATE__POSTGRES__URL", "mysql://app:hunter2@h/d")]);
    assert_eq!(
        mistake(Layers::default().environment(variable)),
        "`postgres.url` = (not shown) (TIDEGATE__POSTGRES__URL): \
         the URL must start with `postgres://` or `postgresql://`"
    );
    let variable = variables([("TIDEGATE__POSTGRES__TABLES", r#"["public.*","a.b.c"]"#)]);
    let error = mistake(database().environment(variable));
    assert!(
        error.starts_with(
            r#"`postgres.tables` = '["public.*","a.b.c"]' (TIDEGATE__POSTGRES__TABLES): `a.b.c` is not a pattern"#
        ),
        "{error}"
    );
}

#[test]
fn the_time_to_connect_is_the_urls_or_else_the_keys() {
    let limit = |url: &str| {
        let layers = Layers::default().flag("--url", "postgres.url", url);
        let layers = layers.set("postgres.connect_timeout_ms=200").expect("an assignment");
        load(layers).postgres.settings().connect_timeout()
    };
    assert_eq!(limit("postgres://u@h/d"), Duration::from_millis(200));
    assert_eq!(limit("postgres://u@h/d?connect_timeout=3"), Duration::from_secs(3));
}

#[test]
fn without_authentication_only_loopback_is_served() {
    let open = || database().set("http.listen=0.0.0.0:8080").expect("an assignment");
    let error = mistake(open());
    assert!(
        error.starts_with("`http.listen` = \"0.0.0.0:8080\" (--set) is not a loopback address"),
        "{error}"
    );
    assert!(error.contains("auth.allow_insecure = true"), "{error}");
    let insecure = load(open().set("auth.allow_insecure=true").expect("an assignment"));
    assert!(!insecure.shows_hints(), "strangers learn nothing about the database's structure");
}

#[test]
fn values_that_do_not_go_together_are_named_with_both_origins() {
    assert_eq!(
        mistake(database().environment(variables([("TIDEGATE__SESSION__IDLE_TIMEOUT_MS", "20000")]))),
        "`session.heartbeat_ms` = 25000 (default) must be less than \
         `session.idle_timeout_ms` = 20000 (TIDEGATE__SESSION__IDLE_TIMEOUT_MS)"
    );
    assert!(mistake(database().set("snapshot.concurrent=8").expect("an assignment")).contains("pool_size"));
}

#[test]
fn a_missing_database_and_a_flag_without_a_value_are_said() {
    assert!(matches!(Layers::default().load(), Err(Error::NoDatabase)));
    let error = Layers::default().set("http.listen").expect_err("no assignment");
    assert!(error.to_string().contains("expected section.key=value"), "{error}");
}

#[test]
fn a_file_from_one_key_each_is_what_the_defaults_are() {
    // Every line of the default file stands for itself: each key can be set, in each layer, to its default.
    let table: toml::Table = toml::from_str(DEFAULTS).expect("TOML");
    for (name, value) in keys(&table) {
        let text = match value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if name != "postgres.url" {
            load(database().flag("--set", &name, text));
        }
    }
}

/// All keys by their whole names.
fn keys(table: &toml::Table) -> Vec<(String, &toml::Value)> {
    let mut all = Vec::new();
    for (name, value) in table {
        match value.as_table() {
            Some(section) => {
                all.extend(keys(section).into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            None => all.push((name.clone(), value)),
        }
    }
    all
}

#[test]
fn a_section_in_a_section_is_set_in_every_layer_and_a_mistake_in_it_is_named() {
    let file = File::new("nested", "[http.tls]\ncertificate_file = 'file.crt'\nkey_file = 'file.key'\n");
    let layers = file.layers().flag("--url", "postgres.url", URL);
    let layers = layers.environment(variables([("TIDEGATE__HTTP__TLS__KEY_FILE", "variable.key")]));
    let config = load(layers.set("http.tls.certificate_file=flag.crt").expect("an assignment"));
    let files = config.http.tls.files().expect("both are set");
    assert_eq!((files.certificate, files.key), ("flag.crt".into(), "variable.key".into()));
    let file = File::new("nested-typo", "\n[http.tls]\nkey_fil = 'x'\n");
    assert_eq!(
        mistake(file.layers()),
        format!(
            "{}:3: there is no key `http.tls.key_fil`; did you mean `http.tls.key_file`?",
            file.0.display()
        )
    );
    for text in ["[http]\ntls = 1\n", "http.tls.key_file.x = 1\n", "[http.tls.key_file]\n"] {
        assert!(mistake(File::new("nested-kind", text).layers()).contains("http.tls"), "{text}");
    }
    assert_eq!(
        mistake(database().set("http.tls.key_file=a.key").expect("an assignment")),
        "`http.tls.key_file` = \"a.key\" (--set) is of no use without `http.tls.certificate_file`"
    );
}

#[test]
fn the_default_file_documents_every_key_with_its_unit() {
    let mut documented = false;
    let mut keys = BTreeSet::new();
    for line in DEFAULTS.lines() {
        match line.split_once(" = ") {
            Some((key, _)) if !line.starts_with('#') => {
                assert!(documented, "`{key}` has no comment of its own");
                keys.insert(key);
                documented = false;
            }
            _ => documented = line.starts_with('#'),
        }
    }
    for key in keys.iter().filter(|key| key.ends_with("_ms") || key.ends_with("_bytes")) {
        let unit = if key.ends_with("_ms") { "milliseconds" } else { "bytes" };
        let at = DEFAULTS.find(&format!("\n{key} = ")).expect("listed");
        let comment = DEFAULTS[..at].rsplit("\n[").next().expect("a section");
        assert!(comment.contains(unit), "`{key}` does not say its unit");
    }
}

#[test]
fn a_child_comes_to_the_same_configuration_by_its_environment() {
    let inherited = || [("TIDEGATE__HTTP__LISTEN".into(), "127.0.0.1:1".into())];
    let layers = Layers::default()
        .environment(inherited())
        .flag("test", "postgres.url", "postgres://u:p@h/d")
        .flag("test", "http.listen", "127.0.0.1:2")
        .flag("test", "http.listen", "127.0.0.1:3");
    let (file, variables) = layers.for_child();
    assert_eq!(file, None);
    // A process has one variable of a name: the last that is set.
    let mut environment: BTreeMap<OsString, OsString> = inherited().into_iter().collect();
    environment.extend(variables.map(|(name, value)| (name.into(), value.into())));
    let childs = Layers::default().environment(environment).load().expect("valid");
    let ours = layers.load().expect("valid");
    assert_eq!(format!("{childs:?}"), format!("{ours:?}"));
    assert_eq!(childs.http.listen.port(), 3);
}
