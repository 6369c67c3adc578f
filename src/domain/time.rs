//! Wall-clock time as a value.

use std::fmt;
use std::str::FromStr;

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last time that every client can read, in the year 9999: the end of what has none.
    pub const LATEST: Self = Self(253_402_300_799_999);

    /// A time from milliseconds since 1970.
    pub const fn from_unix_ms(unix_ms: i64) -> Self {
        Self(unix_ms)
    }

    /// Milliseconds since 1970.
    pub const fn as_unix_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn as_unix_s(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The time `by_ms` later.
    #[must_use]
    pub const fn plus_ms(self, by_ms: i64) -> Self {
        Self(self.0.saturating_add(by_ms))
    }

    /// Milliseconds from `earlier` to this; negative when `earlier` is later.
    pub const fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds: `2026-01-31T23:59:59.123Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms_of_day) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let (s, ms) = (ms_of_day / 1_000, ms_of_day % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{ms:03}Z", s / 3_600, s / 60 % 60, s % 60)
    }
}

/// A text that is no time as [`Timestamp`] is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTime;

impl FromStr for Timestamp {
    type Err = NoTime;

    /// Reads what [`fmt::Display`] writes, and no other form.
    fn from_str(text: &str) -> Result<Self, NoTime> {
        // No number of a time is longer, and none that is as long overflows below.
        let number = |text: &str| {
            text.get(..12.min(text.len()))
                .filter(|first| *first == text)
                .and_then(|text| text.parse::<i64>().ok())
                .ok_or(NoTime)
        };
        let (date, time) = text.strip_suffix('Z').and_then(|text| text.split_once('T')).ok_or(NoTime)?;
        let [day, month, year] = *date.rsplitn(3, '-').collect::<Vec<_>>() else { return Err(NoTime) };
        let [hour, minute, rest] = *time.splitn(3, ':').collect::<Vec<_>>() else { return Err(NoTime) };
        let (second, ms) = rest.split_once('.').ok_or(NoTime)?;
        let days = days_from_civil(number(year)?, number(month)?, number(day)?);
        let seconds = (number(hour)? * 60 + number(minute)?) * 60 + number(second)?;
        let unix_ms = i128::from(days) * 86_400_000 + i128::from(seconds) * 1_000 + i128::from(number(ms)?);
        let time = Self(i64::try_from(unix_ms).map_err(|_| NoTime)?);
        if time.to_string() == text { Ok(time) } else { Err(NoTime) }
    }
}

/// The inverse of [`civil_from_days`].
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a day count from 1970, in the proleptic Gregorian calendar (years begin in March,
/// so that the leap day is last).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_rfc_3339() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_219_200_123, "2026-11-21T00:00:00.123Z"),
        ] {
            assert_eq!(Timestamp::from_unix_ms(unix_ms).to_string(), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_was_written_is_read(unix_ms: i64) {
            let time = Timestamp::from_unix_ms(unix_ms);
            proptest::prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn other_texts_are_refused(text in "[-0-9TZ:.]{0,30}") {
            let read: Result<Timestamp, NoTime> = text.parse();
            proptest::prop_assert!(read.is_err() || read.is_ok_and(|time| time.to_string() == text));
        }
    }
}
