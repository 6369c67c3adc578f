//! The seqs of each conversation that a device was sent, and when: by acks, pushed events, heads and answers.

use std::collections::BTreeMap;

use super::transcript::{Asked, Transcript};

/// By device and conversation: the entry, and the newest seq that it named.
pub struct Told<'r>(BTreeMap<(usize, &'r str), Vec<(usize, u64)>>);

impl<'r> Told<'r> {
    /// Everything that was sent. `own`: only the device's own changes, by acks.
    pub fn of(transcript: &Transcript<'r>, own: bool) -> Self {
        let mut told: BTreeMap<(usize, &str), Vec<(usize, u64)>> = BTreeMap::new();
        for request in transcript.requests.iter().filter(|request| request.is_done()) {
            let (Some(answer), Some(answered)) = (request.answer, request.answered) else { continue };
            // Only the answers to changes have both.
            let is_frame = matches!(request.asked, Asked::Frame(..));
            if (is_frame || answer["read_seq"].is_null())
                && let (Some(conversation), Some(seq)) =
                    (answer["conversation"].as_str(), answer["seq"].as_u64())
            {
                told.entry((request.device, conversation)).or_default().push((answered, seq));
            }
        }
        if !own {
            for shown in &transcript.shown {
                told.entry((shown.device, shown.conversation)).or_default().push((shown.entry, shown.seq));
            }
            for head in &transcript.heads {
                told.entry((head.device, head.conversation)).or_default().push((head.entry, head.last_seq));
            }
        }
        told.values_mut().for_each(|list| list.sort_unstable());
        Self(told)
    }

    /// Without what was told before `lost_ms`: what a device knew of a log that was replaced says nothing of
    /// the present one.
    pub fn since(mut self, transcript: &Transcript<'_>, lost_ms: Option<u64>) -> Self {
        if let Some(lost_ms) = lost_ms {
            for list in self.0.values_mut() {
                list.retain(|(at, _)| transcript.at_ms(*at) > lost_ms);
            }
        }
        self
    }

    /// The newest seq that a device was sent before an entry, with the entry that had it.
    pub fn before(&self, device: usize, conversation: &str, entry: usize) -> Option<(usize, u64)> {
        let list = self.0.get(&(device, conversation))?;
        list.iter().take_while(|(at, _)| *at < entry).copied().max_by_key(|(_, seq)| *seq)
    }
}
