//! Decimal text → the bytes of its unscaled value: big-endian two's complement, as few as hold it.
//!
//! That is what Kafka Connect's `Decimal` carries, which Debezium writes for `numeric` and `money`; its `scale` says how
//! many of the digits stand behind the point.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Ten to the power of how many digits one limb of 64 bits takes at a time.
const CHUNK_DIGITS: usize = 19;
/// A number of so many digits fits an `i128`.
const SMALL_DIGITS: usize = 38;

/// A number as PostgreSQL writes it, taken apart.
pub(super) struct Decimal<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Decimal<'a> {
    /// `None` if the text is no plain decimal number, as `NaN` and `Infinity` are not.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix(b"-") {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let point = memchr::memchr(b'.', digits).unwrap_or(digits.len());
        let (whole, fraction) = digits.split_at(point);
        let fraction = fraction.strip_prefix(b".").unwrap_or(fraction);
        let plain = !whole.is_empty() && whole.iter().chain(fraction).all(u8::is_ascii_digit);
        plain.then_some(Self { negative, whole, fraction })
    }

    /// Without the zeros that end its fraction.
    pub(super) fn trimmed(mut self) -> Self {
        while let Some(shorter) = self.fraction.strip_suffix(b"0") {
            self.fraction = shorter;
        }
        self
    }

    /// How many digits stand behind the point.
    pub(super) const fn scale(&self) -> usize {
        self.fraction.len()
    }

    /// Writes the value times ten to the power of `scale` as base64 in quotes; `false`, and nothing, if that is not
    /// whole.
    #[must_use]
    pub(super) fn write_unscaled(&self, scale: i32, out: &mut Vec<u8>) -> bool {
        let shift = usize::try_from(scale.unsigned_abs()).unwrap_or(usize::MAX);
        let (whole, fraction, zeros) = if scale < 0 {
            let end = self.whole.len().saturating_sub(shift);
            let (kept, cut) = self.whole.split_at(end);
            if cut.iter().chain(self.fraction).any(|digit| *digit != b'0') {
                return false;
            }
            (kept, &self.fraction[..0], 0)
        } else if self.fraction.len() <= shift {
            (self.whole, self.fraction, shift - self.fraction.len())
        } else {
            let (kept, cut) = self.fraction.split_at(shift);
            if cut.iter().any(|digit| *digit != b'0') {
                return false;
            }
            (self.whole, kept, 0)
        };
        // Numbers of PostgreSQL have at most 16,383 digits behind the point, and so has a type's scale.
        if zeros > usize::from(u16::MAX) {
            return false;
        }
        out.push(b'"');
        if whole.len() + fraction.len() + zeros <= SMALL_DIGITS {
            let digits =
                whole.iter().chain(fraction).fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
            let zeros = u32::try_from(zeros).expect("at most 38");
            let magnitude = digits * 10_i128.pow(zeros);
            write_small(if self.negative { -magnitude } else { magnitude }, out);
        } else {
            let digits: Vec<u8> =
                whole.iter().chain(fraction).copied().chain(std::iter::repeat_n(b'0', zeros)).collect();
            encode(&two_complement(&digits, self.negative), out);
        }
        out.push(b'"');
        true
    }
}

fn write_small(number: i128, out: &mut Vec<u8>) {
    let bytes = number.to_be_bytes();
    let sign = if number < 0 { u8::MAX } else { 0 };
    // A leading byte says nothing if the next one has the same sign by itself.
    let redundant = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[1] ^ sign) < 0x80).count();
    encode(&bytes[redundant..], out);
}

/// For numbers of any length; `digits` are ASCII digits.
fn two_complement(digits: &[u8], negative: bool) -> Vec<u8> {
    let mut limbs: Vec<u64> = Vec::with_capacity(digits.len() / CHUNK_DIGITS + 1);
    for chunk in digits.chunks(CHUNK_DIGITS) {
        let base = 10_u64.pow(u32::try_from(chunk.len()).expect("at most 19"));
        let mut carry = chunk.iter().fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        for limb in &mut limbs {
            let product = u128::from(*limb) * u128::from(base) + u128::from(carry);
            (*limb, carry) = halves(product);
        }
        if carry != 0 {
            limbs.push(carry);
        }
    }
    // One more limb holds the sign.
    limbs.push(0);
    if negative {
        let mut carry = true;
        for limb in &mut limbs {
            (*limb, carry) = (!*limb).overflowing_add(u64::from(carry));
        }
    }
    let bytes: Vec<u8> = limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
    let sign = if bytes[0] >= 0x80 { u8::MAX } else { 0 };
    let redundant = bytes.windows(2).take_while(|pair| pair[0] == sign && (pair[1] ^ sign) < 0x80).count();
    bytes[redundant..].to_vec()
}

#[expect(clippy::cast_possible_truncation, reason = "the low half and the high half")]
const fn halves(product: u128) -> (u64, u64) {
    (product as u64, (product >> 64) as u64)
}

/// Appends base64.
pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    STANDARD.encode_slice(bytes, &mut out[start..]).expect("four bytes for each three");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unscaled(text: &str, scale: i32) -> String {
        let mut out = Vec::new();
        let decimal = Decimal::parse(text.as_bytes()).expect("a number");
        assert!(decimal.write_unscaled(scale, &mut out), "{text}");
        String::from_utf8(out).expect("base64")
    }

    #[test]
    fn numbers_are_what_debezium_3_6_3_writes() {
        for (text, scale, base64) in [
            ("0", 0, "AA=="),
            ("-0", 0, "AA=="),
            ("-1", 0, "/w=="),
            ("127", 0, "fw=="),
            ("128", 0, "AIA="),
            ("-128", 0, "gA=="),
            ("-129", 0, "/38="),
            ("255", 0, "AP8="),
            ("256", 0, "AQA="),
            ("1.00000", 5, "AYag"),
            ("-99999.99999", 5, "/av0HAE="),
            ("0.00123", 5, "ew=="),
            ("10000000000000000000000000000000000000000", 0, "HWMp8cNcpL+rufVhAAAAAAA="),
            ("1234567890123456789012345678901234567890", 0, "A6DJIHXA2/O4rLxfls4/CtI="),
            ("123456789012345678901234567890.123456789", 9, "XODppWAV/sWq36MorjmBFQ=="),
            ("-1234567890123456789012345678.0123456789", 10, "9rZPCQ/9zOw7tm+xM5i66w=="),
        ] {
            assert_eq!(unscaled(text, scale), format!("\"{base64}\""), "{text}");
        }
    }

    #[test]
    fn long_and_short_numbers_take_the_same_bytes() {
        let mut random = fastrand::Rng::with_seed(4);
        for _ in 0..2_000 {
            let number = random.i128(..) >> random.u32(..128);
            if number.unsigned_abs() >= 10_u128.pow(38) {
                continue;
            }
            let mut short = Vec::new();
            write_small(number, &mut short);
            let mut long = Vec::new();
            encode(&two_complement(number.unsigned_abs().to_string().as_bytes(), number < 0), &mut long);
            assert_eq!(short, long, "{number}");
        }
    }

    #[test]
    fn a_negative_scale_cuts_zeros_and_nothing_else() {
        assert_eq!(unscaled("12300", -2), "\"ew==\"");
        assert_eq!(unscaled("0", -2), "\"AA==\"");
        assert!(!Decimal::parse(b"12345").expect("a number").write_unscaled(-2, &mut Vec::new()));
        assert!(!Decimal::parse(b"1.25").expect("a number").write_unscaled(1, &mut Vec::new()));
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in
            ["", "-", ".", "NaN", "Infinity", "-Infinity", "1e5", "+1", "1,5", "1.5.2", "--1", " 1", "1-"]
        {
            assert!(Decimal::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
