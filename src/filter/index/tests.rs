use super::super::tests::{filter, row};
use super::*;

fn candidates(index: &Index<usize>, values: &[(&str, &str)]) -> Vec<usize> {
    let mut out = Vec::new();
    index.candidates(&row(values), &mut out);
    out.sort_unstable();
    out
}

#[test]
fn equality_finds_its_filters_and_no_others() {
    let mut index = Index::new();
    for (key, text) in
        ["board_id = 7", "board_id = 7 and done", "board_id in (7, 8)", "board_id = 9"].iter().enumerate()
    {
        index.insert(&filter(text), key);
    }
    assert_eq!(candidates(&index, &[("board_id", "7")]), [0, 1, 2]);
    assert_eq!(candidates(&index, &[("board_id", "8")]), [2]);
    assert_eq!(candidates(&index, &[("board_id", "10")]), [0_usize; 0]);
    assert_eq!(candidates(&index, &[]), [0_usize; 0]);
    index.remove(&filter("board_id = 7 and done"), &1);
    index.remove(&filter("board_id in (8, 7)"), &2);
    assert_eq!(candidates(&index, &[("board_id", "7")]), [0]);
    assert_eq!(candidates(&index, &[("board_id", "8")]), [0_usize; 0]);
}

#[test]
fn what_cannot_be_indexed_comes_always_and_what_matches_nothing_never() {
    let mut index = Index::new();
    for (key, text) in
        ["title like 'x%'", "done is unknown or id = 7", "false", "id = null", "id = 7 and 1 = 2"]
            .iter()
            .enumerate()
    {
        index.insert(&filter(text), key);
    }
    assert_eq!(candidates(&index, &[("id", "1")]), [0, 1]);
    index.remove(&filter("title like 'x%'"), &0);
    assert_eq!(candidates(&index, &[("id", "1")]), [1]);
}

#[test]
fn an_or_stands_under_each_of_its_parts_and_leaves_all_of_them() {
    let mut index = Index::new();
    let either = filter("id in (7, 8) or board_id = 3 or (id > 100 and code = 'x')");
    index.insert(&either, 0);
    assert_eq!(candidates(&index, &[("id", "1"), ("board_id", "2")]), [0_usize; 0]);
    for values in
        [[("id", "8"), ("board_id", "2")], [("id", "1"), ("board_id", "3")], [("id", "1"), ("code", "x")]]
    {
        assert_eq!(candidates(&index, &values), [0]);
    }
    index.remove(&either, &0);
    assert!(index.is_empty());
}

#[test]
fn the_more_selective_conjunct_is_chosen() {
    let mut index = Index::new();
    index.insert(&filter("done and mood = 'ok' and id = 7 and day > '2026-01-01'"), 0);
    assert_eq!(candidates(&index, &[("done", "t"), ("mood", "ok")]), [0_usize; 0]);
    assert_eq!(candidates(&index, &[("id", "7")]), [0]);
    index.insert(&filter("id in (1, 2) and board_id = 3"), 1);
    assert_eq!(candidates(&index, &[("id", "1")]), [0_usize; 0]);
    assert_eq!(candidates(&index, &[("board_id", "3")]), [1]);
}

#[test]
fn a_missing_or_unreadable_value_brings_all_once() {
    let mut index = Index::new();
    index.insert(&filter("title in ('a', 'b')"), 0);
    index.insert(&filter("title = 'c'"), 1);
    index.insert(&filter("id between 1 and 2"), 2);
    let mut values = row(&[("id", "x")]);
    values[2] = Datum::Unchanged;
    let mut out = Vec::new();
    index.candidates(&values, &mut out);
    out.sort_unstable();
    assert_eq!(out, [0, 1, 2]);
}

/// A filter of random shape on a few columns.
fn generated(random: &mut fastrand::Rng) -> String {
    let number = |random: &mut fastrand::Rng| random.i32(-20..20);
    let conjunct = |random: &mut fastrand::Rng| match random.u8(..12) {
        0 => format!("id = {}", number(random)),
        1 => format!("id in ({}, {}, {})", number(random), number(random), number(random)),
        2 => format!("id between {} and {}", number(random), number(random)),
        3 => format!("id > {} and id <= {}", number(random), number(random)),
        4 => format!("id < {}.5", number(random)),
        5 => format!("id >= {}", number(random)),
        6 => format!("price between {} and {}.25", number(random), number(random)),
        7 => format!("price = {}", number(random)),
        8 => format!("code = '{}'", number(random)),
        9 => format!("code > '{}' and code < '{}'", number(random), number(random)),
        10 => "done".to_owned(),
        _ => format!("(id = {} or id = {})", number(random), number(random)),
    };
    let parts: Vec<String> = (0..random.usize(1..4)).map(|_| conjunct(random)).collect();
    parts.join(if random.u8(..5) == 0 { " or " } else { " and " })
}

#[test]
fn every_filter_that_matches_is_a_candidate() {
    let mut random = fastrand::Rng::with_seed(11);
    let mut index = Index::new();
    let mut live: Vec<(usize, Filter)> = Vec::new();
    let mut looked_at = 0;
    let mut asked = 0;
    for step in 0..6_000 {
        if random.u8(..3) == 0 && !live.is_empty() {
            let (key, filter) = live.swap_remove(random.usize(..live.len()));
            index.remove(&filter, &key);
        } else if live.len() < 400 {
            let filter = filter(&generated(&mut random));
            index.insert(&filter, step);
            live.push((step, filter));
        }
        let texts = [
            random.i32(-22..22).to_string(),
            format!("{}.50", random.i32(-22..22)),
            random.i32(-22..22).to_string(),
        ];
        let mut values = vec![("done", if random.bool() { "t" } else { "f" })];
        for (name, text) in ["id", "price", "code"].iter().zip(&texts) {
            if random.u8(..8) > 0 {
                values.push((name, text));
            }
        }
        let row = row(&values);
        let mut out = Vec::new();
        index.candidates(&row, &mut out);
        let found: std::collections::HashSet<usize> = out.iter().copied().collect();
        for (key, filter) in &live {
            assert!(!filter.matches(&row).expect("decided") || found.contains(key), "{filter} on {values:?}");
        }
        assert!(found.iter().all(|key| live.iter().any(|(other, _)| other == key)), "only what is there");
        looked_at += out.len();
        asked += live.len();
    }
    assert!(looked_at * 3 < asked, "{looked_at} of {asked}");
    for (key, filter) in live {
        index.remove(&filter, &key);
    }
    assert!(index.is_empty());
}

#[test]
fn a_search_among_many_ranges_looks_at_few() {
    let mut index = Index::new();
    for key in 0..20_000 {
        index.insert(&filter(&format!("id between {} and {}", key * 10, key * 10 + 9)), key);
    }
    let started = std::time::Instant::now();
    for id in (0..200_000).step_by(7) {
        assert_eq!(candidates(&index, &[("id", &id.to_string())]), [id / 10]);
    }
    assert!(started.elapsed().as_secs() < 20);
}
