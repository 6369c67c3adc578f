//! How fast lines are sent.

/// An open or a closed loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many lines a second over all senders, on a schedule that does not wait for answers.
    PerSecond(f64),
    /// As fast as answers come.
    Max,
}

impl Pace {
    /// When line number `n` is due, in microseconds after the beginning; `None` without a schedule.
    pub fn due_us(self, n: u64) -> Option<u64> {
        match self {
            Self::PerSecond(rate) => Some((n as f64 * 1e6 / rate) as u64),
            Self::Max => None,
        }
    }
}

impl std::str::FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Self::PerSecond(rate)),
            _ => Err(format!("{text}: neither a number above 0 nor max")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_schedule_and_max_is_none() {
        assert_eq!("4".parse::<Pace>().unwrap().due_us(2), Some(500_000));
        assert_eq!("max".parse::<Pace>().unwrap().due_us(2), None);
        assert!("0".parse::<Pace>().is_err() && "-1".parse::<Pace>().is_err());
    }
}
