//! The first look at a text: bounded, cut into tokens, and cleared of all that no filter may hold, so that the parser
//! behind it never meets a grammar that it would have to guess about.

use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

use super::error::Error;
use super::reserved::is_reserved;
use super::syntax::Positions;

/// Far longer than any filter written by hand; a list of values that does not fit is a parameter.
const TEXT_BYTES: usize = 16 * 1024;

/// Every level of parentheses is a few frames of recursion, in the parser and wherever the tree is walked.
const DEPTH: usize = 64;

/// Each token that is no item of a list may become a level of the parser's left-deep tree, which is dropped
/// recursively: this many fit into a quarter of the smallest stack that a thread of ours has.
const OPERATORS: usize = 2_000;

/// Cuts a filter's `text` into tokens, white space and comments left out.
pub(super) fn tokens(text: &str, positions: &Positions) -> Result<Vec<TokenWithSpan>, Error> {
    let tokens = cut(text, positions)?;
    check(&tokens, positions)?;
    Ok(tokens)
}

/// As [`tokens`], for an order: names, commas and a few words.
pub(super) fn order_tokens(text: &str, positions: &Positions) -> Result<Vec<TokenWithSpan>, Error> {
    let tokens = cut(text, positions)?;
    for token in &tokens {
        let position = positions.at(token.span.start);
        match &token.token {
            Token::Comma | Token::Period => {}
            Token::Word(word) if word.quote_style.is_some() => {}
            Token::Word(word) => {
                let name = word.value.to_ascii_lowercase();
                if is_reserved(&name) && !matches!(name.as_str(), "asc" | "desc") {
                    return Err(Error::syntax(
                        position,
                        format!("`{name}` is a reserved word: write `\"{name}\"` to name a column"),
                    ));
                }
            }
            other => {
                return Err(Error::unsupported(
                    position,
                    format!("`{other}`: an order is made of columns only"),
                ));
            }
        }
    }
    Ok(tokens)
}

fn cut(text: &str, positions: &Positions) -> Result<Vec<TokenWithSpan>, Error> {
    if text.len() > TEXT_BYTES {
        return Err(Error::unsupported(
            None,
            format!(
                "the text has {} bytes, more than {TEXT_BYTES}: pass long lists as a parameter, as in `id = any($1)`",
                text.len()
            ),
        ));
    }
    if let Some(at) = text.chars().position(|character| character == '\0') {
        return Err(Error::syntax(at + 1, "the text holds the character U+0000"));
    }
    let mut tokens = Tokenizer::new(&PostgreSqlDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| Error::syntax(positions.at(error.location), lower_first(&error.message)))?;
    tokens.retain(|token| !matches!(token.token, Token::Whitespace(_)));
    Ok(tokens.into_iter().flat_map(unsigned).collect())
}

/// Cuts the signs off an operator's end, as in `<>-1`: no operator of PostgreSQL ends in one, unless it holds certain
/// other characters too.
///
/// See <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-OPERATORS>.
fn unsigned(token: TokenWithSpan) -> Vec<TokenWithSpan> {
    let Token::CustomBinaryOperator(operator) = &token.token else { return vec![token] };
    let base = operator.trim_end_matches(['+', '-']);
    let comparison = match base {
        "=" => Token::Eq,
        "<>" => Token::Neq,
        "<" => Token::Lt,
        "<=" => Token::LtEq,
        ">" => Token::Gt,
        ">=" => Token::GtEq,
        _ => return vec![token],
    };
    let signs =
        operator[base.len()..].chars().map(|sign| if sign == '-' { Token::Minus } else { Token::Plus });
    std::iter::once(comparison)
        .chain(signs)
        .map(|part| TokenWithSpan { token: part, span: token.span })
        .collect()
}

/// `sqlparser`'s messages start with a capital; ours do not.
pub(super) fn lower_first(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

fn check(tokens: &[TokenWithSpan], positions: &Positions) -> Result<(), Error> {
    let mut operators = 0_usize;
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        let position = positions.at(token.span.start);
        match &token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            Token::Word(_) => check_word(tokens, index, position)?,
            other => check_token(other, position)?,
        }
        if depth > DEPTH {
            return Err(Error::unsupported(position, format!("parentheses nested more than {DEPTH} deep")));
        }
        operators += usize::from(!matches!(
            token.token,
            Token::Comma | Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_)
        ));
        if operators > OPERATORS {
            return Err(Error::unsupported(
                position,
                format!(
                    "more than {OPERATORS} names and operators: pass long lists as a parameter, as in `id = any($1)`"
                ),
            ));
        }
    }
    Ok(())
}

/// Reserved words that filters are made of; all others stand for grammar that filters do not have.
const WORDS: [&str; 20] = [
    "all", "and", "any", "array", "as", "cast", "distinct", "false", "from", "ilike", "in", "is", "isnull",
    "like", "not", "notnull", "null", "or", "some", "true",
];

/// Words that a parenthesis may follow; behind any other it would make a function call, or a type's modifier.
const BEFORE_PARENTHESIS: [&str; 14] = [
    "all", "and", "any", "between", "cast", "escape", "from", "ilike", "in", "is", "like", "not", "or",
    "some",
];

fn check_word(tokens: &[TokenWithSpan], index: usize, position: Option<usize>) -> Result<(), Error> {
    let Token::Word(word) = &tokens[index].token else { return Ok(()) };
    let quoted = word.quote_style.is_some();
    let name = if quoted { word.value.clone() } else { word.value.to_ascii_lowercase() };
    let near = |distance: isize| index.checked_add_signed(distance).and_then(|at| tokens.get(at));
    let follows = |token: &Token| near(1).is_some_and(|next| next.token == *token);
    let called = follows(&Token::LParen) && (quoted || !BEFORE_PARENTHESIS.contains(&name.as_str()));
    if called {
        return Err(Error::unsupported(
            position,
            format!("`{name}(…)`: filters have neither functions nor type modifiers"),
        ));
    }
    let qualified = near(-1).is_some_and(|token| token.token == Token::Period);
    // `time with time zone`
    let zone = name == "with" && near(-1).is_some_and(|token| is_word(token, &["time", "timestamp"]));
    if quoted || qualified || zone || WORDS.contains(&name.as_str()) || !is_reserved(&name) {
        return Ok(());
    }
    Err(match name.as_str() {
        "case" | "select" | "current_date" | "current_time" | "current_timestamp" | "localtime"
        | "localtimestamp" | "current_user" | "session_user" | "current_role" | "user" | "collate"
        | "similar" | "symmetric" | "overlaps" | "with" => {
            let hint = if name == "user" { "; write `\"user\"` to name a column" } else { "" };
            Error::unsupported(position, format!("`{name}` is not supported in a filter{hint}"))
        }
        _ => Error::syntax(
            position,
            format!("`{name}` is a reserved word: write `\"{name}\"` to name a column"),
        ),
    })
}

fn is_word(token: &TokenWithSpan, words: &[&str]) -> bool {
    matches!(&token.token, Token::Word(word) if words.iter().any(|name| word.value.eq_ignore_ascii_case(name)))
}

fn check_token(token: &Token, position: Option<usize>) -> Result<(), Error> {
    match token {
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::DollarQuotedString(_)
        | Token::Comma
        | Token::Eq
        | Token::Neq
        | Token::Lt
        | Token::Gt
        | Token::LtEq
        | Token::GtEq
        | Token::Plus
        | Token::Minus
        | Token::Period
        | Token::DoubleColon
        | Token::Overlap
        | Token::DoubleTilde
        | Token::DoubleTildeAsterisk
        | Token::ExclamationMarkDoubleTilde
        | Token::ExclamationMarkDoubleTildeAsterisk
        | Token::Arrow
        | Token::LongArrow
        | Token::AtArrow
        | Token::ArrowAt
        | Token::Question
        | Token::Whitespace(Whitespace::Space)
        | Token::EOF => Ok(()),
        Token::Placeholder(name) if name.starts_with('$') => Ok(()),
        Token::SemiColon => Err(Error::syntax(position, "`;`: a filter is one expression, not a statement")),
        other => Err(Error::unsupported(position, format!("`{other}` is not supported in a filter"))),
    }
}

/// Where `sqlparser`'s message says that it is: it ends in ` at Line: 1, Column: 5`.
pub(super) fn split_location(message: &str) -> (&str, Option<Location>) {
    let read = |at: usize| {
        let (line, column) = message[at..].strip_prefix(" at Line: ")?.split_once(", Column: ")?;
        Some(Location { line: line.parse().ok()?, column: column.trim().parse().ok()? })
    };
    match message.rfind(" at Line: ") {
        Some(at) => (&message[..at], read(at)),
        None => (message, None),
    }
}
