//! The operations of devices.

use crate::dice::Dice;
use crate::plan::{Act, Behaviour, Hangup, Operation, Page, Place, Plan, Step};

/// Conversations that a plan makes, at most.
const SLOTS: u64 = 4;

/// Whether a seed uses a feature at all.
struct Swarm {
    changes: bool,
    membership: bool,
    settings: bool,
    blocks: bool,
    receipts: bool,
    typing: bool,
    presence: bool,
    reads: bool,
    tokens: bool,
    endings: bool,
    connections: bool,
    large: bool,
}

impl Swarm {
    fn of(dice: &mut Dice) -> Self {
        let mut on = |permille| dice.chance(permille);
        Self {
            changes: on(600),
            membership: on(600),
            settings: on(400),
            blocks: on(300),
            receipts: on(600),
            typing: on(400),
            presence: on(400),
            reads: on(500),
            tokens: on(400),
            endings: on(200),
            connections: on(600),
            large: on(200),
        }
    }
}

/// The steps of all devices.
pub fn steps(dice: &mut Dice, plan: &Plan) -> Vec<Step> {
    let swarm = Swarm::of(dice);
    let mut steps = Vec::new();
    let slots = dice.between(1, SLOTS);
    for slot in 0..slots {
        let device = usize::try_from(dice.below(plan.devices.len() as u64)).unwrap_or(0);
        let members = (0..plan.people).filter(|_| dice.chance(600)).collect();
        let operation = Operation::Create {
            slot: usize::try_from(slot).unwrap_or(0),
            channel: dice.chance(300),
            members,
            open: dice.chance(500),
            all_history: dice.chance(500),
        };
        steps.push(Step { at_ms: 1_500 + dice.below(2_500), act: Act::Device { device, operation } });
    }
    // From a few to many: some seeds are quiet, some are busy.
    let count = dice.between(40, 220);
    for _ in 0..count {
        let at_ms = 2_500 + dice.below(plan.active_ms.saturating_sub(2_500));
        let device = usize::try_from(dice.below(plan.devices.len() as u64)).unwrap_or(0);
        let operation = match plan.devices[device].behaviour {
            Behaviour::Hostile if dice.chance(700) => {
                Operation::Abuse { kind: u16::try_from(dice.below(1 << 16)).unwrap_or(0) }
            }
            _ => operation(dice, &swarm, plan, slots),
        };
        steps.push(Step { at_ms, act: Act::Device { device, operation } });
    }
    steps.extend(calm_steps(dice, plan, slots));
    steps
}

/// Messages in the calm: how soon they arrive says whether everything has healed. The last ones leave time to
/// arrive.
fn calm_steps(dice: &mut Dice, plan: &Plan, slots: u64) -> Vec<Step> {
    let correct: Vec<usize> =
        (0..plan.devices.len()).filter(|one| plan.devices[*one].behaviour == Behaviour::Correct).collect();
    let count = dice.between(4, 16);
    let steps = (0..count).map(|_| {
        let at_ms = plan.active_ms + 1_000 + dice.below(plan.calm_ms.saturating_sub(6_000));
        let bytes = usize::try_from(dice.between(1, 60)).unwrap_or(1);
        let operation = Operation::Send { to: place(dice, plan, slots), bytes };
        Step { at_ms, act: Act::Device { device: *dice.pick(&correct), operation } }
    });
    steps.collect()
}

fn person(dice: &mut Dice, plan: &Plan) -> usize {
    usize::try_from(dice.below(plan.people as u64)).unwrap_or(0)
}

fn place(dice: &mut Dice, plan: &Plan, slots: u64) -> Place {
    if dice.chance(350) {
        Place::With(person(dice, plan))
    } else {
        Place::Slot(usize::try_from(dice.below(slots)).unwrap_or(0))
    }
}

fn operation(dice: &mut Dice, swarm: &Swarm, plan: &Plan, slots: u64) -> Operation {
    for _ in 0..4 {
        if let Some(operation) = draw(dice, swarm, plan, slots) {
            return operation;
        }
    }
    Operation::Send { to: place(dice, plan, slots), bytes: 20 }
}

/// An operation; `None` when the swarm has it switched off.
fn draw(dice: &mut Dice, swarm: &Swarm, plan: &Plan, slots: u64) -> Option<Operation> {
    let on = place(dice, plan, slots);
    let who = person(dice, plan);
    let back = dice.below(4);
    let kind = dice.below(100);
    let wanted = |feature: bool, operation: Operation| feature.then_some(operation);
    match kind {
        0..35 => {
            let bytes = if swarm.large && dice.chance(300) {
                dice.between(2_000, 8_000)
            } else {
                dice.between(1, 60)
            };
            Some(Operation::Send { to: on, bytes: usize::try_from(bytes).unwrap_or(1) })
        }
        35..38 => Some(Operation::SendAgain),
        38..43 => wanted(swarm.changes, Operation::Edit { on, back }),
        43..46 => wanted(swarm.changes, Operation::Delete { on, back }),
        46..52 => {
            let (emoji, add) = (u8::try_from(dice.below(3)).unwrap_or(0), dice.chance(700));
            wanted(swarm.changes, Operation::React { on, back, emoji, add })
        }
        52..57 => wanted(swarm.membership, Operation::Join { on, person: who }),
        57..62 => wanted(swarm.membership, Operation::Leave { on, person: who }),
        62..64 => {
            let role = u8::try_from(dice.below(3)).unwrap_or(0);
            wanted(swarm.membership, Operation::SetRole { on, person: who, role })
        }
        64..66 => {
            let seconds = *dice.pick(&[0, 1, 5, 30]);
            let operation = match dice.below(3) {
                0 => Operation::Ban { on, person: who, seconds, lift: dice.chance(400) },
                _ => Operation::Mute { on, person: who, seconds },
            };
            wanted(swarm.membership, operation)
        }
        66..68 => {
            let (open, all_history) = (dice.chance(500), dice.chance(500));
            let operation = Operation::Configure {
                on,
                open: dice.chance(500).then_some(open),
                all_history: dice.chance(500).then_some(all_history),
                rename: dice.chance(500),
            };
            wanted(swarm.settings, operation)
        }
        68..72 => wanted(swarm.blocks, Operation::Block { person: who, on: dice.chance(600) }),
        72..79 => wanted(swarm.receipts, Operation::Receipt { on, back, read: dice.chance(600) }),
        79..82 => wanted(swarm.typing, Operation::Typing { on, begin: dice.chance(700) }),
        82..85 => wanted(swarm.presence, Operation::Watch { person: who, on: dice.chance(700) }),
        85..87 => wanted(swarm.presence, Operation::Background { on: dice.chance(500) }),
        87..91 => {
            let pages = [
                Page::History,
                Page::Events,
                Page::Members,
                Page::Conversation,
                Page::Conversations,
                Page::Preview,
            ];
            wanted(swarm.reads, Operation::Read { on, page: *dice.pick(&pages) })
        }
        91..93 => wanted(swarm.reads, Operation::SyncAgain { on, back: back * 3 }),
        93..96 => {
            let how = *dice.pick(&[Hangup::Close, Hangup::Reset, Hangup::Vanish]);
            wanted(swarm.connections, Operation::Disconnect { how })
        }
        96 => wanted(swarm.connections, Operation::StopReading { ms: dice.between(500, 20_000) }),
        97 => wanted(swarm.tokens, Operation::Refresh),
        98 => match dice.below(4) {
            3 => wanted(swarm.tokens, Operation::EndSessions),
            0 => wanted(swarm.tokens, Operation::SignOut { everywhere: dice.chance(500) }),
            1 => wanted(swarm.tokens, Operation::SignIn),
            _ => wanted(swarm.tokens, Operation::Export),
        },
        _ if dice.chance(300) => wanted(swarm.endings, Operation::Erase),
        _ => wanted(swarm.endings, Operation::DeleteConversation { on }),
    }
}
