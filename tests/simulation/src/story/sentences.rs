//! One sentence for each entry of the history.

use super::frames::{document, frame};
use super::names::{Names, person, short};
use crate::history::{Entry, What, Who};
use crate::plan::Plan;

/// The longest note, in characters.
const NOTE: usize = 200;

/// What an entry says.
pub fn sentence(plan: &Plan, names: &Names, entry: &Entry) -> String {
    let who = match entry.who {
        Who::Device(device) => {
            let owner = plan.devices.get(device).map_or("nobody", |device| person(device.person));
            format!("{owner}'s device {device}")
        }
        Who::Process(process) => format!("process {process}"),
        Who::Operator => "the operator".to_owned(),
        Who::World => String::new(),
    };
    match &entry.what {
        What::Opened { socket, process } => format!("{who} opens connection {socket} to process {process}"),
        What::Closed { socket, code: Some(code) } => {
            format!("connection {socket} of {who} is closed with {code}")
        }
        What::Closed { socket, code: None } => format!("connection {socket} of {who} breaks"),
        What::Sent { socket, frame: sent } => format!("{who} on {socket} > {}", frame(names, sent)),
        What::SentGarbage { socket, bytes } => {
            format!("{who} on {socket} > {bytes} bytes that are no frame of the protocol")
        }
        What::Received { socket, frame: came } => format!("{who} on {socket} < {}", frame(names, came)),
        What::Called { call, method, path, body, process, .. } => {
            let to = process.map_or("nobody".to_owned(), |process| format!("process {process}"));
            let text = format!(
                "{who} calls {to} ({call}): {method} {} {}",
                names.replace(path),
                document(names, body)
            );
            text.trim_end().to_owned()
        }
        What::Answered { call, status: Some(status), body } => {
            format!("{who} is answered ({call}): {status} {}", document(names, body)).trim_end().to_owned()
        }
        What::Answered { call, status: None, .. } => format!("{who} gets no answer ({call})"),
        What::Noted { text } if who.is_empty() => format!("-- {}", short(&names.replace(text), NOTE)),
        What::Noted { text } => format!("{who}: {}", short(&names.replace(text), NOTE)),
    }
}
