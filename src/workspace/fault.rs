use crate::postgres;

/// Why a request was refused. Stable: clients switch on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request is not of the form that requests have: its body is no JSON, a header no number.
    BadRequest,
    /// The body or the query says what it may not; each field's fault is told.
    InvalidInput,
    /// Whoever asks is nobody in particular.
    NoUser,
    /// They may not.
    Forbidden,
    /// There is no such row, or none that they may see.
    NotFound,
    /// The row is not as it was when it was read: here it is as it is now.
    StaleVersion,
    /// The workflow has no way from the entry's state to there.
    NoTransition,
    /// It has one, but not for this entry as it is.
    TransitionRefused,
    /// The state holds as many entries as it may.
    WipLimit,
    /// A board needs an admin.
    LastAdmin,
    /// Another row has the name.
    NameTaken,
    /// There are as many as there may be.
    LimitReached,
    /// Other rows hang on it.
    InUse,
    /// The same `Idempotency-Key` came with another request before.
    KeyReused,
    /// Others changed the same rows, again and again: nothing was done.
    Contention,
    /// The request is larger than it may be.
    TooLarge,
    /// The body is of another type than JSON.
    MediaType,
    /// The path answers other methods.
    Method,
    /// PostgreSQL cannot be reached now.
    Unavailable,
    /// A fault of this server's own; its log has the reason.
    Internal,
}

impl Code {
    /// Every one there is, in the order of the documentation.
    pub const ALL: [Self; 20] = [
        Self::BadRequest,
        Self::InvalidInput,
        Self::NoUser,
        Self::Forbidden,
        Self::NotFound,
        Self::StaleVersion,
        Self::NoTransition,
        Self::TransitionRefused,
        Self::WipLimit,
        Self::LastAdmin,
        Self::NameTaken,
        Self::LimitReached,
        Self::InUse,
        Self::KeyReused,
        Self::Contention,
        Self::TooLarge,
        Self::MediaType,
        Self::Method,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The stable name on the wire; the problem's `type` is made of it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::InvalidInput => "invalid_input",
            Self::NoUser => "no_user",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::StaleVersion => "stale_version",
            Self::NoTransition => "no_transition",
            Self::TransitionRefused => "transition_refused",
            Self::WipLimit => "wip_limit",
            Self::LastAdmin => "last_admin",
            Self::NameTaken => "name_taken",
            Self::LimitReached => "limit_reached",
            Self::InUse => "in_use",
            Self::KeyReused => "key_reused",
            Self::Contention => "contention",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::Method => "method",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The status of an answer that says so.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::NoUser | Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::NoTransition
            | Self::TransitionRefused
            | Self::WipLimit
            | Self::LastAdmin
            | Self::NameTaken
            | Self::LimitReached
            | Self::InUse => 409,
            Self::StaleVersion => 412,
            Self::TooLarge => 413,
            Self::MediaType => 415,
            Self::Method => 405,
            Self::InvalidInput | Self::KeyReused => 422,
            Self::Contention | Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }
}

/// What is wrong with one field of a body or a query.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct FieldFault {
    /// Which: its name, of a nested one with those around it, as in `effects/0/assign`. Empty for the whole.
    pub field: String,
    /// What it must be.
    pub message: String,
}

/// A refusal.
#[derive(Debug)]
pub struct Fault {
    /// Why.
    pub code: Code,
    /// The same for people.
    pub detail: String,
    /// Each field's fault.
    pub errors: Vec<FieldFault>,
    /// The row as it is now, in JSON, where that is the reason.
    pub current: Option<Vec<u8>>,
    /// Which command of several it was, counted from 0.
    pub index: Option<usize>,
}

impl Fault {
    /// A refusal.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), current: None, index: None }
    }

    /// There is no such thing, or none that is shown to whoever asks.
    pub fn not_found(what: &str, name: &str) -> Self {
        let name: String = name.chars().take(100).collect();
        Self::new(Code::NotFound, format!("there is no {what} `{name}`, or it is not yours to see"))
    }

    /// Fields are wrong.
    pub fn invalid(errors: Vec<FieldFault>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.field.is_empty() => one.message.clone(),
            [one] => format!("`{}`: {}", one.field, one.message),
            several => format!("{} fields are not what they must be", several.len()),
        };
        Self { errors, ..Self::new(Code::InvalidInput, detail) }
    }

    /// One field is wrong.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldFault { field: field.to_owned(), message: message.into() }])
    }
}

impl From<postgres::Error> for Fault {
    /// What PostgreSQL said, as far as it is a client's business: constraints and policies by their names.
    fn from(error: postgres::Error) -> Self {
        let code = error.code().unwrap_or_default();
        match (code, error.constraint()) {
            ("42501", _) => {
                tracing::debug!(error = %crate::telemetry::Chain(&error), "PostgreSQL did not allow it");
                Self::new(Code::Forbidden, "your role does not let you do that")
            }
            ("23514", Some("workflow_states_wip_limit")) => {
                Self::new(Code::WipLimit, "the state holds as many entries as it may")
            }
            ("23514", Some("boards_admin")) => {
                Self::new(Code::LastAdmin, "a board needs an admin: make somebody else one before")
            }
            ("23505", Some("categories_name" | "workflow_states_name" | "workflow_transitions_name")) => {
                Self::new(Code::NameTaken, "the board has one of this name")
            }
            ("23505", Some("workflow_transitions_ends")) => {
                Self::new(Code::NameTaken, "there is a way between these states: change that one")
            }
            ("23514", Some("entries_assignee")) => Self::field("assignee_id", "is no member of the board"),
            ("23503", Some("entries_state" | "entries_category")) => {
                Self::new(Code::InUse, "entries are in it: move them before, or name one that there is")
            }
            ("23503", Some("alert_rules_entry")) => Self::field("entry_id", "is no entry of the board"),
            ("23503", Some("board_members_user_id_fkey")) => {
                Self::field("user", "nobody of this id has been here")
            }
            // Everybody is known who came with a token, if the server was told to make them known.
            ("23503", Some(unknown)) if is_of_a_person(unknown) => {
                Self::new(Code::NoUser, "the database does not know you: see `auth.profile_function`")
            }
            // The others are between what is there and what belongs to it.
            ("23503", Some(name)) if name.ends_with("_fkey") => {
                Self::new(Code::NotFound, "what this belongs to was deleted just now")
            }
            _ => {
                let told = crate::telemetry::Chain(&error).to_string();
                if error.recovery() == postgres::Recovery::Retry {
                    tracing::warn!(error = %told, "a request found PostgreSQL away or busy");
                    Self::new(Code::Unavailable, "the database cannot be asked now")
                } else {
                    tracing::error!(error = %told, "a request ran into an error of the database");
                    Self::new(Code::Internal, "the server made a mistake; its log says which")
                }
            }
        }
    }
}

/// Whether a foreign key leads to whoever asks.
fn is_of_a_person(constraint: &str) -> bool {
    ["_created_by_fkey", "_user_id_fkey", "_author_id_fkey", "_actor_id_fkey"]
        .iter()
        .any(|end| constraint.ends_with(end))
}
