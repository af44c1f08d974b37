//! Cyclic and path exchanges: a demand takes another's place, which takes a third's, and so on, until the last one
//! finds room or takes the place that the first one left.
//!
//! A search in layers, of which only the best few are followed, finds exchanges whose every beginning gains something
//! (R. K. Ahuja, J. B. Orlin, D. Sharma, *Multi-exchange neighborhood structures for the capacitated minimum spanning
//! tree problem*, 2001; for assignment M. Yagiura, T. Ibaraki, F. Glover, *A path relinking approach with ejection
//! chains for the generalized assignment problem*, 2006).

use crate::single::choices::{Choice, NOWHERE, as_index};
use crate::single::plan::{Charges, Plan};

/// Demands that move at once, at most.
const DEPTH: usize = 8;
/// Labels followed from each layer.
const BEAM: usize = 8;
/// Members looked at that one label costs by itself.
const LABEL_WORK: usize = 10;

/// A demand that has to find another room, and how that came about.
#[derive(Debug, Clone, Copy)]
struct Label {
    demand: u32,
    /// Position of the choice by which the parent's demand took its place.
    choice: u32,
    /// The label before; the first one is its own.
    parent: u32,
    /// $/h that all moves so far cost, without what leaving the first room costs.
    sum: f64,
}

/// An exchange that ends.
#[derive(Debug, Clone, Copy)]
struct End {
    label: u32,
    /// Position of the choice of the label's demand.
    choice: u32,
    /// $/h that the exchange costs.
    total: f64,
}

/// Where the first demand comes from.
#[derive(Debug, Clone, Copy)]
struct Start {
    choice: Choice,
    /// $/h for leaving its room to nobody.
    leave: f64,
    /// $/h that an exchange may cost.
    limit: f64,
}

/// The search, with its working memory.
#[derive(Default)]
pub struct Exchange {
    labels: Vec<Label>,
    next: Vec<Label>,
    /// Above this no label gets into the next layer.
    worst: f64,
    end: Option<End>,
    work: usize,
}

impl Exchange {
    /// Make the cheapest exchange found that moves the demand away and costs at most `limit` ($/h); the members
    /// looked at, and whether there was one.
    pub fn make(
        &mut self,
        plan: &mut Plan<'_>,
        charges: &Charges,
        demand: usize,
        limit: f64,
    ) -> (usize, bool) {
        let choice = *plan.choices.at(plan.chosen[demand] as usize);
        let leave = if choice.room == NOWHERE {
            0.0
        } else {
            let left = plan.left[choice.room as usize];
            charges.of(choice.room, left + choice.amount) - charges.of(choice.room, left)
        };
        let start = Start {
            choice,
            leave: leave - choice.excess,
            limit,
        };
        self.find(plan, charges, demand, &start);
        if let Some(end) = self.end {
            self.apply(plan, end);
        }
        (self.work, self.end.is_some())
    }

    fn find(&mut self, plan: &Plan<'_>, charges: &Charges, demand: usize, start: &Start) {
        self.work = 0;
        self.end = None;
        self.labels.clear();
        self.labels.push(Label {
            demand: as_index(demand),
            choice: 0,
            parent: 0,
            sum: 0.0,
        });
        let mut layer = 0..1;
        for depth in 1..=DEPTH {
            self.next.clear();
            self.worst = f64::INFINITY;
            for at in layer {
                self.extend(plan, charges, start, at, depth < DEPTH);
            }
            if self.end.is_some() || self.next.is_empty() {
                break;
            }
            layer = self.labels.len()..self.labels.len() + self.next.len();
            self.labels.extend_from_slice(&self.next);
        }
    }

    /// Try every choice of the label's demand.
    fn extend(
        &mut self,
        plan: &Plan<'_>,
        charges: &Charges,
        start: &Start,
        at: usize,
        deeper: bool,
    ) {
        let label = self.labels[at];
        let demand = label.demand as usize;
        let current = plan.chosen[demand] as usize;
        self.work += LABEL_WORK;
        for position in plan.choices.of(demand) {
            let choice = plan.choices.at(position);
            let room = choice.room;
            if position == current {
                continue;
            }
            if room == NOWHERE {
                self.offer_end(at, position, label.sum + choice.excess + start.leave, start);
                continue;
            }
            if room == start.choice.room {
                if at != 0 {
                    let total = label.sum + replace(plan, charges, &start.choice, choice);
                    self.offer_end(at, position, total, start);
                }
                continue;
            }
            if self.is_on_path(plan, at, room) {
                continue;
            }
            let left = plan.left[room as usize];
            let base = label.sum + choice.excess - charges.of(room, left);
            let alone = base + charges.of(room, left - choice.amount) + start.leave;
            self.offer_end(at, position, alone, start);
            if deeper && base <= start.limit {
                self.eject(
                    plan,
                    charges,
                    start,
                    at,
                    (position, left - choice.amount, base),
                );
            }
        }
    }

    /// Let the label's demand take the place of each member of a room.
    fn eject(
        &mut self,
        plan: &Plan<'_>,
        charges: &Charges,
        start: &Start,
        at: usize,
        (position, left, base): (usize, f64, f64),
    ) {
        let room = plan.choices.at(position).room as usize;
        let (under, over) = (charges.under[room], -charges.over[room]);
        self.work += plan.members[room].len();
        for member in &plan.members[room] {
            let left = left + member.amount;
            let charge = if left >= 0.0 {
                under * left
            } else {
                over * left
            };
            let sum = base - member.excess + charge;
            if sum <= start.limit && sum < self.worst {
                let label = Label {
                    demand: member.demand,
                    choice: as_index(position),
                    parent: as_index(at),
                    sum,
                };
                self.close(plan, charges, start, label);
                self.follow(label);
            }
        }
    }

    /// See whether the label's demand can take the first one's place.
    fn close(&mut self, plan: &Plan<'_>, charges: &Charges, start: &Start, label: Label) {
        if start.choice.room == NOWHERE {
            return;
        }
        let found = plan
            .choices
            .in_room(label.demand as usize, start.choice.room);
        if let Some(position) = found {
            let choice = plan.choices.at(position);
            let total = label.sum + replace(plan, charges, &start.choice, choice);
            if total <= start.limit && self.end.is_none_or(|end| total < end.total) {
                self.labels.push(label);
                self.offer_end(self.labels.len() - 1, position, total, start);
            }
        }
    }

    fn offer_end(&mut self, at: usize, position: usize, total: f64, start: &Start) {
        if total <= start.limit && self.end.is_none_or(|end| total < end.total) {
            self.end = Some(End {
                label: as_index(at),
                choice: as_index(position),
                total,
            });
        }
    }

    /// Keep the label for the next layer, if it is among the best and the best of its demand.
    fn follow(&mut self, label: Label) {
        let known = self
            .next
            .iter_mut()
            .find(|other| other.demand == label.demand);
        if let Some(known) = known {
            if label.sum >= known.sum {
                return;
            }
            *known = label;
        } else if self.next.len() < BEAM {
            self.next.push(label);
        } else if let Some(last) = self.next.iter_mut().max_by(|a, b| a.sum.total_cmp(&b.sum)) {
            *last = label;
        }
        if self.next.len() == BEAM {
            let sums = self.next.iter().map(|label| label.sum);
            self.worst = sums.fold(f64::NEG_INFINITY, f64::max);
        }
    }

    /// Whether the demands before the label moved into the room.
    fn is_on_path(&self, plan: &Plan<'_>, at: usize, room: u32) -> bool {
        let mut at = at;
        while at != 0 {
            let label = self.labels[at];
            if plan.choices.at(label.choice as usize).room == room {
                return true;
            }
            at = label.parent as usize;
        }
        false
    }

    fn apply(&self, plan: &mut Plan<'_>, end: End) {
        let (mut at, mut choice) = (end.label as usize, end.choice as usize);
        loop {
            let label = self.labels[at];
            plan.take(label.demand as usize);
            plan.put(label.demand as usize, choice);
            if at == 0 {
                break;
            }
            (at, choice) = (label.parent as usize, label.choice as usize);
        }
    }
}

/// $/h for a choice to take the place of another in the same room.
fn replace(plan: &Plan<'_>, charges: &Charges, gone: &Choice, come: &Choice) -> f64 {
    let left = plan.left[gone.room as usize];
    let after = left + gone.amount - come.amount;
    come.excess - gone.excess + charges.of(gone.room, after) - charges.of(gone.room, left)
}
