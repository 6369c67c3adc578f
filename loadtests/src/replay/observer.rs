//! An observer drops its connection, stops reading, leaves and comes back, at random from a seed.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};
use tokio::{sync::mpsc, sync::watch};

use crate::{
    client::setup::Command,
    ids::ConversationId,
    rest::{Account, Rest},
};

/// What one observer did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Antics {
    /// Connections dropped without goodbye.
    pub drops: u64,
    /// Times it stopped reading.
    pub stalls: u64,
    /// Times it left a channel and came back.
    pub absences: u64,
    /// Leaves or joins the server would not do.
    pub failures: u64,
}

/// Lives until `calm` turns true, then makes sure it is a member of everything again.
pub async fn live(
    rest: Rest,
    account: Account,
    channels: Vec<ConversationId>,
    commands: mpsc::Sender<Command>,
    mut random: StdRng,
    mut calm: watch::Receiver<bool>,
) -> Antics {
    let mut antics = Antics::default();
    loop {
        let pause = Duration::from_millis(random.random_range(100..1_500));
        tokio::select! {
            _ = calm.wait_for(|calm| *calm) => break,
            () = tokio::time::sleep(pause) => {}
        }
        match random.random_range(0..10) {
            0..4 => {
                let away = Duration::from_millis(random.random_range(0..2_000));
                antics.drops += u64::from(commands.send(Command::Drop(away)).await.is_ok());
            }
            4..7 => {
                let pause = Duration::from_millis(random.random_range(50..1_500));
                antics.stalls += u64::from(commands.send(Command::Stall(pause)).await.is_ok());
            }
            _ => {
                let channel = random.random_range(0..channels.len());
                let away = Duration::from_millis(random.random_range(0..500));
                absence(&rest, &account, &channels[channel], away, &mut antics).await;
            }
        }
    }
    antics
}

async fn absence(
    rest: &Rest,
    account: &Account,
    channel: &ConversationId,
    away: Duration,
    antics: &mut Antics,
) {
    match rest.leave(account, channel).await {
        Ok(()) => tokio::time::sleep(away).await,
        // It may have left all the same: a server that was killed did so without an answer. Joining again
        // mends both.
        Err(error) => {
            eprintln!("leaving {channel}: {error:#}");
            antics.failures += 1;
        }
    }
    match rest.join(account, channel).await {
        Ok(()) => antics.absences += 1,
        Err(error) => {
            eprintln!("coming back to {channel}: {error:#}");
            antics.failures += 1;
        }
    }
}
