//! Presence on one node, as a plain value: counts devices per user, waits before it reports a user offline,
//! and reports only changes.

use std::collections::HashMap;

use crate::bus::Presence;
use crate::domain::{Timestamp, UserId};

/// The connection state of one device of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// On screen.
    Foreground,
    /// Connected, but not looked at.
    Background,
}

#[derive(Debug, Default)]
struct Devices {
    foreground: u32,
    background: u32,
    /// When the last device disconnected. The user is offline once this is long enough ago.
    left: Option<(u64, Timestamp)>,
}

impl Devices {
    fn presence(&self) -> Presence {
        match (self.foreground, self.background, self.left) {
            (1.., _, _) => Presence::Online,
            (0, 1.., _) => Presence::Away,
            // The device may be reconnecting to another node, so the user is not offline yet.
            (0, 0, Some(_)) => Presence::Online,
            (0, 0, None) => Presence::Offline { last_seen: None },
        }
    }

    fn count(&mut self, device: Device) -> &mut u32 {
        match device {
            Device::Foreground => &mut self.foreground,
            Device::Background => &mut self.background,
        }
    }
}

/// This node's devices per user. Bounded by the connections, and by the users who disconnected within the
/// grace time.
#[derive(Debug)]
pub struct ConnectedDevices {
    users: HashMap<UserId, Devices>,
    offline_after_ms: u64,
}

/// A user whose presence changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresenceChanged {
    /// The user whose presence changed.
    pub user: UserId,
    /// The present state.
    pub presence: Presence,
}

impl ConnectedDevices {
    /// An empty state. A user is offline `offline_after_ms` after their last device disconnected.
    pub fn new(offline_after_ms: u64) -> Self {
        Self { users: HashMap::new(), offline_after_ms }
    }

    fn change(&mut self, user: UserId, change: impl FnOnce(&mut Devices)) -> Option<PresenceChanged> {
        let devices = self.users.entry(user).or_default();
        let before = devices.presence();
        change(devices);
        let presence = devices.presence();
        (presence != before).then_some(PresenceChanged { user, presence })
    }

    /// A device connected.
    pub fn connected(&mut self, user: UserId, device: Device) -> Option<PresenceChanged> {
        self.change(user, |devices| {
            rare!(ReconnectBeforeOffline, devices.left.is_some());
            *devices.count(device) += 1;
            devices.left = None;
        })
    }

    /// A device disconnected.
    pub fn disconnected(
        &mut self,
        user: UserId,
        device: Device,
        now_ms: u64,
        now: Timestamp,
    ) -> Option<PresenceChanged> {
        self.change(user, |devices| {
            let count = devices.count(device);
            *count = count.saturating_sub(1);
            if devices.foreground + devices.background == 0 {
                devices.left = Some((now_ms, now));
            }
        })
    }

    /// A device moved between foreground and background.
    pub fn moved(&mut self, user: UserId, from: Device, to: Device) -> Option<PresenceChanged> {
        self.change(user, |devices| {
            let count = devices.count(from);
            *count = count.saturating_sub(1);
            *devices.count(to) += 1;
        })
    }

    /// The users who are offline as of `now_ms`. They are removed from this state.
    pub fn expire(&mut self, now_ms: u64) -> Vec<PresenceChanged> {
        let mut gone = Vec::new();
        let offline_after_ms = self.offline_after_ms;
        self.users.retain(|user, devices| match devices.left {
            Some((left_ms, left_at)) if now_ms >= left_ms + offline_after_ms => {
                gone.push(PresenceChanged {
                    user: *user,
                    presence: Presence::Offline { last_seen: Some(left_at) },
                });
                false
            }
            _ => true,
        });
        gone
    }

    /// The state of a user on this node; `None` when it knows nothing.
    pub fn of(&self, user: UserId) -> Option<Presence> {
        self.users.get(&user).map(Devices::presence)
    }

    /// How many users are known here.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether no user is known here.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const GRACE_MS: u64 = 5_000;

    fn user() -> UserId {
        UserId::from_uuid(Uuid::from_u128(1))
    }

    fn said(changed: Option<PresenceChanged>) -> Option<Presence> {
        changed.map(|changed| changed.presence)
    }

    #[test]
    fn a_reconnect_within_the_grace_time_is_not_seen() {
        let mut state = ConnectedDevices::new(GRACE_MS);
        assert_eq!(said(state.connected(user(), Device::Foreground)), Some(Presence::Online));
        assert_eq!(said(state.disconnected(user(), Device::Foreground, 0, Timestamp::default())), None);
        assert!(state.expire(GRACE_MS - 1).is_empty());
        assert_eq!(said(state.connected(user(), Device::Foreground)), None);
        assert!(state.expire(GRACE_MS * 2).is_empty());
    }

    #[test]
    fn the_last_device_decides() {
        let mut state = ConnectedDevices::new(GRACE_MS);
        state.connected(user(), Device::Foreground);
        assert_eq!(state.connected(user(), Device::Background), None);
        assert_eq!(said(state.moved(user(), Device::Foreground, Device::Background)), Some(Presence::Away));
        state.disconnected(user(), Device::Background, 0, Timestamp::default());
        state.disconnected(user(), Device::Background, 10, Timestamp::from_unix_ms(10));
        let gone = state.expire(10 + GRACE_MS);
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].presence, Presence::Offline { last_seen: Some(Timestamp::from_unix_ms(10)) });
        assert!(state.is_empty());
    }
}
