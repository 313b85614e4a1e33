//! Rows and filters out of the columns' values.

mod special;

use std::fmt::Write as _;

use fastrand::Rng;
use tidegate::filter::Param;

use super::columns::{COLUMNS, Spec};
use super::quote;

/// One filter, as we read it and as PostgreSQL does.
pub(super) struct Case {
    pub(super) text: String,
    pub(super) params: Vec<Param>,
    /// The same with literals in the parameters' places.
    pub(super) sql: String,
    /// Whether it holds something that may be refused though PostgreSQL accepts it.
    pub(super) may_be_refused: bool,
}

pub(super) struct Generator {
    random: Rng,
    params: Vec<(Param, String)>,
    may_be_refused: bool,
}

/// Stands for a parameter until both texts are written.
const MARK: char = '\u{1}';

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: Rng::with_seed(seed), params: Vec::new(), may_be_refused: false }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.usize(..from.len())]
    }

    /// Once in `of` times.
    fn once(&mut self, of: usize) -> bool {
        self.random.usize(..of) == 0
    }

    /// An `insert` of a row.
    pub(super) fn row(&mut self, id: usize) -> String {
        let values: Vec<String> = COLUMNS
            .iter()
            .map(|spec| match (self.once(8), spec.array) {
                (true, _) => "null".into(),
                (_, true) => quote(&self.array(spec, true)),
                (_, false) => quote(self.pick(spec.pool)),
            })
            .collect();
        format!("insert into t values ({id}, {})", values.join(", "))
    }

    /// The text of an array; `odd` ones have several dimensions or unusual bounds.
    fn array(&mut self, spec: &Spec, odd: bool) -> String {
        let elements: Vec<String> = (0..self.random.usize(..4))
            .map(|_| {
                if self.once(8) {
                    return "NULL".into();
                }
                let value = self.pick(spec.pool);
                format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
            })
            .collect();
        let list = format!("{{{}}}", elements.join(","));
        if odd && !elements.is_empty() && self.once(10) {
            return if self.random.bool() {
                format!("[0:{}]={list}", elements.len() - 1)
            } else {
                format!("{{{list},{list}}}")
            };
        }
        if !elements.is_empty() && self.once(12) { format!("{{{list},{list}}}") } else { list }
    }

    pub(super) fn case(&mut self) -> Case {
        self.params.clear();
        self.may_be_refused = false;
        let marked = self.condition(2);
        let mut number = 0;
        let (mut text, mut sql) = (String::new(), String::new());
        for character in marked.chars() {
            if character == MARK {
                sql.push_str(&self.params[number].1);
                number += 1;
                let _ = write!(text, "${number}");
            } else {
                text.push(character);
                sql.push(character);
            }
        }
        let params = self.params.iter().map(|(param, _)| param.clone()).collect();
        Case { text, params, sql, may_be_refused: self.may_be_refused }
    }

    fn param(&mut self, param: Param, sql: String) -> String {
        self.params.push((param, sql));
        MARK.to_string()
    }

    fn condition(&mut self, depth: usize) -> String {
        if depth == 0 || self.once(2) {
            return self.test();
        }
        let inner = depth - 1;
        match self.random.usize(..9) {
            0 | 1 => format!("{} and {}", self.operand(inner), self.operand(inner)),
            2 | 3 => format!("{} or {}", self.operand(inner), self.operand(inner)),
            4 => format!("not {}", self.operand(inner)),
            5 => format!("not {}", self.test()),
            6 => {
                let truth = self.pick(&[
                    "true",
                    "not true",
                    "false",
                    "not false",
                    "unknown",
                    "not unknown",
                    "null",
                    "not null",
                ]);
                format!("{} is {truth}", self.operand(inner))
            }
            7 => self.loose(),
            _ => {
                let (a, b, c) = (self.test(), self.test(), self.test());
                let (first, second) = (self.pick(&["and", "or"]), self.pick(&["and", "or"]));
                format!("{a} {first} {b} {second} {c}")
            }
        }
    }

    fn operand(&mut self, depth: usize) -> String {
        format!("({})", self.condition(depth))
    }

    /// Without parentheses, so that precedence decides; where it may be misread, it is refused.
    fn loose(&mut self) -> String {
        self.may_be_refused = true;
        let mut text = String::new();
        for index in 0..self.random.usize(1..4) {
            if index > 0 {
                text.push_str(self.pick(&[" and ", " or "]));
            }
            text.push_str(self.pick(&["", "not ", "not not "]));
            text.push_str(&self.test());
            text.push_str(self.pick(&[
                "",
                " is true",
                " is not false",
                " is null",
                " is unknown",
                " = true",
            ]));
        }
        text
    }

    /// `left sign right`, close together or far apart.
    pub(super) fn compared(&mut self, left: &str, sign: &str, right: &str) -> String {
        // `!=-` is one operator to PostgreSQL.
        let gaps: &[&str] =
            if sign == "!=" { &[" "] } else { &[" ", " ", "", "\n", " /* a /* b */ c */ ", " -- '\n"] };
        format!("{left}{}{sign}{}{right}", self.pick(gaps), self.pick(gaps))
    }

    /// A condition without connectives.
    fn test(&mut self) -> String {
        if self.once(40) {
            return self.constants();
        }
        let spec = &COLUMNS[self.random.usize(..COLUMNS.len())];
        let column = if spec.name.starts_with("c_") || spec.name.starts_with("a_") {
            match self.random.usize(..6) {
                0 => spec.name.to_uppercase(),
                1 => format!("t.{}", spec.name),
                2 => format!("public.t.\"{}\"", spec.name),
                _ => spec.name.to_owned(),
            }
        } else {
            format!("\"{}\"", spec.name.replace('"', "\"\""))
        };
        if self.once(12) {
            return format!("{column} is {}null", self.pick(&["", "not "]));
        }
        match (spec.array, spec.type_name) {
            (true, _) => self.array_test(spec, &column),
            (_, "jsonb") => self.json_test(&column),
            (_, "json") => format!("{column} is null"),
            (_, "bool") if self.once(3) => column,
            (_, "text" | "varchar" | "bpchar" | "name") if self.once(3) => self.like(spec, &column),
            _ => self.scalar_test(spec, &column),
        }
    }

    fn scalar_test(&mut self, spec: &Spec, column: &str) -> String {
        let not = self.pick(&["", "not "]);
        match self.random.usize(..if spec.ordered { 10 } else { 6 }) {
            0 | 1 => {
                let sign = self.pick(&["=", "<>", "!="]);
                let literal = self.literal(spec);
                if self.once(4) {
                    self.compared(&literal, sign, column)
                } else {
                    self.compared(column, sign, &literal)
                }
            }
            2 => {
                let items: Vec<String> = (0..self.random.usize(1..5)).map(|_| self.literal(spec)).collect();
                format!("{column} {not}in ({})", items.join(", "))
            }
            3 => format!("{column} is {not}distinct from {}", self.literal(spec)),
            4 | 5 => self.any(spec, column),
            6..=8 => {
                let sign = self.pick(&["<", "<=", ">", ">="]);
                let literal = self.literal(spec);
                if self.once(4) {
                    self.compared(&literal, sign, column)
                } else {
                    self.compared(column, sign, &literal)
                }
            }
            _ => format!("{column} {not}between {} and {}", self.literal(spec), self.literal(spec)),
        }
    }

    fn any(&mut self, spec: &Spec, column: &str) -> String {
        let operator = self.pick(&["= any", "<> all", "= some"]);
        let array = match self.random.usize(..5) {
            4 => self.untyped_array(spec),
            0 => {
                let items: Vec<String> =
                    (0..self.random.usize(1..4)).map(|_| quote(self.pick(spec.pool))).collect();
                format!("array[{}]::{}[]", items.join(", "), spec.type_name)
            }
            1 => {
                let text = self.array(spec, false);
                let sql = quote(&text);
                self.param(Param::Text(text), sql)
            }
            2 => self.array_param(spec),
            _ => quote(&self.array(spec, false)),
        };
        format!("{column} {operator} ({array})")
    }

    /// `array[…]` without a cast: of the type that its elements agree on, which may not be the column's.
    pub(super) fn untyped_array(&mut self, spec: &Spec) -> String {
        let number = matches!(spec.type_name, "int2" | "int4" | "int8" | "float4" | "float8" | "numeric");
        self.may_be_refused = true;
        let items: Vec<String> = (0..self.random.usize(1..4))
            .map(|_| match spec.type_name {
                _ if self.once(8) => "null".into(),
                _ if number => self.digits(),
                "bool" => self.random.bool().to_string(),
                _ => quote(self.pick(spec.pool)),
            })
            .collect();
        format!("array[{}]", items.join(", "))
    }

    fn array_param(&mut self, spec: &Spec) -> String {
        let mut elements = Vec::new();
        let mut texts = Vec::new();
        for _ in 0..self.random.usize(..4) {
            if self.once(8) {
                elements.push(Param::Null);
                texts.push("NULL".to_owned());
            } else {
                let value = self.pick(spec.pool);
                elements.push(Param::Text(value.into()));
                texts.push(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")));
            }
        }
        self.param(Param::Array(elements), quote(&format!("{{{}}}", texts.join(","))))
    }

    /// A value of the column's type, in one of the ways to write it.
    fn literal(&mut self, spec: &Spec) -> String {
        let number = matches!(spec.type_name, "int2" | "int4" | "int8" | "float4" | "float8" | "numeric");
        let value = self.pick(spec.pool);
        match self.random.usize(..12) {
            0 => "null".into(),
            1 => self.param(Param::Null, "null".into()),
            2 | 3 => self.param(Param::Text(value.into()), quote(value)),
            4 if spec.type_name != "bpchar" => format!("{}::{}", quote(value), spec.type_name),
            5 if spec.type_name != "bpchar" => format!("cast({} as {})", quote(value), spec.type_name),
            6 if matches!(spec.type_name, "varchar" | "text") => {
                let name = self.pick(&["text", "varchar", "character varying"]);
                format!("{}::{name}", quote(value))
            }
            6 if matches!(
                spec.type_name,
                "date" | "timestamp" | "timestamptz" | "time" | "interval" | "uuid" | "numeric"
            ) =>
            {
                format!("{} {}", spec.type_name, quote(value))
            }
            6..=8 if number => self.number(),
            9 if number => {
                let digits = self.digits();
                // A number beyond the type's range is an error for both.
                self.param(Param::Number(digits.clone()), digits)
            }
            9 if spec.type_name == "bool" => {
                let value = self.random.bool();
                self.param(Param::Bool(value), value.to_string())
            }
            7 if spec.type_name == "bool" => {
                self.pick(&["true", "false", "'yes'", "'0'", "bool 'on'"]).into()
            }
            8 => format!("e'{}'", value.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n")),
            10 => format!("({})", quote(value)),
            11 => format!("$x${value}$x$"),
            _ => quote(value),
        }
    }

    fn digits(&mut self) -> String {
        let digits = self.pick(&[
            "0",
            "1",
            "7",
            "8",
            "42",
            "7.5",
            "7.0",
            "7.50",
            "0.1",
            "0.2",
            "1e0",
            "1.5e1",
            "0.5",
            ".5",
            "7.",
            "32767",
            "32768",
            "2147483647",
            "2147483648",
            "2147483647.5",
            "9223372036854775807",
            "9223372036854775808",
            "1e20",
            "99999999999999999999999999",
            "16777217",
            "1e300",
            "1e-300",
            "1e-500",
            "1e400",
            "0.30000000000000004",
        ]);
        // Out of a double's range: refused here for good, by PostgreSQL only where it comes to it.
        self.may_be_refused |= matches!(digits, "1e400" | "1e-500");
        digits.to_owned()
    }

    fn number(&mut self) -> String {
        let digits = self.digits();
        let signed = match self.random.usize(..4) {
            0 => format!("-{digits}"),
            1 => format!("- {digits}"),
            2 => format!("+{digits}"),
            _ => digits.clone(),
        };
        if self.once(5) {
            let cast = self.pick(&["int2", "int", "bigint", "numeric", "real", "double precision"]);
            // A number that a cast would round, and a cast to another family, are refused.
            self.may_be_refused = true;
            return if self.random.bool() {
                format!("({signed})::{cast}")
            } else {
                format!("{}::{cast}", quote(&digits))
            };
        }
        signed
    }

    fn constants(&mut self) -> String {
        self.pick(&[
            "true",
            "false",
            "null",
            "1 = 1",
            "1 < 0.5",
            "'a' = 'a'",
            "'a' <> 'a '",
            "null = 1",
            "1 in (1, 2)",
            "1 not in (2, null)",
            "'1' = 1",
            "date '2026-11-22' < '2026-11-23'",
            "1.50 = '1.5'::numeric",
            "null is null",
            "1 is distinct from null",
            "'t'::bool",
            "uuid 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            "interval '1 mon' = '30 days'",
            "1 between 0 and 2",
            "2 = 2.0",
            "1 is not distinct from 1",
        ])
        .to_owned()
    }
}
