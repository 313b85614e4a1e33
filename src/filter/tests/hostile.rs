//! Texts at the limits and beyond them.

use super::*;

#[test]
fn hostile_texts_are_refused_quickly() {
    let many = |part: &str, count: usize| part.repeat(count);
    for text in [
        many("(", 100_000),
        many("not ", 100_000),
        many("(", 8_000),
        many("not ", 4_000),
        many("-", 8_000),
        many("- ", 8_000),
        many("id = ", 3_000),
        many("id::", 4_000),
        many("data -> ", 2_000),
        many("array[", 2_700),
        many("interval ", 1_700),
        many("date ", 3_000),
        many("id in (", 2_000),
        many("cast(", 3_000),
        many("case ", 3_000),
        many("id is distinct from ", 800),
        many("id between ", 1_400),
        many("id.", 5_000),
        many("id[", 5_000),
        many("id like ", 2_000),
        many("id = any (", 1_600),
        many("timestamp with time zone ", 600),
        many("'", 15_999),
        many("$", 16_000),
        many("$$", 8_000),
        many("/*", 8_000),
        many("\"", 15_999),
        many("1.", 8_000),
        many("e'\\", 5_000),
        many("and ", 4_000),
    ] {
        let started = std::time::Instant::now();
        fuzz(text.as_bytes());
        assert!(parse(&text, &[]).is_err(), "{} …", &text[..20.min(text.len())]);
        assert!(started.elapsed().as_secs() < 5, "{} …", &text[..20.min(text.len())]);
    }
}

#[test]
fn long_filters_within_the_limits_are_read() {
    let list: Vec<String> = (0..1_900).map(|id| id.to_string()).collect();
    assert!(
        filter(&format!("id in ({})", list.join(","))).matches(&row(&[("id", "1899")])).expect("decided")
    );
    let chain: Vec<String> = (0..600).map(|id| format!("id = {id}")).collect();
    assert!(filter(&chain.join(" or ")).matches(&row(&[("id", "599")])).expect("decided"));
    let nested = format!("{}id = 7{}", "(".repeat(60), ")".repeat(60));
    assert!(filter(&nested).matches(&row(&[("id", "7")])).expect("decided"));
    let array = Param::Array((0..10_000).map(|id| Param::Number(id.to_string())).collect());
    assert!(filter_with("id = any ($1)", std::slice::from_ref(&array)).is_ok());
    assert!(filter_with("id = any ($1) or id = any ($1)", &[array]).is_err());
}

#[test]
fn arbitrary_bytes_never_panic() {
    const WORDS: [&str; 48] = [
        "id",
        "title",
        "data",
        "tags",
        "(",
        ")",
        "=",
        "<>",
        "<",
        "and",
        "or",
        "not",
        "in",
        "between",
        "is",
        "null",
        "true",
        "distinct",
        "from",
        "like",
        "escape",
        "any",
        "all",
        "array",
        "[",
        "]",
        ",",
        "'x'",
        "7",
        "-",
        "$1",
        "::",
        "int",
        "text",
        "date",
        "interval",
        "->",
        "->>",
        "@>",
        "&&",
        "?",
        ".",
        "e'\\'",
        "cast",
        "as",
        "timestamp",
        "with time zone",
        "\u{a0}",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..3_000 {
        let words: Vec<&str> = (0..random.usize(1..30)).map(|_| WORDS[random.usize(..WORDS.len())]).collect();
        fuzz(words.join(" ").as_bytes());
        let bytes: Vec<u8> = (0..random.usize(..60)).map(|_| random.u8(..)).collect();
        fuzz(&bytes);
        if let Ok(bound) = parse(&words.join(" "), &[]).and_then(|parsed| parsed.bind(&table())) {
            let answers: Vec<String> =
                bound.unresolved().iter().map(|literal| literal.text.clone()).collect();
            let _ = bound.resolve(&answers);
        }
    }
}
