//! Who belongs to the class, and what each demand can choose.

use crate::ROW_TOLERANCE;
use crate::problem::{Problem, Rows, number};

/// The room for all that share nothing: unserved demands, and arcs that use nothing.
pub const NOWHERE: u32 = u32::MAX;

/// Arcs of a demand that the search looks at.
const KEPT: usize = 12;
/// A quarter of the tolerance; the rest pays for sums in another order.
const FITS: f64 = 0.25 * ROW_TOLERANCE;

/// One way to serve a demand.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// Index of the arc.
    pub arc: u32,
    /// Position in `Problem::capacity`, or [`NOWHERE`].
    pub room: u32,
    /// What it takes of the room.
    pub amount: f64,
    /// $/h.
    pub cost: f64,
}

/// A problem of the class.
pub struct Offers {
    /// Offers per demand; each alone meets all that the demand wants.
    pub rows: Rows<Offer>,
    /// $/h of leaving a demand unserved.
    pub unserved: Vec<f64>,
    /// What each room holds, per position of `Problem::capacity`.
    pub capacity: Vec<f64>,
}

impl Offers {
    /// The problem's offers, or `None` when it does not belong to the class.
    pub fn of(problem: &Problem) -> Option<Self> {
        let is_free = problem.steps.values().iter().all(|step| step.cost == 0.0);
        if !is_free || !problem.bounds.is_empty() || problem.arcs() == 0 {
            return None;
        }
        let mut rows = Vec::with_capacity(problem.demands());
        let capacity = capacity(problem);
        for demand in 0..problem.demands() {
            let mut row = Vec::new();
            for arc in problem.arcs_of(demand) {
                match role(problem, arc) {
                    Role::Foreign => return None,
                    Role::Serves(offer) if fits(&offer, &capacity) => row.push(offer),
                    Role::Serves(_) | Role::Useless => {}
                }
            }
            rows.push(row);
        }
        let unserved = (0..problem.demands()).map(|demand| {
            let covers = problem.covers.row(demand).iter();
            covers.map(|cover| cover.quantity * cover.short_cost).sum()
        });
        Some(Self {
            rows: Rows::new(rows),
            unserved: unserved.collect(),
            capacity,
        })
    }
}

/// All that a supply's units hold, per resource.
fn capacity(problem: &Problem) -> Vec<f64> {
    let mut capacity = Vec::with_capacity(problem.capacity.values().len());
    for supply in 0..problem.supplies() {
        let units = number(problem.total_units(supply)) * (1.0 + FITS);
        capacity.extend(problem.capacity.row(supply).iter().map(|unit| unit * units));
    }
    capacity
}

fn fits(offer: &Offer, capacity: &[f64]) -> bool {
    offer.room == NOWHERE || offer.amount <= capacity[offer.room as usize]
}

/// What an arc is to the class.
enum Role {
    /// One replica meets all that its demand wants.
    Serves(Offer),
    /// It meets nothing that anybody wants, or may not run.
    Useless,
    /// It puts the problem out of the class.
    Foreign,
}

fn role(problem: &Problem, arc: usize) -> Role {
    let covers = problem.covers.row(problem.demand_of(arc)).iter();
    let wants = covers.zip(problem.yields(arc));
    let (mut met, mut missed, mut partly) = (false, false, false);
    for (cover, yielded) in wants.filter(|(cover, _)| cover.quantity * cover.short_cost > 0.0) {
        met |= yielded >= cover.quantity;
        missed |= yielded <= 0.0;
        partly |= yielded > 0.0 && yielded < cover.quantity;
    }
    let earns_by_itself = problem.cost_of(arc) < 0.0 && (problem.max_of(arc) > 1 || !met);
    let mut uses = problem.uses(arc);
    let (entry, another) = (uses.next(), uses.next());
    if problem.max_of(arc) == 0 {
        Role::Useless
    } else if partly || earns_by_itself || met && (missed || another.is_some()) {
        Role::Foreign
    } else if met {
        let first = problem.capacity.range(problem.supply_of(arc)).start;
        Role::Serves(Offer {
            arc: as_index(arc),
            room: entry.map_or(NOWHERE, |entry| as_index(first + entry.resource)),
            amount: entry.map_or(0.0, |entry| entry.amount),
            cost: problem.cost_of(arc),
        })
    } else {
        Role::Useless
    }
}

/// Checked problems have fewer arcs, demands, resources and choices than 2^32 - 1.
pub fn as_index(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(NOWHERE)
}

/// An offer at the prices, or leaving the demand unserved.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// Index of the arc; [`NOWHERE`] stands for none.
    arc: u32,
    /// The room it takes from, or [`NOWHERE`].
    pub room: u32,
    /// What it takes of the room.
    pub amount: f64,
    /// $/h.
    pub cost: f64,
    /// $/h above the demand's cheapest choice when the room is paid at its price.
    pub excess: f64,
}

/// Each demand's choices, the least excess first; the last one is to leave it unserved.
pub struct Choices {
    rows: Rows<Choice>,
    /// Rooms of the choices, for finding one quickly.
    rooms: Vec<u32>,
    /// What each room holds.
    pub capacity: Vec<f64>,
    /// $/h for one more of each room.
    pub prices: Vec<f64>,
    /// $/h, the mean excess of a demand's fourth choice: what a change usually costs.
    pub usual_excess: f64,
    /// $/h, the mean cost of a demand's first choice.
    pub usual_cost: f64,
}

impl Choices {
    /// The best offers of each demand at the prices.
    pub fn new(offers: &Offers, prices: &[f64]) -> Self {
        let rows = (0..offers.rows.count()).map(|demand| {
            let row = offers.rows.row(demand).iter();
            let mut row: Vec<Choice> = row.map(|offer| at_prices(offer, prices)).collect();
            row.sort_by(|left, right| left.excess.total_cmp(&right.excess));
            row.truncate(KEPT);
            row.push(Choice {
                arc: NOWHERE,
                room: NOWHERE,
                amount: 0.0,
                cost: offers.unserved[demand],
                excess: offers.unserved[demand],
            });
            let least = row
                .iter()
                .map(|choice| choice.excess)
                .fold(f64::MAX, f64::min);
            for choice in &mut row {
                choice.excess -= least;
            }
            row
        });
        let rows = Rows::new(rows);
        let usual = |value: &dyn Fn(&[Choice]) -> f64| {
            let sum: f64 = (0..rows.count())
                .map(|demand| value(rows.row(demand)))
                .sum();
            #[allow(clippy::cast_precision_loss)] // far fewer than 2^52
            let count = rows.count().max(1) as f64;
            sum / count
        };
        Self {
            usual_excess: usual(&|row| row[row.len().saturating_sub(2).min(3)].excess),
            usual_cost: usual(&|row| row[0].cost.abs()),
            rooms: rows.values().iter().map(|choice| choice.room).collect(),
            rows,
            capacity: offers.capacity.clone(),
            prices: prices.to_vec(),
        }
    }

    /// Number of demands.
    pub fn demands(&self) -> usize {
        self.rows.count()
    }

    /// Number of choices of all demands.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Positions of a demand's choices.
    pub fn of(&self, demand: usize) -> std::ops::Range<usize> {
        self.rows.range(demand)
    }

    /// The choice at a position.
    pub fn at(&self, position: usize) -> &Choice {
        &self.rows.values()[position]
    }

    /// The arc of the choice at a position, if it has one.
    pub fn arc(&self, position: usize) -> Option<usize> {
        let arc = self.at(position).arc;
        (arc != NOWHERE).then_some(arc as usize)
    }

    /// Position of a demand's best choice in a room.
    pub fn in_room(&self, demand: usize, room: u32) -> Option<usize> {
        let range = self.of(demand);
        let found = self.rooms[range.clone()]
            .iter()
            .position(|&other| other == room);
        found.map(|offset| range.start + offset)
    }
}

fn at_prices(offer: &Offer, prices: &[f64]) -> Choice {
    let price = prices.get(offer.room as usize).copied().unwrap_or(0.0);
    Choice {
        arc: offer.arc,
        room: offer.room,
        amount: offer.amount,
        cost: offer.cost,
        excess: offer.cost + price * offer.amount,
    }
}
