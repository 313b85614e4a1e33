use super::*;

fn parse(text: &str) -> Settings {
    Settings::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    let error = Settings::parse(text).expect_err(text).to_string();
    assert!(!error.contains("s3cret"), "{error}");
    error
}

#[test]
fn both_forms_say_the_same() {
    for text in [
        "postgres://ann:s3cret@db.example:6543/shop?sslmode=verify-full&application_name=x%20y&connect_timeout=3",
        "host=db.example port=6543 user=ann password=s3cret dbname=shop sslmode=verify-full \
         application_name='x y' connect_timeout = 3",
    ] {
        let settings = parse(text);
        assert_eq!(settings.to_string(), "ann@db.example:6543/shop");
        assert_eq!(settings.password(), Some(&b"s3cret"[..]));
        assert_eq!(settings.ssl_mode(), SslMode::VerifyFull);
        assert_eq!(settings.application_name(), Some("x y"));
        assert_eq!(settings.connect_timeout(), Duration::from_secs(3));
        assert!(!format!("{settings:?}{settings}").contains("s3cret"));
    }
}

#[test]
fn a_timeout_in_the_text_goes_before_any_other() {
    let limit = |text: &str| {
        let settings = parse(text);
        let given = settings.clone().with_default_connect_timeout(Duration::from_millis(200));
        (settings.connect_timeout(), given.connect_timeout())
    };
    assert_eq!(limit("host=h user=u"), (CONNECT_TIMEOUT, Duration::from_millis(200)));
    let own = Duration::from_secs(3);
    assert_eq!(limit("host=h user=u connect_timeout=3"), (own, own));
}

#[test]
fn hosts_may_be_several_addresses_and_sockets() {
    let shown = |text: &str| parse(text).to_string();
    assert_eq!(shown("postgres://u@a,b:1/d"), "u@a:5432,b:1/d");
    assert_eq!(shown("postgres://u@[::1]:2/d"), "u@[::1]:2/d");
    assert_eq!(shown("postgres://u@%2Frun%2Fpg:3/d"), "u@/run/pg/.s.PGSQL.3/d");
    assert_eq!(shown("postgres:///d?host=/run/pg&user=u"), "u@/run/pg/.s.PGSQL.5432/d");
    assert_eq!(shown("host=a,b port=7 user=u"), "u@a:7,b:7/u");
    assert_eq!(shown("hostaddr=10.0.0.1 user=u"), "u@10.0.0.1:5432/u");
    assert!(parse("host=a,b user=u").wants_primary());
    assert!(!parse("host=a user=u").wants_primary());
}

#[test]
fn a_password_may_hold_anything() {
    for (text, password) in [
        ("postgres://u:a%40b%2Fc%3F@h/d", "a@b/c?"),
        ("postgres://u:a?b&c=d@h/d", "a?b&c=d"),
        ("postgres://u:%2525@h/d", "%25"),
        (r"host=h user=u password='a b\'c\\d'", r"a b'c\d"),
        (r"host=h user=u password=a\ b", "a b"),
        ("host=h user=u password=grüße", "grüße"),
    ] {
        assert_eq!(parse(text).password(), Some(password.as_bytes()), "{text}");
    }
}

#[test]
fn tls_is_as_strict_as_libpq_takes_it() {
    let mode = |text: &str| parse(&format!("host=h user=u {text}")).ssl_mode();
    assert_eq!(mode(""), SslMode::Prefer);
    assert_eq!(mode("sslmode=allow"), SslMode::Prefer);
    assert_eq!(mode("sslmode=require"), SslMode::Require);
    assert_eq!(mode("sslmode=require sslrootcert=/ca.pem"), SslMode::VerifyCa);
    assert_eq!(mode("sslmode=require sslrootcert=system"), SslMode::VerifyFull);
    assert_eq!(mode("sslmode=verify-ca"), SslMode::VerifyCa);
    let settings = parse("postgres://u@h/d?sslmode=verify-full&sslcert=/c.pem&sslkey=/k.pem");
    assert_eq!(settings.tls().certificate, Some(("/c.pem".into(), "/k.pem".into())));
}

#[test]
fn an_error_names_the_part_at_fault_and_never_the_password() {
    for (text, named) in [
        ("", "postgres://user"),
        ("mysql://u:s3cret@h/d", "postgres://"),
        ("postgres://u:s3cret@h:port/d", "`port` must be a number"),
        ("postgres://u:s3cret@h:0/d", "`port`"),
        ("postgres://u:s3cret@[::1/d", "brackets"),
        ("postgres://u:s3cret%FF@h/d", "`password`"),
        ("postgres://u:s3cret@h/d?sslmode=verify", "`sslmode` must be one of"),
        ("postgres://u:s3cret@h/d?sslmod=require", "did you mean `sslmode`?"),
        ("postgres://u:s3cret@h/d?sslmode", "`sslmode` has no value"),
        ("postgres://u:s3cret@h/d?connect_timeout=soon", "`connect_timeout` must be a whole number"),
        ("postgres://u:s3cret@h/d?target_session_attrs=prefer-standby", "`target_session_attrs`"),
        ("postgres://u:s3cret@h/d?sslcert=/c.pem", "`sslkey`"),
        ("postgres://u:s3cret@h/d?service=x", "`service` is not supported"),
        ("postgres://u:s3cret@h/d?sslnegotiation=direct", "`sslnegotiation`"),
        ("host=a,b,c port=1,2 user=u", "3 hosts are named and 2 values of `port`"),
        ("host=h user=u password=two s3cret", "after the value of `password`"),
        ("host=h user=u password=two s3cret=x", "after the value of `password`"),
        ("host=h user=u password='s3cret", "`password` starts with a quote"),
        ("s3cret", "expected a URL"),
        ("postgres://u:a%00@h/d", "zero byte"),
    ] {
        let error = refused(text);
        assert!(error.contains(named), "{text}: {error}");
    }
}

#[test]
fn every_session_is_pinned_after_its_own_options() {
    let settings = parse(r"host=h user=u options='-c work_mem=1MB'");
    let options = settings.startup_options(&[("wal_sender_timeout", "10 s")]);
    assert!(options.starts_with("-c work_mem=1MB -c datestyle=ISO "), "{options}");
    assert!(options.ends_with(r"-c wal_sender_timeout=10\ s"), "{options}");
    assert!(pinned_statements().contains("set timezone = 'UTC';"));
}
