/// Declares an enum whose variants have a fixed name on the wire, and the list of all of them.
macro_rules! wire_names {
    ($(#[$about:meta])* $enum:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $enum {
            $($(#[$doc])* $variant,)*
        }

        impl $enum {
            /// Every one there is, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(super) use wire_names;

wire_names! {
    /// Why a request was refused or a subscription ended. Stable: clients switch on them.
    ErrorCode {
        /// The frame has an unknown type or field, lacks one, or has a value of the wrong form.
        BadRequest = "bad_request",
        /// The `id` is in use on this socket; the subscription that has it goes on.
        DuplicateId = "duplicate_id",
        /// No subscription has this `id`.
        UnknownSubscription = "unknown_subscription",
        /// No such table, or it is not published.
        UnknownTable = "unknown_table",
        /// There is such a relation, but its kind has no changes to follow.
        RelationUnsupported = "relation_unsupported",
        /// The table has no such column, or it is not published.
        UnknownColumn = "unknown_column",
        /// The channel's name is not valid.
        UnknownChannel = "unknown_channel",
        /// The filter is not an expression.
        FilterSyntax = "filter_syntax",
        /// The filter uses what cannot be evaluated exactly as PostgreSQL would.
        FilterUnsupported = "filter_unsupported",
        /// A literal or parameter of the filter does not fit the column's type.
        FilterType = "filter_type",
        /// A row made the filter raise.
        FilterError = "filter_error",
        /// A row-level security policy cannot be enforced exactly on the stream.
        PolicyUnsupported = "policy_unsupported",
        /// A row made a policy raise.
        PolicyError = "policy_error",
        /// The filter reads a column that the old images of rows do not carry.
        ReplicaIdentity = "replica_identity",
        /// The table has no key by which a row could be named.
        NoKey = "no_key",
        /// No valid token.
        Unauthenticated = "unauthenticated",
        /// The role may not.
        Forbidden = "forbidden",
        /// The socket holds as many subscriptions as it may.
        TooManySubscriptions = "too_many_subscriptions",
        /// The request or what it asks for is larger than it may be.
        TooLarge = "too_large",
        /// Too many requests in too short a time.
        RateLimited = "rate_limited",
        /// PostgreSQL or another server behind this one cannot be reached now.
        Unavailable = "unavailable",
        /// A fault of this server's own; its log has the reason.
        Internal = "internal",
    }
}

wire_names! {
    /// Why a subscription starts over.
    ResyncReason {
        /// The cursor's place is no longer in the journal.
        CursorExpired = "cursor_expired",
        /// The cursor is garbage, from elsewhere, or names no end of a transaction.
        CursorInvalid = "cursor_invalid",
        /// The journal began a new life: the slot was lost, or PostgreSQL is another one.
        SourceReset = "source_reset",
        /// The reader was slower than the journal is long.
        SlowReader = "slow_reader",
        /// The table was redefined, rewritten or re-keyed.
        SchemaChanged = "schema_changed",
        /// Who may see what has changed.
        PermissionsChanged = "permissions_changed",
        /// One transaction was larger than is held for netting.
        LargeTransaction = "large_transaction",
    }
}

/// The WebSocket close codes that the server sends, each with what the client does.
///
/// See <https://www.rfc-editor.org/rfc/rfc6455#section-7.4>; 4000 to 4999 are the application's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The server is going away: return at once elsewhere, with cursors.
    GoingAway,
    /// The frame is larger than it may be: do not return.
    FrameTooLarge,
    /// The frame was not text, not UTF-8, or not a JSON object: do not return.
    NotAnObject,
    /// Token refused or expired: fetch a new one, return once. Carries why, in one word, as its reason.
    Unauthorized(&'static str),
    /// Not allowed (origin): do not return.
    Forbidden,
    /// Nothing was heard in time: back off.
    TimedOut,
    /// Cannot keep up even after a resync: back off.
    TooSlow,
    /// Too fast, or too many: back off.
    TooFast,
}

impl CloseCode {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::FrameTooLarge => 1009,
            Self::NotAnObject => 4400,
            Self::Unauthorized(_) => 4401,
            Self::Forbidden => 4403,
            Self::TimedOut => 4408,
            Self::TooSlow => 4409,
            Self::TooFast => 4429,
        }
    }
}
