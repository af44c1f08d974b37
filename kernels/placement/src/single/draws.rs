//! A fixed sequence without pattern: the same on every machine and in every run.

/// xorshift64* (S. Vigna, *An experimental exploration of Marsaglia's xorshift generators, scrambled*, 2016).
pub struct Draws {
    state: u64,
}

impl Draws {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number from 0 to `most - 1`.
    pub fn below(&mut self, most: usize) -> usize {
        let drawn = (u128::from(self.next()) * most as u128) >> 64;
        usize::try_from(drawn).unwrap_or(0)
    }

    /// A number from 0 upwards that exceeds x about as often as e^-x: a geometric whole part and an even fraction,
    /// because a logarithm is not the same on every machine.
    pub fn exponential(&mut self) -> f64 {
        let drawn = self.next();
        let halvings = f64::from(drawn.trailing_zeros());
        let fraction = f64::from(u32::try_from(drawn >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        (halvings + fraction) * std::f64::consts::LN_2
    }
}
