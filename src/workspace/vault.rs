use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};

/// Encrypts what of people nobody is to read in the database, its log or its backups.
///
/// AES-256-GCM with a random nonce. The value's owner and column are part of what is authenticated, so that no value can
/// be put in another's place. Text form: `v1.<key>.<base64 of nonce and ciphertext>`.
///
/// See <https://www.rfc-editor.org/rfc/rfc5116>.
#[derive(Clone)]
pub struct Vault(Arc<Keys>);

/// The keys, by their ids; the first encrypts, all decrypt. `Debug` shows the ids alone.
///
/// Text form: `id:base64 of 32 bytes`, several of them apart by commas.
#[derive(Clone, Default)]
pub struct Keys {
    first: Option<String>,
    by_id: BTreeMap<String, LessSafeKey>,
}

/// A text that is no list of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be keys as id:base64, apart by commas, each of 32 random bytes, as `openssl rand -base64 32` makes them; an id is up to 32 letters and digits"
)]
pub struct InvalidKeys;

/// A value that cannot be decrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// No such key is configured.
    #[error("its key `{0}` is not among `app.contact_keys`")]
    Key(String),
    /// It is not what was written for this owner and column with this key.
    #[error("it was not written by this server with its key `{0}`")]
    Forged(String),
    /// It has not the form of such values.
    #[error("it has not the form v1.<key>.<base64>")]
    Form,
}

/// No nonce could be had from the operating system, or there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing can be encrypted: `app.contact_keys` is empty, or the system gives no random numbers")]
pub struct NoKey;

impl Vault {
    /// Of these keys.
    pub fn new(keys: Keys) -> Self {
        Self(Arc::new(keys))
    }

    /// Whether there is a key to encrypt with.
    pub fn is_open(&self) -> bool {
        self.0.first.is_some()
    }

    /// The id of the key that encrypts.
    pub fn current(&self) -> Option<&str> {
        self.0.first.as_deref()
    }

    /// Encrypts a value for the column of an owner's row.
    ///
    /// # Errors
    /// [`NoKey`].
    pub fn seal(&self, owner: &str, column: &str, value: &str) -> Result<String, NoKey> {
        let id = self.0.first.as_ref().ok_or(NoKey)?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| NoKey)?;
        let mut sealed = value.as_bytes().to_vec();
        let key = &self.0.by_id[id];
        let about = about(id, owner, column);
        let nonce_of = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce_of, Aad::from(about), &mut sealed).map_err(|_| NoKey)?;
        let bytes = [&nonce[..], &sealed].concat();
        Ok(format!("v1.{id}.{}", STANDARD_NO_PAD.encode(bytes)))
    }

    /// Decrypts what [`Vault::seal`] gave for the same owner and column.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn open(&self, owner: &str, column: &str, sealed: &str) -> Result<String, Unreadable> {
        let (id, text) =
            sealed.strip_prefix("v1.").and_then(|rest| rest.split_once('.')).ok_or(Unreadable::Form)?;
        let key = self.0.by_id.get(id).ok_or_else(|| Unreadable::Key(id.to_owned()))?;
        let mut bytes = STANDARD_NO_PAD.decode(text).map_err(|_| Unreadable::Form)?;
        let nonce = bytes.get(..NONCE_LEN).and_then(|nonce| Nonce::try_assume_unique_for_key(nonce).ok());
        let nonce = nonce.ok_or(Unreadable::Form)?;
        let forged = || Unreadable::Forged(id.to_owned());
        let mut rest = bytes.split_off(NONCE_LEN);
        let opened = key.open_in_place(nonce, Aad::from(about(id, owner, column)), &mut rest);
        let opened = opened.map_err(|_| forged())?;
        String::from_utf8(opened.to_vec()).map_err(|_| forged())
    }
}

/// Each part with its length before it: no two triples come to the same bytes.
fn about(id: &str, owner: &str, column: &str) -> Vec<u8> {
    let mut about = Vec::new();
    for part in [id, owner, column] {
        about.extend_from_slice(&(part.len() as u64).to_be_bytes());
        about.extend_from_slice(part.as_bytes());
    }
    about
}

impl FromStr for Keys {
    type Err = InvalidKeys;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut keys = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (id, encoded) = part.split_once(':').ok_or(InvalidKeys)?;
            let named = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let bytes = STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).map_err(|_| InvalidKeys)?;
            let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| InvalidKeys)?;
            if !named || keys.by_id.insert(id.to_owned(), LessSafeKey::new(key)).is_some() {
                return Err(InvalidKeys);
            }
            keys.first.get_or_insert_with(|| id.to_owned());
        }
        Ok(keys)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_id.keys()).finish()
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Vault").field(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn vault(keys: &[(&str, u8)]) -> Vault {
        let texts: Vec<_> =
            keys.iter().map(|(id, byte)| format!("{id}:{}", STANDARD.encode([*byte; 32]))).collect();
        Vault::new(texts.join(", ").parse().expect("valid"))
    }

    #[test]
    fn a_value_opens_for_its_own_owner_and_column_with_its_own_key_alone() {
        let old = vault(&[("2025", 1)]);
        let sealed = old.seal("ada", "email", "ada@example.com").expect("there is a key");
        assert!(sealed.starts_with("v1.2025.") && !sealed.contains("ada"), "{sealed}");
        assert_ne!(sealed, old.seal("ada", "email", "ada@example.com").expect("there is a key"));
        assert_eq!(old.open("ada", "email", &sealed).as_deref(), Ok("ada@example.com"));
        for (owner, column) in [("ben", "email"), ("ada", "phone"), ("adae", "mail")] {
            assert!(matches!(old.open(owner, column, &sealed), Err(Unreadable::Forged(_))));
        }
        let both = vault(&[("2026", 2), ("2025", 1)]);
        assert_eq!(both.open("ada", "email", &sealed).as_deref(), Ok("ada@example.com"));
        assert_eq!(both.current(), Some("2026"));
        assert_eq!(vault(&[("2026", 2)]).open("ada", "email", &sealed), Err(Unreadable::Key("2025".into())));
        let forged = vault(&[("2025", 9)]).open("ada", "email", &sealed);
        assert_eq!(forged, Err(Unreadable::Forged("2025".into())));
    }

    #[test]
    fn what_is_no_value_is_refused_whatever_it_is() {
        let vault = vault(&[("a", 1)]);
        let sealed = vault.seal("ada", "email", "x").expect("there is a key");
        for end in 0..sealed.len() {
            assert!(vault.open("ada", "email", &sealed[..end]).is_err(), "{end}");
        }
        for text in ["", "v1", "v1.a", "v1.a.", "v1.a.!", "v2.a.AAAA"] {
            assert!(vault.open("ada", "email", text).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_that_are_none_are_refused_and_no_key_is_no_vault() {
        let short = STANDARD.encode([1; 16]);
        let long = STANDARD.encode([1; 32]);
        for text in ["x", "a:x", &format!("a:{short}"), &format!("a b:{long}"), &format!("a:{long},a:{long}")]
        {
            assert_eq!(text.parse::<Keys>().map(drop), Err(InvalidKeys), "{text}");
        }
        let closed = Vault::new("".parse().expect("none"));
        assert!(!closed.is_open());
        assert_eq!(closed.seal("ada", "email", "x"), Err(NoKey));
        assert!(!format!("{:?}", self::vault(&[("a", 1)])).contains("AQEB"));
    }
}
