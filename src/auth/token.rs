use serde_json::Value;

use super::key::{Key, KeySet};
use super::{Algorithm, Refusal, base64url, strict};

/// A token whose header has been read, and nothing behind it: nothing of it is to be believed yet.
pub(super) struct Token<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    /// What is signed: header and payload as they were sent.
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Reads the header of a token in the compact form.
    ///
    /// See <https://www.rfc-editor.org/rfc/rfc7515#section-5.2>.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] before anything is read; then what is wrong with its form, or its algorithm.
    pub(super) fn parse(text: &'a str, most_bytes: usize) -> Result<Self, Refusal> {
        if text.len() > most_bytes {
            return Err(Refusal::TooLarge);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refusal::Malformed)?;
        // Five parts would be an encrypted token.
        let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
        if payload.contains('.') {
            return Err(Refusal::Malformed);
        }
        let mut header = strict::object(&decoded(header)?)?;
        // No extension is known: RFC 7515, section 4.1.11. Neither is the one that comes without (RFC 7797).
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(Refusal::Critical);
        }
        let algorithm = match header.get("alg") {
            Some(Value::String(name)) => name.parse().map_err(|_| Refusal::Algorithm)?,
            _ => return Err(Refusal::Malformed),
        };
        let key_id = match header.remove("kid") {
            None => None,
            Some(Value::String(id)) => Some(id),
            Some(_) => return Err(Refusal::Malformed),
        };
        Ok(Self { algorithm, key_id, signed, payload, signature: decoded(signature)? })
    }

    /// Whether it says which key has signed it.
    pub(super) const fn names_key(&self) -> bool {
        self.key_id.is_some()
    }

    /// The claims, as they were signed, by one of `keys`.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`] if no key of the set can have signed it: a fresher set may. [`Refusal::Algorithm`] and
    /// [`Refusal::Signature`] if that would not change with one.
    pub(super) fn claims(&self, keys: &KeySet, allowed: &[Algorithm]) -> Result<String, Refusal> {
        if !allowed.contains(&self.algorithm) {
            return Err(Refusal::Algorithm);
        }
        let mut named = keys.named(self.key_id.as_deref()).peekable();
        if named.peek().is_none() {
            return Err(Refusal::UnknownKey);
        }
        let mut serving = named.filter(|key| key.serves(self.algorithm)).peekable();
        if serving.peek().is_none() {
            return Err(Refusal::Algorithm);
        }
        let holds = |key: &Key| key.verify(self.algorithm, self.signed.as_bytes(), &self.signature);
        if !serving.any(holds) {
            return Err(Refusal::Signature);
        }
        String::from_utf8(decoded(self.payload)?).map_err(|_| Refusal::Malformed)
    }
}

fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    base64url::decode(part).ok_or(Refusal::Malformed)
}
