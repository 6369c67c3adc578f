//! Counting within the last minute, in eight bytes and a number.

const WINDOW_MS: u64 = 60_000;

/// How often something happened since the window began; a window lasts a minute.
#[derive(Debug, Clone, Copy, Default)]
pub struct MinuteCounter {
    began_ms: u64,
    count: u32,
}

impl MinuteCounter {
    /// Counts one more; answers how many that makes.
    pub const fn count(&mut self, now_ms: u64) -> u32 {
        if self.count == 0 || now_ms >= self.began_ms + WINDOW_MS {
            *self = Self { began_ms: now_ms, count: 0 };
        }
        self.count += 1;
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_anew_after_a_minute() {
        let mut window = MinuteCounter::default();
        assert_eq!((window.count(5), window.count(59_999), window.count(60_004)), (1, 2, 3));
        assert_eq!(window.count(60_005), 1);
    }
}
