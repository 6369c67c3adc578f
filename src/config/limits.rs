//! `[limits]`: what requests may not exceed. `src/domain/limits.rs` lists the limits that clients are sent.

use serde::Deserialize;

use super::problems::SectionProblems;
use crate::domain::{self, with_limits};

macro_rules! section {
    ($($(#[$doc:meta])* $name:ident: $kind:ty = $default:expr, $least:expr, $most:expr;)+) => {
        /// `[limits]`; every key is explained in `config/default.toml`.
        #[derive(Debug, Clone, Copy, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct LimitsSettings {
            $($(#[$doc])* pub $name: $kind,)+
            /// Other requests of a user in the long run.
            pub requests_per_second: u32,
            /// Other requests of a user at once.
            pub request_burst: u32,
            /// Exports of a user at once.
            pub exports_per_user: usize,
        }

        impl LimitsSettings {
            /// The part that the rules need and clients are sent.
            pub fn to_domain(&self) -> domain::Limits {
                domain::Limits { $($name: self.$name),+ }
            }

            fn validate_ranges(&self, problems: &mut SectionProblems<'_>) {
                $(problems.range(stringify!($name), self.$name, $least, $most);)+
            }
        }
    };
}

with_limits!(section);

impl LimitsSettings {
    pub(super) fn validate(&self, problems: &mut SectionProblems<'_>) {
        self.validate_ranges(problems);
        problems.when(
            self.send_burst < self.sends_per_second,
            "send_burst",
            "is below sends_per_second: write at least that number",
        );
        problems.range("requests_per_second", self.requests_per_second, 1, 1_000_000);
        problems.range("exports_per_user", self.exports_per_user, 1, 1_000);
        problems.range("request_burst", self.request_burst, self.requests_per_second, 10_000_000);
        let parts_bytes =
            self.body_bytes.saturating_add(self.data_bytes.saturating_mul(2)).saturating_add(1_024);
        problems.when(
            parts_bytes > self.frame_bytes,
            "frame_bytes",
            format!(
                "{} cannot hold a message: body_bytes + 2 × data_bytes + 1024 for the rest make {parts_bytes}; write at \
                 least that",
                self.frame_bytes
            ),
        );
    }
}
