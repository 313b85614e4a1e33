/// A connection text that cannot be used. Names the part at fault, and never shows a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither form.
    #[error(
        "expected a URL as in `postgres://user:password@host:5432/database`, or pairs as in `host=… user=… dbname=…`"
    )]
    Form,
    /// A URL of something else.
    #[error("the URL must start with `postgres://` or `postgresql://`")]
    Scheme,
    /// A parameter without `=`.
    #[error("parameter `{key}` has no value: write `{key}=…`")]
    NoValue {
        /// The parameter.
        key: String,
    },
    /// A blank inside an unquoted value.
    #[error(
        "after the value of `{key}` comes a word without `=`: a value with a blank in it takes single quotes"
    )]
    Blank {
        /// The parameter before the word.
        key: String,
    },
    /// A quoted value without its end.
    #[error("the value of `{key}` starts with a quote and has none at its end")]
    Unterminated {
        /// The parameter.
        key: String,
    },
    /// Percent-encoding that gives no UTF-8.
    #[error("`{part}` is not percent-encoded UTF-8: write `%` itself as `%25`")]
    Encoding {
        /// The part of the URL.
        part: String,
    },
    /// An IPv6 address without its bracket.
    #[error("a host in brackets must read `[address]` or `[address]:port`")]
    Bracket,
    /// A zero byte.
    #[error("the value of `{key}` holds a zero byte")]
    Nul {
        /// The parameter.
        key: String,
    },
    /// A parameter that libpq does not have either.
    #[error("there is no parameter `{key}`{}", nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    Unknown {
        /// The parameter.
        key: String,
        /// The one that was probably meant.
        nearest: Option<&'static str>,
    },
    /// A parameter of libpq that would mean something else here.
    #[error("parameter `{key}` is not supported: {reason}")]
    Unsupported {
        /// The parameter.
        key: String,
        /// Why, and what to do.
        reason: &'static str,
    },
    /// A value that the parameter does not take.
    #[error("parameter `{key}` must be {expected}")]
    Value {
        /// The parameter.
        key: String,
        /// What it takes.
        expected: &'static str,
    },
    /// Lists of different lengths.
    #[error(
        "{hosts} hosts are named and {others} values of `{key}`: name one for each host, or one `port` for all"
    )]
    Lists {
        /// `port` or `hostaddr`.
        key: &'static str,
        /// How many hosts.
        hosts: usize,
        /// How many of the other.
        others: usize,
    },
    /// No user, and the operating system names none.
    #[error("no user is named, and the operating system's could not be read: write `user=…`")]
    NoUser,
}
