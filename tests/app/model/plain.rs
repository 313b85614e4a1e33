//! What commands do, without a database: each foretells the row that is answered, and what the feed is told.

use std::collections::BTreeMap;

use serde_json::Value;

use super::random::{Command, WAYS};

/// Rows by their ids.
type Rows = BTreeMap<String, Value>;

/// What the feed is told: the board, by whom, of what, what, and of which entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Story {
    board: String,
    actor: String,
    subject: String,
    action: String,
    entry: Option<String>,
}

/// All that there is.
#[derive(Debug)]
pub(super) struct Model {
    boards: Rows,
    /// By board and user.
    members: BTreeMap<(String, String), Value>,
    categories: Rows,
    entries: Rows,
    comments: Rows,
    stories: Vec<Story>,
    /// Those of each board, from left to right; the last is done.
    states: BTreeMap<String, Vec<String>>,
}

impl Story {
    /// As an activity has it.
    pub(super) fn of(row: &Value) -> Self {
        let text = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("no {name}: {row}")).to_owned();
        Self {
            board: text("board_id"),
            actor: text("actor_id"),
            subject: text("subject"),
            action: text("action"),
            entry: row["entry_id"].as_str().map(str::to_owned),
        }
    }
}

impl Model {
    pub(super) fn new(states: BTreeMap<String, Vec<String>>) -> Self {
        let empty = Rows::new;
        Self {
            boards: empty(),
            members: BTreeMap::new(),
            categories: empty(),
            entries: empty(),
            comments: empty(),
            stories: Vec::new(),
            states,
        }
    }

    /// Whether the board is there still.
    pub(super) fn has(&self, story: &Story) -> bool {
        self.boards.contains_key(&story.board)
    }

    /// The rows of a table, if they are foretold.
    pub(super) fn rows(&self, table: &str) -> Option<Vec<Value>> {
        let rows = match table {
            "boards" => &self.boards,
            "categories" => &self.categories,
            "entries" => &self.entries,
            "comments" => &self.comments,
            "board_members" => return Some(self.members.values().cloned().collect()),
            _ => return None,
        };
        Some(rows.values().cloned().collect())
    }

    /// Compares the feed of all boards that there are.
    pub(super) fn agrees_on_activities(&self, held: &[Value]) {
        let mut held: Vec<Story> = held.iter().map(Story::of).collect();
        let mut expected = self.stories.clone();
        held.sort();
        expected.sort();
        assert_eq!(held, expected);
    }

    /// Does what a command has done, and gives what the feed is told of it.
    pub(super) fn apply(&mut self, who: &str, command: &Command, row: &Value) -> Vec<Story> {
        let told = match command.id {
            "createBoard" | "updateBoard" | "deleteBoard" => self.board(who, command, row),
            "putMember" | "removeMember" => self.member(command, row),
            "createCategory" | "updateCategory" | "deleteCategory" => self.category(command, row),
            "createEntry" | "updateEntry" | "deleteEntry" => self.entry(command, row),
            "moveEntry" | "transitEntry" => self.movement(command, row),
            _ => self.comment(who, command, row),
        };
        let stories = told.into_iter().map(|(board, subject, action, entry)| Story {
            board,
            actor: who.to_owned(),
            subject: subject.to_owned(),
            action: action.to_owned(),
            entry,
        });
        let stories: Vec<Story> = stories.collect();
        self.stories.extend(stories.iter().cloned());
        stories
    }

    fn board(&mut self, who: &str, command: &Command, row: &Value) -> Vec<Told> {
        if command.id == "deleteBoard" {
            let board = &command.target;
            self.boards.remove(board).expect("it was there");
            self.members.retain(|(of, _), _| of != board);
            for rows in [&mut self.categories, &mut self.entries, &mut self.comments] {
                rows.retain(|_, row| row["board_id"] != **board);
            }
            self.stories.retain(|story| story.board != *board);
            return Vec::new();
        }
        let id = id(row);
        let action = match self.boards.get(&id) {
            None => {
                is_new(command, row);
                let member = serde_json::json!({"board_id": id, "user_id": who, "role": "admin", "shares_contact": false});
                self.members.insert((id.clone(), who.to_owned()), member);
                "created"
            }
            Some(before) => {
                is_changed(command, before, row, &[]);
                "edited"
            }
        };
        self.boards.insert(id.clone(), row.clone());
        vec![(id, "board", action, None)]
    }

    fn member(&mut self, command: &Command, row: &Value) -> Vec<Told> {
        let (board, user) = (command.target.clone(), command.other.clone());
        let key = (board.clone(), user.clone());
        if command.id == "removeMember" {
            self.members.remove(&key).expect("they were there");
            let theirs = self.entries.values_mut();
            for entry in theirs.filter(|it| it["board_id"] == *board && it["assignee_id"] == *user) {
                entry["assignee_id"] = Value::Null;
                entry["version"] = (entry["version"].as_i64().expect("a number") + 1).into();
                // When that was nobody was told.
                entry["updated_at"] = Value::Null;
            }
            return vec![(board, "member", "removed", None)];
        }
        assert_eq!((&row["user_id"], &row["role"]), (&user.into(), &command.body["role"]), "{command:?}");
        let before = self.members.insert(key, row.clone());
        vec![(board, "member", if before.is_some() { "changed" } else { "added" }, None)]
    }

    fn category(&mut self, command: &Command, row: &Value) -> Vec<Told> {
        if command.id == "deleteCategory" {
            let gone = self.categories.remove(&command.target).expect("it was there");
            let held = self.entries.values().any(|entry| entry["category_id"] == gone["id"]);
            assert!(!held, "deleted while entries are in it: {gone}");
            return vec![(board_of(&gone), "category", "deleted", None)];
        }
        let action = match self.categories.get(&command.target) {
            Some(before) if command.id == "updateCategory" => {
                is_changed(command, before, row, &[]);
                "edited"
            }
            _ => {
                is_new(command, row);
                "created"
            }
        };
        self.categories.insert(id(row), row.clone());
        vec![(board_of(row), "category", action, None)]
    }

    fn entry(&mut self, command: &Command, row: &Value) -> Vec<Told> {
        if command.id == "deleteEntry" {
            let gone = self.entries.remove(&command.target).expect("it was there");
            self.comments.retain(|_, comment| comment["entry_id"] != gone["id"]);
            return vec![(board_of(&gone), "entry", "deleted", Some(id(&gone)))];
        }
        let mut told = Vec::new();
        let mut tell = |action| told.push((board_of(row), "entry", action, Some(id(row))));
        let before = if command.id == "createEntry" {
            is_new(command, row);
            tell("created");
            Value::Null
        } else {
            let before = self.entries[&command.target].clone();
            is_changed(command, &before, row, &[]);
            let columns = ["title", "body", "priority", "labels", "category_id"];
            if columns.iter().any(|column| before[column] != row[column]) {
                tell("edited");
            }
            before
        };
        if before["assignee_id"] != row["assignee_id"] {
            tell("assigned");
        }
        self.is_as_its_state_wants(row);
        if let Some(assignee) = row["assignee_id"].as_str() {
            let key = (board_of(row), assignee.to_owned());
            assert!(self.members.contains_key(&key), "answered for by a stranger: {row}");
        }
        self.entries.insert(id(row), row.clone());
        told
    }

    fn movement(&mut self, command: &Command, row: &Value) -> Vec<Told> {
        let before = self.entries[&command.target].clone();
        is_changed(command, &before, row, &["state_id", "position", "started_at", "closed_at"]);
        let states = &self.states[&board_of(row)];
        let way =
            WAYS.iter().find(|(way, _)| *way == command.other).map(|(_, to)| Value::from(&*states[*to]));
        let wanted = way.or_else(|| command.body.get("state").cloned());
        assert_eq!(row["state_id"], wanted.unwrap_or_else(|| before["state_id"].clone()), "{command:?}");
        self.is_as_its_state_wants(row);
        let done = |row: &Value| row["closed_at"].is_string();
        let action = match (done(&before), done(row)) {
            (false, true) => "closed",
            (true, false) => "reopened",
            _ => "moved",
        };
        if done(&before) && done(row) {
            assert_eq!(before["closed_at"], row["closed_at"], "{command:?}");
        }
        if before["started_at"].is_string() {
            assert_eq!(before["started_at"], row["started_at"], "{command:?}");
        }
        self.entries.insert(id(row), row.clone());
        vec![(board_of(row), "entry", action, Some(id(row)))]
    }

    fn comment(&mut self, who: &str, command: &Command, row: &Value) -> Vec<Told> {
        let (action, row) = match command.id {
            "createComment" => {
                is_new(command, row);
                assert_eq!((&row["author_id"], &row["entry_id"]), (&who.into(), &(&*command.target).into()));
                self.comments.insert(id(row), row.clone());
                ("commented", row.clone())
            }
            "updateComment" => {
                is_changed(command, &self.comments[&command.target], row, &[]);
                self.comments.insert(id(row), row.clone());
                ("edited", row.clone())
            }
            _ => ("deleted", self.comments.remove(&command.target).expect("it was there")),
        };
        let entry = row["entry_id"].as_str().map(str::to_owned);
        vec![(board_of(&row), "comment", action, entry)]
    }

    fn is_as_its_state_wants(&self, row: &Value) {
        let states = &self.states[&board_of(row)];
        let is_done = states.last().is_some_and(|done| row["state_id"] == **done);
        assert_eq!(row["closed_at"].is_string(), is_done, "{row}");
        // Work begins where a card leaves the first state for the first time.
        let is_begun = states.first().is_none_or(|open| row["state_id"] != **open);
        assert!(row["started_at"].is_string() || !is_begun, "{row}");
    }
}

/// As [`Story`], without who.
type Told = (String, &'static str, &'static str, Option<String>);

fn id(row: &Value) -> String {
    row["id"].as_str().unwrap_or_else(|| panic!("no id: {row}")).to_owned()
}

fn board_of(row: &Value) -> String {
    row["board_id"].as_str().unwrap_or_else(|| panic!("no board: {row}")).to_owned()
}

/// A new row says what was asked.
fn is_new(command: &Command, row: &Value) {
    assert_eq!(row["version"], 1, "{command:?}: {row}");
    for (name, value) in command.body.as_object().expect("a body") {
        assert_eq!(row[name], *value, "`{name}` of {command:?}: {row}");
    }
}

/// A changed row is the next version of what it was, with what was asked, and otherwise but for `free` the same.
fn is_changed(command: &Command, before: &Value, row: &Value, free: &[&str]) {
    let next = before["version"].as_i64().expect("a number") + 1;
    assert_eq!(row["version"], next, "{command:?}: {row} after {before}");
    if let Some(read) = command.body.get("version") {
        assert_eq!(before["version"], *read, "a stale version was taken: {command:?}");
    }
    for (name, value) in row.as_object().expect("a row") {
        if name == "version" || name == "updated_at" || free.contains(&name.as_str()) {
            continue;
        }
        let expected = command.body.get(name).unwrap_or(&before[name]);
        assert_eq!(value, expected, "`{name}` of {command:?}: {row} after {before}");
    }
}

/// What is held is what is foretold, but for what is foretold of nobody: `null` times, and when a founder became an admin.
pub(super) fn must_agree(table: &str, held: &[Value], expected: &[Value]) {
    let whole = |row: &Value| {
        let mut row = row.clone();
        let members = row.as_object_mut().expect("rows are objects");
        if table == "board_members" {
            members.remove("created_at");
        }
        if table == "entries" {
            members.remove("updated_at");
        }
        row.to_string()
    };
    let sorted = |rows: &[Value]| {
        let mut rows: Vec<String> = rows.iter().map(whole).collect();
        rows.sort();
        rows
    };
    assert_eq!(sorted(held), sorted(expected), "{table}");
}
