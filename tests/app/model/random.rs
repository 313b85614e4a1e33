//! What users do: any command on anything that anybody has seen, allowed or not.

use std::collections::BTreeMap;

use fastrand::Rng;
use hyper::Method;
use serde_json::{Value, json};

/// The ways of the workflow that boards begin with, each with the place of the state that it leads to.
pub(super) const WAYS: [(&str, usize); 6] =
    [("start", 1), ("submit", 2), ("approve", 3), ("finish", 3), ("reopen", 1), ("return", 1)];

/// One command.
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// As the document has it.
    pub(super) id: &'static str,
    pub(super) method: Method,
    pub(super) path: String,
    /// What it is done to: the id in the path.
    pub(super) target: String,
    /// The user in the path, or the way.
    pub(super) other: String,
    /// Null for none.
    pub(super) body: Value,
}

/// What there was at some time.
#[derive(Debug, Default)]
pub(super) struct Known {
    boards: Vec<String>,
    /// Each with its board.
    entries: Vec<(String, String)>,
    categories: Vec<(String, String)>,
    comments: Vec<String>,
    /// Those of each board, from left to right.
    pub(super) states: BTreeMap<String, Vec<String>>,
}

/// A user who does things.
pub(super) struct Player {
    pub(super) who: &'static str,
    users: &'static [&'static str],
    random: Rng,
    /// What comes before anything else: the people of a new board.
    next: Vec<Command>,
}

impl Command {
    fn new(id: &'static str, method: Method, path: String, target: &str, body: Value) -> Self {
        Self { id, method, path, target: target.to_owned(), other: String::new(), body }
    }

    /// Founds a board.
    pub(super) fn found(name: &str) -> Self {
        Self::new("createBoard", Method::POST, "/v1/boards".to_owned(), "", json!({"name": name}))
    }

    /// Makes somebody a member.
    pub(super) fn admit(board: &str, user: &str, role: &str) -> Self {
        let path = format!("/v1/boards/{board}/members/{user}");
        let admission = Self::new("putMember", Method::PUT, path, board, json!({"role": role}));
        Self { other: user.to_owned(), ..admission }
    }

    /// The same as a part of a batch.
    pub(super) fn part(&self) -> Value {
        let mut part = json!({"method": self.method.as_str(), "path": self.path});
        if !self.body.is_null() {
            part["body"] = self.body.clone();
        }
        part
    }
}

impl Known {
    /// What a reply shows.
    pub(super) fn learn(&mut self, command: &Command, row: &Value, states: Vec<String>) {
        let id = || row["id"].as_str().expect("an id").to_owned();
        let board = || row["board_id"].as_str().expect("an id").to_owned();
        match command.id {
            "createBoard" => {
                self.states.insert(id(), states);
                self.boards.push(id());
            }
            "createEntry" => self.entries.push((id(), board())),
            "createCategory" => self.categories.push((id(), board())),
            "createComment" => self.comments.push(id()),
            "deleteBoard" => {
                self.boards.retain(|board| *board != command.target);
                self.entries.retain(|(_, board)| *board != command.target);
                self.categories.retain(|(_, board)| *board != command.target);
            }
            "deleteEntry" => self.entries.retain(|(entry, _)| *entry != command.target),
            "deleteCategory" => self.categories.retain(|(category, _)| *category != command.target),
            "deleteComment" => self.comments.retain(|comment| *comment != command.target),
            _ => {}
        }
    }
}

impl Player {
    pub(super) fn new(who: &'static str, users: &'static [&'static str], seed: u64) -> Self {
        Self { who, users, random: Rng::with_seed(seed), next: Vec::new() }
    }

    /// A command, or several that are to be one.
    pub(super) fn commands(&mut self, known: &Known) -> Vec<Command> {
        if !self.next.is_empty() {
            return std::mem::take(&mut self.next);
        }
        let count = if self.random.u8(..12) == 0 { self.random.usize(2..5) } else { 1 };
        (0..count).map(|_| self.command(known)).collect()
    }

    /// Everybody else comes to a new board.
    pub(super) fn admit_all(&mut self, board: &str) {
        let others = self.users.iter().filter(|user| **user != self.who);
        let roles = ["member", "admin", "viewer", "member"].iter().cycle();
        self.next = others.zip(roles).map(|(user, role)| Command::admit(board, user, role)).collect();
    }

    fn command(&mut self, known: &Known) -> Command {
        let Some(board) = recent(&mut self.random, &known.boards, 4).cloned() else {
            return Command::found("First");
        };
        match self.random.u8(..100) {
            0..25 => self.on_entries(known, &board),
            25..50 => self.on_an_entry(known, &board),
            50..70 => self.movement(known, &board),
            70..84 => self.comment(known, &board),
            84..89 => self.category(known, &board),
            89..98 => self.member(&board),
            _ => self.on_a_board(known, &board),
        }
    }

    fn on_entries(&mut self, known: &Known, board: &str) -> Command {
        let title = format!("Card {}", self.random.u16(..));
        let mut body = json!({"title": title, "priority": self.random.u8(..3)});
        if self.random.bool() {
            body["assignee_id"] = json!(self.user());
        }
        if self.random.bool() {
            body["labels"] = json!(["new", "a b, \"c\""]);
        }
        if let Some(state) = self.state(known, board) {
            body["state_id"] = json!(state);
        }
        Command::new("createEntry", Method::POST, format!("/v1/boards/{board}/entries"), board, body)
    }

    fn on_an_entry(&mut self, known: &Known, board: &str) -> Command {
        let Some((entry, of)) = recent(&mut self.random, &known.entries, 30).cloned() else {
            return self.on_entries(known, board);
        };
        let path = format!("/v1/entries/{entry}");
        if self.random.u8(..8) == 0 {
            return Command::new("deleteEntry", Method::DELETE, path, &entry, Value::Null);
        }
        let mut body = json!({});
        match self.random.u8(..5) {
            0 => body["title"] = json!(format!("Card {}", self.random.u16(..))),
            1 => body["priority"] = json!(self.random.u8(..3)),
            2 => body["assignee_id"] = if self.random.bool() { json!(self.user()) } else { Value::Null },
            3 => {
                let of_board: Vec<_> = known.categories.iter().filter(|(_, board)| *board == of).collect();
                let category = recent(&mut self.random, &of_board, 5).map(|(id, _)| json!(id));
                body["category_id"] = category.unwrap_or(Value::Null);
            }
            _ => body["labels"] = json!(["urgent"]),
        }
        if self.random.u8(..4) == 0 {
            body["version"] = json!(self.random.u8(1..5));
        }
        Command::new("updateEntry", Method::PATCH, path, &entry, body)
    }

    fn movement(&mut self, known: &Known, board: &str) -> Command {
        let Some((entry, of)) = recent(&mut self.random, &known.entries, 30).cloned() else {
            return self.on_entries(known, board);
        };
        let mut body = json!({});
        if let Some((other, _)) = recent(&mut self.random, &known.entries, 30) {
            match self.random.u8(..3) {
                0 => body["before"] = json!(other),
                1 => body["after"] = json!(other),
                _ => {}
            }
        }
        if self.random.u8(..3) == 0 {
            let (way, _) = WAYS[self.random.usize(..WAYS.len())];
            let path = format!("/v1/entries/{entry}/transitions/{way}");
            let transit = Command::new("transitEntry", Method::POST, path, &entry, body);
            return Command { other: way.to_owned(), ..transit };
        }
        if let Some(state) = self.state(known, &of) {
            body["state"] = json!(state);
        }
        Command::new("moveEntry", Method::POST, format!("/v1/entries/{entry}/move"), &entry, body)
    }

    fn comment(&mut self, known: &Known, board: &str) -> Command {
        let body = json!({"body": format!("@{} look at {}", self.user(), self.random.u16(..))});
        let made = recent(&mut self.random, &known.comments, 20).cloned();
        match (self.random.u8(..4), made) {
            (0, Some(comment)) => {
                let path = format!("/v1/comments/{comment}");
                Command::new("updateComment", Method::PATCH, path, &comment, body)
            }
            (1, Some(comment)) => {
                let path = format!("/v1/comments/{comment}");
                Command::new("deleteComment", Method::DELETE, path, &comment, Value::Null)
            }
            _ => match recent(&mut self.random, &known.entries, 30) {
                Some((entry, _)) => {
                    let path = format!("/v1/entries/{entry}/comments");
                    Command::new("createComment", Method::POST, path, entry, body)
                }
                None => self.on_entries(known, board),
            },
        }
    }

    fn category(&mut self, known: &Known, board: &str) -> Command {
        let made = recent(&mut self.random, &known.categories, 6).map(|(id, _)| id.clone());
        match (self.random.u8(..3), made) {
            (0, Some(category)) => {
                let (path, hue) = (format!("/v1/categories/{category}"), self.random.u16(..360));
                Command::new("updateCategory", Method::PATCH, path, &category, json!({"hue": hue}))
            }
            (1, Some(category)) => {
                let path = format!("/v1/categories/{category}");
                Command::new("deleteCategory", Method::DELETE, path, &category, Value::Null)
            }
            _ => {
                let (path, name) = (format!("/v1/boards/{board}/categories"), self.random.u8(..20));
                Command::new("createCategory", Method::POST, path, board, json!({"name": format!("C{name}")}))
            }
        }
    }

    fn member(&mut self, board: &str) -> Command {
        let user = self.user();
        if self.random.u8(..6) == 0 {
            let path = format!("/v1/boards/{board}/members/{user}");
            let removal = Command::new("removeMember", Method::DELETE, path, board, Value::Null);
            return Command { other: user.to_owned(), ..removal };
        }
        // More often than not somebody who works.
        let role = ["viewer", "member", "member", "admin"][self.random.usize(..4)];
        Command::admit(board, user, role)
    }

    fn on_a_board(&mut self, known: &Known, board: &str) -> Command {
        let path = format!("/v1/boards/{board}");
        match self.random.u8(..12) {
            0 => Command::new("deleteBoard", Method::DELETE, path, board, Value::Null),
            1 | 2 if known.boards.len() < 4 => Command::found("Later"),
            _ => {
                let name = format!("Board {}", self.random.u8(..));
                Command::new("updateBoard", Method::PATCH, path, board, json!({"name": name}))
            }
        }
    }

    fn user(&mut self) -> &'static str {
        self.users[self.random.usize(..self.users.len())]
    }

    fn state(&mut self, known: &Known, board: &str) -> Option<String> {
        let states = known.states.get(board)?;
        self.random.choice(states).cloned()
    }
}

/// One of the last `count`.
fn recent<'a, T>(random: &mut Rng, all: &'a [T], count: usize) -> Option<&'a T> {
    random.choice(&all[all.len().saturating_sub(count)..])
}
