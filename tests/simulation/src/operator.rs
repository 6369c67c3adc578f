//! An operator of the fleet, who keeps people out, lets them in again and ends their sign-ins, by the calls
//! of `tidings admin`.
//!
//! The operator does one thing at a time. Where an answer does not say that the call was done or refused, the
//! operator waits until it has had its effect or never will, and repeats it.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::balancer::Balancer;
use crate::clients::SharedWorld;
use crate::net::Call;
use crate::plan::Command;

/// The operator's name, as the audit log has it.
pub const NAME: &str = "olga";
/// Commands that wait. Further ones are dropped.
const MOST_COMMANDS: usize = 64;
/// How often a command is tried.
const TRIES: u32 = 12;
/// Before another try. A call whose answer was lost has had its effect by then, or has none.
const AGAIN: Duration = Duration::from_millis(1_500);

/// Starts the operator. Call inside a `LocalSet`. The operator stops when the returned value is dropped.
pub fn start(balancer: Rc<Balancer>, shared: SharedWorld) -> mpsc::Sender<Command> {
    let (commands, mut queue) = mpsc::channel::<Command>(MOST_COMMANDS);
    spawn_local(async move {
        while let Some(command) = queue.recv().await {
            // A person without an account is nobody yet.
            let user = shared.borrow().user(command.person());
            if let Some(user) = user {
                carry_out(&balancer, &call(command, &user)).await;
            }
        }
    });
    commands
}

fn call(command: Command, user: &str) -> Call {
    let (method, path) = match command {
        Command::Suspend { seconds: 0, .. } => ("PUT", "suspension?reason=noise".to_owned()),
        Command::Suspend { seconds, .. } => ("PUT", format!("suspension?duration_s={seconds}&reason=noise")),
        Command::Lift { .. } => ("DELETE", "suspension".to_owned()),
        Command::EndSignIns { .. } => ("DELETE", "sign-ins".to_owned()),
    };
    Call { method, path: format!("/admin/users/{user}/{path}"), token: None, body: None, key: None }
}

async fn carry_out(balancer: &Balancer, call: &Call) {
    for _ in 0..TRIES {
        if balancer.operate(call.clone()).await.is_ok_and(|(status, _)| status < 500) {
            return;
        }
        sleep(AGAIN).await;
    }
}
