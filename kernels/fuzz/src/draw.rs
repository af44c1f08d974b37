//! Choices and numbers from a fuzzer's bytes.

use arbitrary::{Result, Unstructured};

/// A source of choices; when its bytes are used up, everything is the least that it can be.
pub struct Draw<'a> {
    bytes: Unstructured<'a>,
    /// Magnitudes over the whole range that the format allows, instead of those of fleets.
    wild: bool,
    /// Arcs in single precision.
    pub narrow: bool,
}

impl<'a> Draw<'a> {
    /// Choices from these bytes.
    ///
    /// # Errors
    /// Never.
    pub fn new(bytes: &'a [u8]) -> Result<Self> {
        let mut bytes = Unstructured::new(bytes);
        let (wild, narrow) = (bytes.ratio(1, 4)?, bytes.arbitrary()?);
        Ok(Self {
            bytes,
            wild,
            narrow,
        })
    }

    /// True in so many of so many cases.
    ///
    /// # Errors
    /// Never.
    pub fn chance(&mut self, some: u8, of: u8) -> Result<bool> {
        self.bytes.ratio(some, of)
    }

    /// A whole number, both ends included.
    ///
    /// # Errors
    /// Never.
    pub fn whole(&mut self, least: i64, most: i64) -> Result<i64> {
        self.bytes.int_in_range(least..=most)
    }

    /// A length or an index, both ends included.
    ///
    /// # Errors
    /// Never.
    pub fn count(&mut self, most: usize) -> Result<usize> {
        self.bytes.int_in_range(0..=most)
    }

    /// Any bits.
    ///
    /// # Errors
    /// Never.
    pub fn bits(&mut self) -> Result<u64> {
        self.bytes.arbitrary()
    }

    /// A number from 0 on that the format allows.
    ///
    /// # Errors
    /// Never.
    pub fn amount(&mut self) -> Result<f64> {
        let kind = self.whole(0, if self.wild { 11 } else { 8 })?;
        let byte = f64::from(self.bytes.arbitrary::<u8>()?);
        Ok(match kind {
            0 => 0.0,
            1 => 1.0,
            2..=5 => byte / 100.0,
            6 => byte,
            7 => byte / 7.0,
            8 => 1.0 / (byte + 1.0),
            9 => byte * 1e12,
            10 => (byte + 1.0) * if self.narrow { 1e-37 } else { 1e-60 },
            _ => {
                let value = f64::from_bits(self.bits()?).abs();
                if (1e-35..=1e15).contains(&value) {
                    value
                } else {
                    1e15 * (1.0 - f64::EPSILON)
                }
            }
        })
    }

    /// A number that may be below 0.
    ///
    /// # Errors
    /// Never.
    pub fn cost(&mut self) -> Result<f64> {
        let sign = if self.chance(1, 5)? { -1.0 } else { 1.0 };
        Ok(sign * self.amount()?)
    }

    /// A count of units or replicas; mostly few, so that all plans can be looked at.
    ///
    /// # Errors
    /// Never.
    pub fn units(&mut self) -> Result<i64> {
        Ok(match self.whole(0, 15)? {
            15 => 300_000_000,
            14 => self.whole(0, 1_000)?,
            few => few % 5,
        })
    }
}

/// So many bytes from a seed (`SplitMix64`), for problems that are larger than a fuzzer's input.
#[must_use]
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend((word ^ (word >> 31)).to_le_bytes());
    }
    bytes
}
