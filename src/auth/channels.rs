use std::str::FromStr;

use serde_json::{Map, Value};

use super::claims::ClaimPath;

/// Who may do what on which channels: nobody anything, unless a rule allows it.
#[derive(Clone, Debug, Default)]
pub struct ChannelRules(pub Vec<ChannelRule>);

/// Allows something on some channels to some.
#[derive(Clone, Debug)]
pub struct ChannelRule {
    /// On these channels.
    pub pattern: ChannelPattern,
    /// To these roles; to any if there are none.
    pub roles: Vec<String>,
    /// To those whose claims say all of this. A claim that is a list says each of its elements.
    pub claims: Vec<(ClaimPath, Value)>,
    /// Whether it allows to listen.
    pub subscribe: bool,
    /// Whether it allows to publish.
    pub publish: bool,
}

/// What is asked for on a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelRight {
    /// To be told of its events.
    Subscribe,
    /// To publish events on it.
    Publish,
}

/// Names of channels, by the words between their dots, as in the binding of a topic exchange.
///
/// Text form: a word stands for itself, `*` for any one word, `#` for any number of words, none included. A word may hold
/// one `{claims.path}`, which stands for what the claim of that path says, of who asks: a text, a whole number, or each
/// element of a list of those. What is empty or has a dot in it stands for nothing: it would be another pattern.
///
/// See <https://www.rabbitmq.com/tutorials/tutorial-five-python#topic-exchange>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelPattern(Vec<Word>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// `*`
    Any,
    /// `#`
    Rest,
    Literal(String),
    Claim {
        before: String,
        path: ClaimPath,
        after: String,
    },
}

impl ChannelRules {
    /// Whether one of them allows this to a role with such claims.
    pub(super) fn allow(&self, right: ChannelRight, role: &str, claims: &str, channel: &str) -> bool {
        let of_role = |rule: &&ChannelRule| {
            rule.gives(right) && (rule.roles.is_empty() || rule.roles.iter().any(|it| it == role))
        };
        let mut rules = self.0.iter().filter(of_role).peekable();
        if rules.peek().is_none() {
            return false;
        }
        let claims: Map<String, Value> = serde_json::from_str(claims).unwrap_or_default();
        rules.any(|rule| rule.is_meant(&claims) && rule.pattern.matches(channel, &claims))
    }
}

impl ChannelRule {
    const fn gives(&self, right: ChannelRight) -> bool {
        match right {
            ChannelRight::Subscribe => self.subscribe,
            ChannelRight::Publish => self.publish,
        }
    }

    fn is_meant(&self, claims: &Map<String, Value>) -> bool {
        self.claims.iter().all(|(path, wanted)| match path.find(claims) {
            Some(Value::Array(several)) => several.contains(wanted),
            Some(one) => one == wanted,
            None => false,
        })
    }
}

impl ChannelPattern {
    fn matches(&self, channel: &str, claims: &Map<String, Value>) -> bool {
        let words: Vec<_> = channel.split('.').collect();
        // Of several `#` only the last one may have to give way: what came before it fits whatever follows.
        let (mut pattern, mut word) = (0, 0);
        let mut last_rest = None;
        while word < words.len() {
            match self.0.get(pattern) {
                Some(Word::Rest) => {
                    last_rest = Some((pattern, word));
                    pattern += 1;
                }
                Some(one) if one.is(words[word], claims) => {
                    pattern += 1;
                    word += 1;
                }
                _ => {
                    let Some((rest, from)) = last_rest else { return false };
                    last_rest = Some((rest, from + 1));
                    (pattern, word) = (rest + 1, from + 1);
                }
            }
        }
        self.0[pattern..].iter().all(|left| *left == Word::Rest)
    }
}

impl Word {
    /// Whether it is this one word.
    fn is(&self, word: &str, claims: &Map<String, Value>) -> bool {
        match self {
            Self::Any => true,
            Self::Rest => false,
            Self::Literal(literal) => literal == word,
            Self::Claim { before, path, after } => {
                let said = word.strip_prefix(&**before).and_then(|rest| rest.strip_suffix(&**after));
                let Some(said) = said.filter(|said| !said.is_empty()) else { return false };
                match path.find(claims) {
                    Some(Value::Array(several)) => several.iter().any(|one| says(one, said)),
                    Some(one) => says(one, said),
                    None => false,
                }
            }
        }
    }
}

/// Whether a claim is this text, or this whole number.
fn says(claim: &Value, text: &str) -> bool {
    match claim {
        Value::String(claim) => claim == text,
        Value::Number(claim) => (claim.is_i64() || claim.is_u64()) && claim.to_string() == text,
        _ => false,
    }
}

impl FromStr for ChannelPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty: `#` is every channel".to_owned());
        }
        split(text)?.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// The words: dots within braces are a path's.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let (mut words, mut from, mut within) = (Vec::new(), 0, false);
    for (at, char) in text.char_indices() {
        match char {
            '{' if !within => within = true,
            '}' if within => within = false,
            '{' | '}' => return Err(format!("`{text}` has a brace too many at byte {at}")),
            '.' if !within => {
                words.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if within {
        return Err(format!("`{text}` has a brace that is not closed"));
    }
    words.push(&text[from..]);
    Ok(words)
}

impl FromStr for Word {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "*" => return Ok(Self::Any),
            "#" => return Ok(Self::Rest),
            "" => return Err("has an empty word between two dots".to_owned()),
            _ => {}
        }
        let Some((before, rest)) = word.split_once('{') else { return literal(word).map(Self::Literal) };
        let (name, after) = rest.split_once('}').expect("braces are closed within a word");
        if after.contains('{') {
            return Err(format!("`{word}` has two claims in one word: put a dot between them"));
        }
        let path = name.strip_prefix("claims.").and_then(|path| path.parse().ok());
        let path = path.ok_or_else(|| format!("`{{{name}}}` is no claim: write {{claims.name}}"))?;
        Ok(Self::Claim { before: literal(before)?, path, after: literal(after)? })
    }
}

fn literal(text: &str) -> Result<String, String> {
    if text.contains(['*', '#']) {
        return Err(format!("has `{text}`: `*` stands for a whole word, `#` for any number of words"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(pattern: &str, channel: &str, claims: &Value) -> bool {
        let pattern: ChannelPattern = pattern.parse().unwrap_or_else(|error| panic!("{pattern}: {error}"));
        pattern.matches(channel, claims.as_object().expect("an object"))
    }

    #[test]
    fn words_are_matched_as_a_topic_exchange_does_it() {
        for (pattern, channel, does) in [
            ("deploys.eu", "deploys.eu", true),
            ("deploys.eu", "deploys.eu.west", false),
            ("deploys.eu", "deploys", false),
            ("deploys.*", "deploys.eu", true),
            ("deploys.*", "deploys.", true),
            ("deploys.*", "deploys", false),
            ("deploys.*", "deploys.eu.west", false),
            ("deploys.#", "deploys", true),
            ("deploys.#", "deploys.eu.west", true),
            ("deploys.#", "deploysx", false),
            ("#", "", true),
            ("#", "a.b", true),
            ("#.end", "end", true),
            ("#.end", "a.end.b.end", true),
            ("#.end", "a.end.b", false),
            ("a.#.b.#.c", "a.b.c", true),
            ("a.#.b.#.c", "a.x.b.b.x.c", true),
            ("a.#.b.#.c", "a.x.c", false),
            ("#.#", "a", true),
            ("*.#", "", true),
            ("größe.*", "größe.ä", true),
        ] {
            assert_eq!(matches(pattern, channel, &json!({})), does, "{pattern} {channel}");
        }
        // It takes no longer the more there is to choose from.
        assert!(!matches(&format!("{}b", "#.a.".repeat(60)), &format!("{}c", "a.".repeat(120)), &json!({})));
    }

    #[test]
    fn a_claim_stands_for_one_word_and_never_for_a_pattern() {
        let claims = json!({
            "tenant": "acme", "number": 7, "huge": 18_446_744_073_709_551_615_u64, "part": 7.5, "empty": "",
            "dotted": "a.b", "star": "*", "hash": "#", "boards": [1, "x", [2], null], "yes": true,
            "app": {"team": "red"},
        });
        for (pattern, channel, does) in [
            ("board.{claims.tenant}.*", "board.acme.3", true),
            ("board.{claims.tenant}.*", "board.other.3", false),
            ("board.{claims.tenant}.*", "board..3", false),
            ("{claims.number}", "7", true),
            ("{claims.huge}", "18446744073709551615", true),
            ("{claims.part}", "7.5", false),
            ("a{claims.empty}", "a", false),
            ("x.{claims.empty}", "x.", false),
            ("{claims.dotted}", "a.b", false),
            ("{claims.star}", "anything", false),
            ("{claims.star}", "*", true),
            ("{claims.hash}.x", "a.b.x", false),
            ("board.{claims.boards}", "board.1", true),
            ("board.{claims.boards}", "board.x", true),
            ("board.{claims.boards}", "board.2", false),
            ("board.{claims.boards}", "board.null", false),
            ("{claims.yes}", "true", false),
            ("team-{claims.app.team}-eu.#", "team-red-eu.a.b", true),
            ("team-{claims.app.team}-eu.#", "team-blue-eu.a.b", false),
            ("team-{claims.app.team}-eu", "team-eu", false),
            ("{claims.absent}", "absent", false),
            ("{claims.app}", "app", false),
        ] {
            assert_eq!(matches(pattern, channel, &claims), does, "{pattern} {channel}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (text, why) in [
            ("", "empty"),
            ("a..b", "empty word"),
            ("a.", "empty word"),
            ("a*", "whole word"),
            ("a#.b", "whole word"),
            ("{claims.a}*", "whole word"),
            ("{claims.a", "not closed"),
            ("a}", "too many"),
            ("{{claims.a}}", "too many"),
            ("{tenant}", "no claim"),
            ("{claims.}", "no claim"),
            ("{claims.a..b}", "no claim"),
            ("{claims.a}{claims.b}", "two claims"),
        ] {
            let error = text.parse::<ChannelPattern>().expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_rule_is_for_its_right_its_roles_and_its_claims() {
        let rule = |roles: &[&str], claims: &[(&str, Value)], subscribe, publish| ChannelRule {
            pattern: "news".parse().expect("a pattern"),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            claims: claims
                .iter()
                .map(|(path, value)| (path.parse().expect("a path"), value.clone()))
                .collect(),
            subscribe,
            publish,
        };
        let rules = ChannelRules(vec![
            rule(&[], &[], true, false),
            rule(&["editor"], &[("app.desk", "news".into()), ("level", 3.into())], false, true),
            rule(&["editor"], &[("groups", "chiefs".into())], false, true),
        ]);
        for (right, role, claims, allowed) in [
            (ChannelRight::Subscribe, "anyone", "{}", true),
            (ChannelRight::Publish, "anyone", r#"{"app":{"desk":"news"},"level":3}"#, false),
            (ChannelRight::Publish, "editor", r#"{"app":{"desk":"news"},"level":3}"#, true),
            (ChannelRight::Publish, "editor", r#"{"app":{"desk":"news"},"level":"3"}"#, false),
            (ChannelRight::Publish, "editor", r#"{"app":{"desk":"news"}}"#, false),
            (ChannelRight::Publish, "editor", r#"{"groups":["a","chiefs"]}"#, true),
            (ChannelRight::Publish, "editor", r#"{"groups":"chiefs"}"#, true),
            (ChannelRight::Publish, "editor", r#"{"groups":["a"]}"#, false),
        ] {
            assert_eq!(rules.allow(right, role, claims, "news"), allowed, "{right:?} {role} {claims}");
            assert!(!rules.allow(right, role, claims, "other"));
        }
        assert!(!ChannelRules::default().allow(ChannelRight::Subscribe, "anyone", "{}", "news"));
    }
}
