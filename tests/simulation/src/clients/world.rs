//! What people know from outside of the chat: who is who, which conversation a plan's slot became, and the
//! tokens and messages that a thief could find.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use serde_json::Value;

use crate::dice::Dice;
use crate::plan::Plan;

/// Access tokens and messages that are remembered for those who steal or repeat them.
const MOST_FINDS: usize = 200;

/// The way in which a person signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// With username and password, from the beginning.
    Password,
    /// As a guest, by the secret of a device that all the person's devices know.
    Guest,
    /// As a guest who becomes an account with username and password right away.
    Claimed,
}

/// A person.
#[derive(Debug, Clone)]
pub struct Person {
    /// The user's id, once an account was made.
    pub user: Option<String>,
    /// The way in which they sign in.
    pub way: Way,
    /// Their name in the directory.
    pub username: String,
    /// Their password.
    pub password: String,
    /// Their secret as a guest.
    pub device_id: String,
    /// The claim is asked for twice at once, as by a user who is not patient.
    pub claims_twice: bool,
    /// Whether username and password are known to be valid.
    pub has_password: bool,
    /// The claim was lost with a part of the log, so any device may claim again.
    pub reclaim: bool,
    /// They asked for the end of their account: none of their devices signs in any more.
    pub erased: bool,
    /// The device that signs up first.
    pub first_device: Option<usize>,
}

/// The state that the devices share.
#[derive(Debug, Default)]
pub struct World {
    /// By index in the plan.
    pub people: Vec<Person>,
    /// The conversations that steps of the plan made.
    pub slots: BTreeMap<usize, String>,
    /// Access tokens, each with the device that it was given to.
    pub tokens: VecDeque<(usize, String)>,
    /// `send` frames, each with the device that sent it.
    pub sent: VecDeque<(usize, Value)>,
}

/// A shared handle to the world.
pub type SharedWorld = Rc<RefCell<World>>;

impl World {
    /// The people of a plan, before anybody signed up.
    pub fn new(plan: &Plan) -> SharedWorld {
        let people = (0..plan.people).map(|person| {
            let mut dice = Dice::new(plan.seed, &format!("person {person}"));
            let way = *dice.pick(&[Way::Password, Way::Password, Way::Guest, Way::Guest, Way::Claimed]);
            let first_device = plan.devices.iter().position(|device| device.person == person);
            Person {
                user: None,
                way,
                username: format!("p{person}-{:x}", dice.next_u64()),
                password: format!("password {:x}", dice.next_u64()),
                device_id: format!("secret-{:016x}{:016x}", dice.next_u64(), dice.next_u64()),
                claims_twice: dice.chance(400),
                has_password: false,
                reclaim: false,
                erased: false,
                first_device,
            }
        });
        Rc::new(RefCell::new(Self { people: people.collect(), ..Self::default() }))
    }

    /// The id of a person, when they have one.
    pub fn user(&self, person: usize) -> Option<String> {
        self.people.get(person)?.user.clone()
    }

    /// Leaves an access token where others may find it.
    pub fn keep_token(&mut self, device: usize, token: &str) {
        keep(&mut self.tokens, (device, token.to_owned()));
    }

    /// Remembers a `send` frame for those who repeat it.
    pub fn keep_sent(&mut self, device: usize, frame: &Value) {
        keep(&mut self.sent, (device, frame.clone()));
    }
}

fn keep<T>(finds: &mut VecDeque<T>, find: T) {
    if finds.len() == MOST_FINDS {
        finds.pop_front();
    }
    finds.push_back(find);
}
