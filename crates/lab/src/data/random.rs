//! Numbers and texts that look random and are the same every time (splitmix64).

/// A stream of numbers that belongs to one thing, for instance one row.
pub(crate) struct Random(u64);

const WORDS: [&str; 64] = [
    "account",
    "active",
    "alert",
    "api",
    "application",
    "backend",
    "billing",
    "buyer",
    "charge",
    "client",
    "config",
    "contract",
    "cost",
    "created",
    "daily",
    "default",
    "deploy",
    "developer",
    "domain",
    "endpoint",
    "error",
    "event",
    "expired",
    "failed",
    "feature",
    "gateway",
    "header",
    "hits",
    "hourly",
    "integration",
    "invoice",
    "key",
    "limit",
    "live",
    "mapping",
    "message",
    "method",
    "metric",
    "monthly",
    "month",
    "name",
    "Größe",
    "order",
    "payment",
    "pending",
    "plan",
    "policy",
    "portal",
    "product",
    "provider",
    "proxy",
    "rate",
    "referrer",
    "request",
    "response",
    "route",
    "service",
    "state",
    "tenant",
    "token",
    "traffic",
    "updated",
    "usage",
    "日本語",
];

impl Random {
    pub(crate) fn of(seed: u64, what: &str, number: u64) -> Self {
        let mut state = seed ^ 0xcbf2_9ce4_8422_2325;
        for byte in what.bytes() {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Self(state ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31))
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to, not including, `bound`.
    pub(crate) const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// Hexadecimal digits, as 3scale's tokens and keys are.
    pub(crate) fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 16);
        while text.len() < digits {
            let number = self.next();
            text.extend((0..16).map(|nibble| char::from(b"0123456789abcdef"[(number >> (nibble * 4) & 15) as usize])));
        }
        text.truncate(digits);
        text
    }

    /// Words, at least so many bytes.
    pub(crate) fn words(&mut self, bytes: usize, text: &mut String) {
        let end = text.len() + bytes;
        while text.len() < end {
            let mut number = self.next();
            for _ in 0..8 {
                text.push_str(WORDS[(number & 63) as usize]);
                text.push(' ');
                number >>= 6;
            }
        }
        text.pop();
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.next().to_le_bytes();
            let length = chunk.len();
            chunk.copy_from_slice(&random[..length]);
        }
    }
}
