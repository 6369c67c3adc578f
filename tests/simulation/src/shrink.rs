//! Makes a failing plan smaller, as long as it fails in the same way.

use crate::plan::{Act, Plan, Weather};

/// The most runs of one shrinking.
const MOST_RUNS: usize = 400;

/// A smaller plan that still fails, as `fails` says; the plan itself when nothing can be left out.
pub fn shrink(plan: &Plan, fails: &dyn Fn(&Plan) -> bool) -> Plan {
    let mut shrinker = Shrinker { fails, runs: 0, best: plan.clone() };
    loop {
        let before = shrinker.best.clone();
        shrinker.calm_weather();
        shrinker.fewer_steps();
        shrinker.fewer_settings();
        shrinker.fewer_bounds();
        shrinker.fewer_processes();
        shrinker.idle_devices();
        shrinker.shorter();
        if shrinker.best == before || shrinker.runs >= MOST_RUNS {
            return shrinker.best;
        }
    }
}

struct Shrinker<'f> {
    fails: &'f dyn Fn(&Plan) -> bool,
    runs: usize,
    best: Plan,
}

impl Shrinker<'_> {
    /// Keeps the plan if it still fails.
    fn keep(&mut self, plan: Plan) -> bool {
        if plan == self.best || self.runs >= MOST_RUNS {
            return false;
        }
        self.runs += 1;
        let fails = (self.fails)(&plan);
        if fails {
            self.best = plan;
        }
        fails
    }

    /// Leaves out halves, quarters, … of the steps, and in the end single ones (Zeller's ddmin).
    fn fewer_steps(&mut self) {
        let mut size = self.best.steps.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.best.steps.len() {
                let mut plan = self.best.clone();
                let to = (from + size).min(plan.steps.len());
                plan.steps.drain(from..to);
                if !self.keep(plan) {
                    from += size;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }

    fn fewer_settings(&mut self) {
        let mut at = 0;
        while at < self.best.settings.len() {
            let mut plan = self.best.clone();
            plan.settings.remove(at);
            if !self.keep(plan) {
                at += 1;
            }
        }
    }

    fn fewer_bounds(&mut self) {
        let mut at = 0;
        while at < self.best.bounds.len() {
            let mut plan = self.best.clone();
            plan.bounds.remove(at);
            if !self.keep(plan) {
                at += 1;
            }
        }
    }

    fn calm_weather(&mut self) {
        let calm = self.best.weather.calm();
        let mut plan = self.best.clone();
        plan.weather = calm.clone();
        if self.keep(plan) {
            return;
        }
        let parts: [fn(&mut Weather, &Weather); 8] = [
            |weather, calm| weather.bus_loss = calm.bus_loss,
            |weather, calm| weather.bus_delay_ms = calm.bus_delay_ms,
            |weather, calm| weather.subscribe_delay_ms = calm.subscribe_delay_ms,
            |weather, calm| weather.log_delay_ms = calm.log_delay_ms,
            |weather, calm| weather.log_failures = calm.log_failures,
            |weather, calm| weather.log_lost_answers = calm.log_lost_answers,
            |weather, calm| weather.replica_lag_ms = calm.replica_lag_ms,
            |weather, calm| weather.socket_delay_ms = calm.socket_delay_ms,
        ];
        for part in parts {
            let mut plan = self.best.clone();
            part(&mut plan.weather, &calm);
            self.keep(plan);
        }
    }

    /// Leaves out the last process, with the faults that name it.
    fn fewer_processes(&mut self) {
        while self.best.processes.len() > 1 {
            let mut plan = self.best.clone();
            plan.processes.pop();
            let left = plan.processes.len();
            plan.steps.retain(|step| match &step.act {
                Act::Fault(fault) => fault.process().is_none_or(|process| process < left),
                Act::Device { .. } | Act::Operator(_) => true,
            });
            if !self.keep(plan) {
                return;
            }
        }
    }

    /// Devices that take no part connect only after the end. Their indexes stay, because steps name them.
    fn idle_devices(&mut self) {
        let never_ms = self.best.active_ms + self.best.calm_ms + 1_000;
        for device in 0..self.best.devices.len() {
            let acts = |step: &crate::plan::Step| matches!(&step.act, Act::Device { device: one, .. } if *one == device);
            if self.best.steps.iter().any(acts) || self.best.devices[device].begins_ms == never_ms {
                continue;
            }
            let mut plan = self.best.clone();
            plan.devices[device].begins_ms = never_ms;
            self.keep(plan);
        }
    }

    /// The calm begins soon after the last step.
    fn shorter(&mut self) {
        let last_ms = self.best.steps.last().map_or(0, |step| step.at_ms);
        for after_ms in [1_000, 5_000] {
            let mut plan = self.best.clone();
            plan.active_ms = plan.active_ms.min(last_ms + after_ms);
            if self.keep(plan) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;
    use crate::plan::{Fault, Operation};

    /// Fails when a message is sent and, later, the bus is emptied.
    fn artificial(plan: &Plan) -> bool {
        let sent = plan
            .steps
            .iter()
            .position(|step| matches!(step.act, Act::Device { operation: Operation::Send { .. }, .. }));
        let emptied = plan.steps.iter().rposition(|step| matches!(step.act, Act::Fault(Fault::BusEmptied)));
        matches!((sent, emptied), (Some(sent), Some(emptied)) if sent < emptied)
    }

    #[test]
    fn what_does_not_matter_is_left_out() {
        let failing = (1..).map(generate::plan).find(artificial).expect("a seed with both");
        assert!(failing.steps.len() > 20, "{}", failing.steps.len());
        let small = shrink(&failing, &artificial);
        assert!(artificial(&small));
        assert_eq!(small.steps.len(), 2);
        assert_eq!((small.processes.len(), small.settings.len()), (1, 0));
        assert_eq!(small, shrink(&failing, &artificial), "the same every time");
    }
}
