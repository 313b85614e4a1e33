//! Predicates as SQL: once with bound parameters, for PostgreSQL, and once with the values in it, for comparing.

use std::fmt::Write as _;

use super::Sql;
use super::array::{self, Part, Token};
use super::json::Step;
use super::predicate::{
    ArrayRelation, ArrayTest, Constant, Elements, In, JsonTest, Operand, Order, Predicate, SqlType,
};
use super::value::Key;

/// The condition with its values bound, numbered from `$1`.
pub(super) fn sql(predicate: &Predicate) -> Sql {
    let mut renderer = Renderer { text: String::new(), params: Some(Vec::new()) };
    renderer.predicate(predicate);
    Sql { text: renderer.text, params: renderer.params.unwrap_or_default() }
}

/// The condition with its values in it: equal for equal filters.
pub(super) fn canonical(predicate: &Predicate) -> String {
    let mut renderer = Renderer { text: String::new(), params: None };
    renderer.predicate(predicate);
    renderer.text
}

/// An identifier in quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

struct Renderer {
    text: String,
    /// `None`: values are written into the text.
    params: Option<Vec<String>>,
}

impl Renderer {
    fn predicate(&mut self, predicate: &Predicate) {
        match predicate {
            Predicate::Constant(Some(true)) => self.push("true"),
            Predicate::Constant(Some(false)) => self.push("false"),
            Predicate::Constant(None) => self.push("null::boolean"),
            Predicate::And(parts) => self.chain(parts, " and "),
            Predicate::Or(parts) => self.chain(parts, " or "),
            Predicate::Not(part) => {
                self.push("not ");
                self.parenthesized(part);
            }
            Predicate::Truth(part, wanted) => {
                self.parenthesized(part);
                self.push(match wanted {
                    Some(true) => " is true",
                    Some(false) => " is false",
                    None => " is unknown",
                });
            }
            Predicate::Null(operand) => {
                self.operand(operand, "");
                self.push(" is null");
            }
            Predicate::Order(order) => self.order(order),
            Predicate::In(list) => self.list(list),
            Predicate::Like(operand, pattern) => {
                self.operand(operand, "");
                self.push(if pattern.any_case() { " ilike " } else { " like " });
                self.value(&pattern.text(), "text");
            }
            Predicate::Json(operand, test) => self.json(operand, test),
            Predicate::Array(test) => self.array(test),
        }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn parenthesized(&mut self, part: &Predicate) {
        self.push("(");
        self.predicate(part);
        self.push(")");
    }

    fn chain(&mut self, parts: &[Predicate], connective: &str) {
        self.push("(");
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.push(connective);
            }
            self.predicate(part);
        }
        self.push(")");
    }

    /// A value of a type of `pg_catalog`, `name` being its name and, for an array, brackets.
    fn value(&mut self, value: &str, name: &str) {
        let (element, brackets) = match name.strip_suffix("[]") {
            Some(element) => (element, "[]"),
            None => (name, ""),
        };
        let written = match &mut self.params {
            Some(params) => {
                params.push(value.to_owned());
                let number = params.len();
                // A parameter is sent as text, whatever it becomes: so the client needs no type but that.
                if name == "text" {
                    format!("${number}::text")
                } else {
                    format!("(${number}::text)::\"pg_catalog\".{}{brackets}", quote(element))
                }
            }
            None => format!("'{}'::{element}{brackets}", value.replace('\'', "''")),
        };
        self.push(&written);
    }

    fn operand(&mut self, operand: &Operand, cast: &str) {
        let name = quote(&operand.name);
        if operand.path.is_empty() {
            self.push(&name);
            self.push(if operand.cast { "::text" } else { cast });
            return;
        }
        let _ = write!(self.text, "({name}");
        for (index, step) in operand.path.iter().enumerate() {
            let last = index + 1 == operand.path.len();
            self.push(if last && operand.text { " ->> " } else { " -> " });
            match step {
                Step::Key(key) => self.value(&super::json::plain(key), "text"),
                Step::Index(index) => self.value(&index.to_string(), "int4"),
            }
        }
        self.push(")");
    }

    fn order(&mut self, order: &Order) {
        self.operand(&order.operand, "");
        let _ = write!(self.text, " {} ", order.comparison.sign());
        match &order.sql_type {
            SqlType::Builtin(name) => {
                self.value(&order.constant.text, constant_type(name, [&order.constant]));
            }
            // The label of that text among those of the column's own type, whatever schema it is in.
            SqlType::Label => {
                let name = quote(&order.operand.name);
                let _ = write!(
                    self.text,
                    "(select label from unnest(enum_range({name})) as label where label::text = "
                );
                self.value(&order.constant.text, "text");
                self.push(")");
            }
        }
    }

    fn list(&mut self, list: &In) {
        let (cast, name) = match &list.sql_type {
            SqlType::Builtin(name) => ("", constant_type(name, &list.constants)),
            SqlType::Label => ("::text", "text"),
        };
        self.operand(&list.operand, cast);
        match (&*list.constants, list.null) {
            ([], _) => {
                self.push(" <> ");
                self.operand(&list.operand, cast);
            }
            ([only], false) => {
                self.push(" = ");
                self.value(&only.text, name);
            }
            (constants, null) => {
                self.push(" = any(");
                self.elements(constants, null, name);
                self.push(")");
            }
        }
    }

    fn elements(&mut self, constants: &[Constant], null: bool, element: &str) {
        let tokens = constants.iter().map(|constant| Token::Element(constant.text.as_bytes()));
        let text = array::write(
            std::iter::once(Token::Open)
                .chain(tokens)
                .chain(null.then_some(Token::Null))
                .chain([Token::Close]),
        );
        self.value(&text, &format!("{element}[]"));
    }

    fn json(&mut self, operand: &Operand, test: &JsonTest) {
        self.operand(operand, "");
        let (sign, document) = match test {
            JsonTest::Equals(document) => (" = ", document),
            JsonTest::Contains(document) => (" @> ", document),
            JsonTest::Within(document) => (" <@ ", document),
            JsonTest::HasKey(key, _) => {
                self.push(" ? ");
                self.value(key, "text");
                return;
            }
        };
        self.push(sign);
        self.value(&document.text, "jsonb");
    }

    fn array(&mut self, test: &ArrayTest) {
        let (cast, name) = match &test.sql_type {
            SqlType::Builtin(name) => ("", &**name),
            SqlType::Label => ("::text[]", "text"),
        };
        let (sign, elements) = match &test.relation {
            ArrayRelation::Holds(constant) => {
                self.value(&constant.text, if name == "varchar" { "text" } else { name });
                self.push(" = any(");
                self.operand(&test.operand, cast);
                self.push(")");
                return;
            }
            ArrayRelation::Equals(parts, _) => {
                self.operand(&test.operand, cast);
                self.push(" = ");
                let tokens = parts.iter().map(|part| match part {
                    Part::Open => Token::Open,
                    Part::Close => Token::Close,
                    Part::Null => Token::Null,
                    Part::Element(element) => Token::Element(element.as_bytes()),
                });
                self.value(&array::write(tokens), &format!("{name}[]"));
                return;
            }
            ArrayRelation::Contains(elements) => (" @> ", elements),
            ArrayRelation::Within(elements) => (" <@ ", elements),
            ArrayRelation::Overlaps(elements) => (" && ", elements),
        };
        let Elements { constants, null } = elements;
        self.operand(&test.operand, cast);
        self.push(sign);
        self.elements(constants, *null, name);
    }
}

/// The type of a constant beside a column of type `name`: the column's own, but for integers that do not fit into it.
fn constant_type<'a>(name: &'a str, constants: impl IntoIterator<Item = &'a Constant>) -> &'a str {
    let most = match name {
        "int2" => i64::from(i16::MAX),
        "int4" => i64::from(i32::MAX),
        _ => return name,
    };
    let fits =
        |constant: &Constant| matches!(constant.key, Key::Int(value) if (-most..=most).contains(&value));
    if constants.into_iter().all(fits) { name } else { "int8" }
}
