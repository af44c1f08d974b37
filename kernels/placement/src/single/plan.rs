//! A choice for every demand, which may overload rooms, and what that is charged.

use crate::single::choices::{Choices, NOWHERE, as_index};

/// A demand in a room.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Index of the demand.
    pub demand: u32,
    /// What it takes of the room.
    pub amount: f64,
    /// $/h, its choice's excess.
    pub excess: f64,
}

/// What rooms charge for not being filled exactly, $/h for each unit.
pub struct Charges {
    /// Of what is left, per room.
    pub under: Vec<f64>,
    /// Of what is too much, per room.
    pub over: Vec<f64>,
}

impl Charges {
    /// $/h for what is left in a room, or lacks if negative.
    pub fn of(&self, room: u32, left: f64) -> f64 {
        if room == NOWHERE {
            0.0
        } else if left >= 0.0 {
            self.under[room as usize] * left
        } else {
            -self.over[room as usize] * left
        }
    }
}

/// The choices made.
#[derive(Clone)]
pub struct Plan<'c> {
    /// What there is to choose from.
    pub choices: &'c Choices,
    /// Position of each demand's choice.
    pub chosen: Vec<u32>,
    /// What is left in each room; negative where it is overloaded.
    pub left: Vec<f64>,
    /// Demands in each room, in no particular order.
    pub members: Vec<Vec<Member>>,
    /// Where each demand stands among the members of its room.
    place: Vec<u32>,
    /// $/h of the choices, charges left out.
    pub cost: f64,
    /// Rooms that are overloaded.
    overloaded: usize,
}

impl<'c> Plan<'c> {
    /// Given choices.
    pub fn new(choices: &'c Choices, chosen: &[u32]) -> Self {
        let mut plan = Self {
            choices,
            chosen: chosen.to_vec(),
            left: choices.capacity.clone(),
            members: vec![Vec::new(); choices.capacity.len()],
            place: vec![0; chosen.len()],
            cost: 0.0,
            overloaded: 0,
        };
        for (demand, &position) in chosen.iter().enumerate() {
            plan.put(demand, position as usize);
        }
        plan
    }

    /// The demand's cheapest choice at the prices for each demand.
    pub fn cheapest(choices: &'c Choices) -> Self {
        let least = |demand: usize| {
            let least = choices.of(demand).min_by(|&left, &right| {
                choices.at(left).excess.total_cmp(&choices.at(right).excess)
            });
            least.map_or(0, as_index)
        };
        let chosen: Vec<u32> = (0..choices.demands()).map(least).collect();
        Self::new(choices, &chosen)
    }

    /// Whether no room is overloaded.
    pub fn is_feasible(&self) -> bool {
        self.overloaded == 0
    }

    /// Room of a demand's choice.
    pub fn room_of(&self, demand: usize) -> u32 {
        self.choices.at(self.chosen[demand] as usize).room
    }

    /// Take the demand off; [`Self::put`] has to follow.
    pub fn take(&mut self, demand: usize) {
        let choice = *self.choices.at(self.chosen[demand] as usize);
        self.cost -= choice.cost;
        if choice.room == NOWHERE {
            return;
        }
        let members = &mut self.members[choice.room as usize];
        let place = self.place[demand] as usize;
        members.swap_remove(place);
        if let Some(moved) = members.get(place) {
            self.place[moved.demand as usize] = as_index(place);
        }
        self.fill(choice.room, -choice.amount);
    }

    /// Let a demand that was taken off choose.
    pub fn put(&mut self, demand: usize, position: usize) {
        let choice = *self.choices.at(position);
        self.chosen[demand] = as_index(position);
        self.cost += choice.cost;
        if choice.room == NOWHERE {
            return;
        }
        let members = &mut self.members[choice.room as usize];
        self.place[demand] = as_index(members.len());
        members.push(Member {
            demand: as_index(demand),
            amount: choice.amount,
            excess: choice.excess,
        });
        self.fill(choice.room, choice.amount);
    }

    fn fill(&mut self, room: u32, amount: f64) {
        let left = &mut self.left[room as usize];
        self.overloaded -= usize::from(*left < 0.0);
        *left -= amount;
        self.overloaded += usize::from(*left < 0.0);
    }

    /// Leave demands unserved, those that gain least from their room first, until no room is overloaded.
    pub fn evict(&mut self) {
        for room in 0..self.left.len() {
            while self.left[room] < 0.0 {
                let members = self.members[room].iter();
                let most = members.max_by(|one, other| {
                    one.excess
                        .total_cmp(&other.excess)
                        .then(other.demand.cmp(&one.demand))
                });
                let Some(demand) = most.map(|member| member.demand as usize) else {
                    break;
                };
                self.take(demand);
                self.put(demand, self.choices.of(demand).end - 1);
            }
        }
    }
}
