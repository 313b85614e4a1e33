/// Why nobody is let in by this token.
///
/// The word is stable: it is the reason of close 4401, stands in problem responses, and labels a metric. It tells what
/// the bearer may know of its own token, and nothing of the server's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is none, and nobody is let in without.
    #[error("a token is needed")]
    Missing,
    /// It is larger than `auth.jwt.max_bytes`: nothing of it was read.
    #[error("the token is larger than the server takes")]
    TooLarge,
    /// It is not a signed token in the compact form, or a claim is not of the type that it has to be.
    #[error("the token is not a signed JWT, or one of its claims is not of its type")]
    Malformed,
    /// Its header or its claims name something twice: readers would differ in which of them counts.
    #[error("the token names something twice")]
    Duplicate,
    /// Its header says that it must not be taken without an extension, and there are none here.
    #[error("the token asks for an extension that this server does not have")]
    Critical,
    /// The algorithm is not allowed, or not one that the key serves.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// No key that the server knows can have signed it.
    #[error("the token was signed with a key that this server does not know")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("the token's signature does not hold")]
    Signature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// It was issued by another.
    #[error("the token was issued by another")]
    Issuer,
    /// It is for another.
    #[error("the token is for another audience")]
    Audience,
    /// It names no role, or one that is not in `auth.roles`.
    #[error("the token's role is not allowed here")]
    Role,
    /// The session behind a cookie has ended, or never was.
    #[error("there is no such session")]
    Session,
    /// A request that changes something came with a cookie and without the proof that a page of ours sent it.
    #[error("a request by cookie needs the session's `Tidegate-Csrf` header, and an allowed `Origin`")]
    Forgery,
    /// The function of `auth.profile_function` raised: the database does not know its bearer.
    #[error("the database did not take the profile of the token's bearer")]
    Profile,
    /// The keys, the sessions or the database cannot be read now: the same token may be good.
    #[error("the server cannot tell now: what it needs for that is away")]
    Unavailable,
}

impl Refusal {
    /// Every one there is, in the order of the documentation.
    pub const ALL: &[Self] = &[
        Self::Missing,
        Self::TooLarge,
        Self::Malformed,
        Self::Duplicate,
        Self::Critical,
        Self::Algorithm,
        Self::UnknownKey,
        Self::Signature,
        Self::Expired,
        Self::NotYet,
        Self::Issuer,
        Self::Audience,
        Self::Role,
        Self::Session,
        Self::Forgery,
        Self::Profile,
        Self::Unavailable,
    ];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Duplicate => "duplicate_claim",
            Self::Critical => "critical_header",
            Self::Algorithm => "algorithm_not_allowed",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "bad_signature",
            Self::Expired => "expired",
            Self::NotYet => "not_yet_valid",
            Self::Issuer => "wrong_issuer",
            Self::Audience => "wrong_audience",
            Self::Role => "role_not_allowed",
            Self::Session => "unknown_session",
            Self::Forgery => "forgery",
            Self::Profile => "profile_refused",
            Self::Unavailable => "unavailable",
        }
    }
}
