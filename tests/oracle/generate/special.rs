//! Tests on texts, documents and arrays.

use tidegate::event::Collation;
use tidegate::filter::Param;

use super::super::columns::Spec;
use super::super::pools::JSONB;
use super::super::quote;
use super::Generator;

impl Generator {
    pub(super) fn like(&mut self, spec: &Spec, column: &str) -> String {
        let mut pattern = String::new();
        for character in self.pick(spec.pool).chars() {
            match self.random.usize(..7) {
                0 => pattern.push('%'),
                1 => pattern.push('_'),
                2 if matches!(character, '%' | '_' | '\\') => {
                    pattern.push('\\');
                    pattern.push(character);
                }
                _ => pattern.push(character),
            }
        }
        if self.once(3) {
            pattern.push('%');
        }
        if self.once(3) {
            pattern.insert(0, '%');
        }
        let any_case = spec.collation == Collation::Bytes && self.once(3);
        let operator = match (any_case, self.random.usize(..4)) {
            (false, 0) => "~~",
            (false, 1) => "!~~",
            (false, 2) => "not like",
            (false, _) => "like",
            (true, 0) => "~~*",
            (true, 1) => "!~~*",
            (true, 2) => "not ilike",
            (true, _) => "ilike",
        };
        // A pattern that ends in an escape raises in PostgreSQL only where it is reached.
        let escaped = pattern.chars().rev().take_while(|character| *character == '\\').count() % 2 == 1;
        let escape = if operator.contains("like") && self.once(5) {
            self.pick(&[" escape '!'", " escape ''", " escape 'a'"])
        } else {
            ""
        };
        if escaped && escape.is_empty() || escape.contains('a') && pattern.ends_with('a') {
            pattern.push('x');
        }
        let written = if self.random.bool() {
            let sql = quote(&pattern);
            self.param(Param::Text(pattern), sql)
        } else {
            quote(&pattern)
        };
        format!("{column} {operator} {written}{escape}")
    }

    fn json_literal(&mut self) -> String {
        let value = self.pick(JSONB);
        match self.random.usize(..4) {
            0 => self.param(Param::Text(value.into()), quote(value)),
            1 => format!("{}::jsonb", quote(value)),
            _ => quote(value),
        }
    }

    pub(super) fn json_test(&mut self, column: &str) -> String {
        let mut subject = column.to_owned();
        for _ in 0..self.random.usize(..3) {
            let step = self.pick(&["'a'", "'b'", "0", "1", "-1", "-2", "'é\"'", "'ab'", "'0'"]);
            subject = format!("{subject} -> {step}");
        }
        let not = self.pick(&["", "not "]);
        match self.random.usize(..9) {
            0 => format!("{subject} = {}", self.json_literal()),
            1 => format!("{subject} <> {}", self.json_literal()),
            // PostgreSQL reads operators of one precedence from the left.
            2 | 3 => format!("({subject}) @> {}", self.json_literal()),
            4 => format!("{} <@ ({subject})", self.json_literal()),
            5 => format!("({subject}) <@ {}", self.json_literal()),
            6 => format!("({subject}) ? {}", self.pick(&["'a'", "'b'", "'é\"'", "''", "'x'", "'é'"])),
            7 => format!("{subject} is {not}null"),
            _ => {
                let step = self.pick(&["'a'", "'b'", "0", "1", "-1", "'é\"'"]);
                let value = self.pick(&[
                    "'x'",
                    "'1'",
                    "'1.00'",
                    "''",
                    "'a'",
                    "'true'",
                    "'[1, 2]'",
                    "'q\"\n\u{2}é\\'",
                    "null",
                ]);
                let value = value.replace('\u{2}', "' || chr(1) || '");
                let value = if value.contains("chr(1)") { "e'q\"\\n\\x01é\\\\'".to_owned() } else { value };
                match self.random.usize(..5) {
                    0 => format!("{subject} ->> {step} <> {value}"),
                    1 => format!("{subject} ->> {step} in ({value}, 'b')"),
                    2 => format!("{subject} ->> {step} is {not}null"),
                    3 => format!("{subject} ->> {step} is {not}distinct from {value}"),
                    _ => format!("{subject} ->> {step} = {value}"),
                }
            }
        }
    }

    pub(super) fn array_test(&mut self, spec: &Spec, column: &str) -> String {
        if self.once(4) {
            let literal = quote(self.pick(spec.pool));
            return match self.random.usize(..3) {
                0 => format!("{literal} <> all ({column})"),
                1 => format!("{literal} = any ({column})"),
                _ => format!("not {literal} = any ({column})"),
            };
        }
        if self.once(6) && spec.type_name.starts_with("float") {
            return format!("{} = any ({column})", self.digits());
        }
        let operator = self.pick(&["=", "<>", "@>", "<@", "&&", "is distinct from", "is not distinct from"]);
        let literal = match self.random.usize(..5) {
            4 => self.untyped_array(spec),
            0 => self.array_param(spec),
            1 => {
                let items: Vec<String> =
                    (0..self.random.usize(1..4)).map(|_| quote(self.pick(spec.pool))).collect();
                format!("array[{}]::{}[]", items.join(", "), spec.type_name)
            }
            2 => format!("{}::{}[]", quote(&self.array(spec, false)), spec.type_name),
            _ => quote(&self.array(spec, false)),
        };
        if self.once(4) && !operator.starts_with("is") {
            format!("{literal} {operator} {column}")
        } else {
            format!("{column} {operator} {literal}")
        }
    }
}
