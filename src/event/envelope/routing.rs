//! `<schema>.<table>.<what>`: words of a topic exchange.

use std::fmt::Write as _;

use super::super::Relation;

/// AMQP 0-9-1 has 255 bytes for a routing key.
const LONGEST_BYTES: usize = 255;
const LONGEST_WORD: &str = ".truncate";

/// An identifier as one word of a routing key: `.`, `*`, `#`, `%`, blanks and control characters as `%` and two
/// hexadecimal digits for each byte of theirs, all else as it is.
///
/// Whoever binds a queue writes a name by the same rule.
pub fn routing_word(identifier: &str) -> String {
    let mut word = String::with_capacity(identifier.len());
    for character in identifier.chars() {
        if matches!(character, '.' | '*' | '#' | '%') || character.is_whitespace() || character.is_control() {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                write!(word, "%{byte:02X}").expect("a String takes all");
            }
        } else {
            word.push(character);
        }
    }
    word
}

/// `<schema>.<table>`, however long.
pub(super) fn subject(relation: &Relation) -> String {
    format!("{}.{}", routing_word(&relation.schema), routing_word(&relation.name))
}

/// What the routing keys of a table start with: the same for whatever is done to it.
///
/// Where the longest of them would be too long it has `%oid` and the table's number in place of its name, which no name
/// is written as.
pub(super) fn prefix(relation: &Relation) -> String {
    let prefix = subject(relation);
    if prefix.len() + LONGEST_WORD.len() <= LONGEST_BYTES {
        return prefix;
    }
    format!("{}.%oid{}", routing_word(&relation.schema), relation.oid)
}

#[cfg(test)]
mod tests {
    use super::super::super::ReplicaIdentity;
    use super::*;

    fn relation(schema: &str, name: &str) -> Relation {
        let identity = ReplicaIdentity::Default;
        Relation { oid: u32::MAX, schema: schema.into(), name: name.into(), identity, columns: Vec::new() }
    }

    #[test]
    fn a_name_is_one_word_whatever_stands_in_it() {
        for (name, word) in [
            ("entries", "entries"),
            ("Größe", "Größe"),
            ("a.b", "a%2Eb"),
            ("*", "%2A"),
            ("#", "%23"),
            ("100%", "100%25"),
            ("two words\t", "two%20words%09"),
            ("\u{2028}", "%E2%80%A8"),
            ("\"quoted\"", "\"quoted\""),
        ] {
            assert_eq!(routing_word(name), word);
        }
    }

    #[test]
    fn a_key_fits_whatever_the_names() {
        assert_eq!(prefix(&relation("app", "entries")), "app.entries");
        let longest = ["a".repeat(63), "ä".repeat(31), ".".repeat(63), "\u{2028}".repeat(21)];
        for schema in &longest {
            for name in &longest {
                let key = prefix(&relation(schema, name)) + LONGEST_WORD;
                assert!(key.len() <= LONGEST_BYTES, "{key}");
                assert_eq!(key.split('.').count(), 3, "{key}");
            }
        }
        let long = relation(&".".repeat(63), &".".repeat(63));
        assert_eq!(prefix(&long), format!("{}.%oid4294967295", "%2E".repeat(63)));
    }
}
