//! All arcs of all workloads: batches of workloads in parallel, laid one after the other.

use rayon::prelude::*;

use crate::covering::{short_cost, yielded};
use crate::tables::Tables;
use crate::ways::{Cost, Desk, Load, Way};

/// Workloads of one batch: enough to be worth a thread's turn, few enough to share the work evenly.
const BATCH: usize = 32;

/// Batches that are made together: little memory beside the arcs themselves.
const AT_ONCE: usize = 16;

const BYTES_PER_GB: f64 = 1e9;

/// A number of an arc in the width it is stored in.
pub trait Number: Copy + Send + Sync {
    /// The nearest.
    fn of(number: f64) -> Self;
}

impl Number for f32 {
    #[allow(clippy::cast_possible_truncation)] // that is what single precision is
    fn of(number: f64) -> Self {
        number as Self
    }
}

impl Number for f64 {
    fn of(number: f64) -> Self {
        number
    }
}

/// A arcs on which at least one replica is worth having, by workload and place; C covers of W workloads.
#[derive(Debug, Clone, PartialEq)]
pub struct Arcs<T> {
    /// \[A\].
    pub workload: Vec<u32>,
    /// \[A\].
    pub place: Vec<u32>,
    /// \[A\], they serve callers that no place answers in time.
    pub late: Vec<bool>,
    /// \[A\], these replicas run already.
    pub kept: Vec<bool>,
    /// \[A\], alone on its car, or the first on its server.
    pub apart: Vec<bool>,
    /// \[A\], $/h of one replica beyond its unit, with the penalty of late ones.
    pub cost: Vec<T>,
    /// \[A\], most replicas.
    pub most: Vec<u32>,
    /// By arc, and cover of its workload.
    pub yields: Vec<T>,
    /// \[A\], of one replica with its share of a unit.
    pub watts: Vec<T>,
    /// \[A\], per second over the vehicle's link; 0 for servers.
    pub megabits: Vec<T>,
    /// \[A + 1\].
    pub use_offsets: Vec<u32>,
    /// By arc, and resource that it uses: a car's `unit`, or a server's `apart/...`, `compute`, `instances`, `memory`.
    pub use_resource: Vec<u8>,
    /// The same.
    pub use_amount: Vec<T>,
    /// \[C\], $/h for each unit of a cover that is not met.
    pub short_cost: Vec<f64>,
    /// \[W\], requests/s of the fastest replica.
    pub best_rate: Vec<f64>,
    /// Resources `apart/...`: places, in the order of `alone_workload`.
    pub alone_place: Vec<u32>,
    /// The workloads that they belong to, rising; at one place they are the first resources in this order.
    pub alone_workload: Vec<u32>,
}

impl<T> Default for Arcs<T> {
    fn default() -> Self {
        Self {
            workload: Vec::new(),
            place: Vec::new(),
            late: Vec::new(),
            kept: Vec::new(),
            apart: Vec::new(),
            cost: Vec::new(),
            most: Vec::new(),
            yields: Vec::new(),
            watts: Vec::new(),
            megabits: Vec::new(),
            use_offsets: Vec::new(),
            use_resource: Vec::new(),
            use_amount: Vec::new(),
            short_cost: Vec::new(),
            best_rate: Vec::new(),
            alone_place: Vec::new(),
            alone_workload: Vec::new(),
        }
    }
}

/// All arcs of the tables.
///
/// # Panics
/// When arrays of the tables have other lengths than they say, or indices are out of range: they have one maker.
#[must_use]
pub fn expand<T: Number>(tables: &Tables) -> Arcs<T> {
    let count = tables.workload_count();
    let batches = count.div_ceil(BATCH);
    let made = |first: usize| -> Vec<Arcs<T>> {
        let some = first.min(batches)..(first + AT_ONCE).min(batches);
        some.into_par_iter()
            .map(|batch| of_batch(tables, batch * BATCH..((batch + 1) * BATCH).min(count)))
            .collect()
    };
    let mut arcs = Arcs::default();
    arcs.use_offsets.push(0);
    let mut ready = made(0);
    for first in (0..batches).step_by(AT_ONCE) {
        // One thread lays out what is ready while the others go on.
        let (next, ()) = rayon::join(
            || made(first + AT_ONCE),
            || ready.into_iter().for_each(|batch| arcs.append(batch)),
        );
        ready = next;
    }
    name_resources(tables, &mut arcs);
    arcs
}

fn of_batch<T: Number>(tables: &Tables, workloads: std::ops::Range<usize>) -> Arcs<T> {
    let (mut arcs, mut draft) = (Arcs::default(), Draft::default());
    let mut desk = Desk::new(tables);
    for workload in workloads {
        desk.turn_to(workload);
        draft.fill(tables, &mut desk, workload);
        draft.finish(tables, &desk, workload, &mut arcs);
    }
    arcs
}

/// The arcs of one workload before the penalty of late ones is known.
#[derive(Default)]
struct Draft {
    ways: Vec<Way>,
    arcs: Vec<(Way, Load, Cost, usize)>,
    yields: Vec<f64>,
}

impl Draft {
    fn fill(&mut self, tables: &Tables, desk: &mut Desk<'_>, workload: usize) {
        self.arcs.clear();
        self.yields.clear();
        let covers = tables.covers.offsets[workload]..tables.covers.offsets[workload + 1];
        desk.ways(&mut self.ways);
        for &way in &self.ways {
            let (load, start) = (desk.load(&way), self.yields.len());
            let mut hunger = 0.0_f64;
            for cover in covers.clone() {
                let each = yielded(tables, cover, &way, &load);
                if each > 0.0 {
                    hunger = hunger.max(tables.covers.quantity[cover] / each);
                }
                self.yields.push(each);
            }
            let most = desk.most(&way, &load, hunger);
            if most > 0 {
                self.arcs.push((way, load, desk.cost(&way, &load), most));
            } else {
                self.yields.truncate(start);
            }
        }
    }

    /// Late arcs cost this for each request/s on top: a multiple of the cheapest cost, in time if there is any.
    fn penalty(&self, factor: f64) -> f64 {
        let cheapest = |late: bool| {
            let some = self
                .arcs
                .iter()
                .filter(|arc| (late || !arc.0.late) && arc.1.rate > 0.0);
            some.map(|(_, load, cost, _)| (cost.own + cost.unit) / load.rate)
                .fold(f64::INFINITY, f64::min)
        };
        let found = Some(cheapest(false))
            .filter(|it| it.is_finite())
            .unwrap_or_else(|| cheapest(true));
        if found.is_finite() {
            factor * found.max(0.0)
        } else {
            0.0
        }
    }

    #[allow(clippy::cast_possible_truncation)] // indices of workloads, places and uses fit 32 bits
    fn finish<T: Number>(
        &self,
        tables: &Tables,
        desk: &Desk<'_>,
        workload: usize,
        arcs: &mut Arcs<T>,
    ) {
        let covers = tables.covers.offsets[workload]..tables.covers.offsets[workload + 1];
        let penalty = self.penalty(tables.constants.late_cost_factor);
        let mut dearest = vec![0.0_f64; covers.len()];
        let mut best = 0.0_f64;
        for (at, (way, load, cost, most)) in self.arcs.iter().enumerate() {
            let own = cost.own + if way.late { penalty * load.rate } else { 0.0 };
            for (dearest, &each) in dearest.iter_mut().zip(&self.yields[at * covers.len()..]) {
                if each > 0.0 {
                    *dearest = dearest.max((own + cost.unit) / each);
                }
            }
            best = best.max(load.rate);
            arcs.workload.push(workload as u32);
            arcs.place.push(way.place as u32);
            arcs.late.push(way.late);
            arcs.kept.push(way.kept);
            arcs.apart.push(way.apart);
            arcs.cost.push(T::of(own));
            arcs.most.push(u32::try_from(*most).unwrap_or(u32::MAX));
            arcs.watts.push(T::of(cost.watts));
            arcs.megabits.push(T::of(cost.megabits));
            arcs.push_uses(tables, desk.stands_alone(way), (workload, way.place), load);
        }
        arcs.yields
            .extend(self.yields.iter().map(|&each| T::of(each)));
        arcs.best_rate.push(best);
        let costs = covers.clone().zip(dearest);
        arcs.short_cost
            .extend(costs.map(|(cover, dearest)| short_cost(tables, workload, cover, dearest)));
    }
}

impl<T: Number> Arcs<T> {
    /// Lay the arcs of a batch after these.
    #[allow(clippy::cast_possible_truncation)] // as the offsets that are appended
    fn append(&mut self, mut batch: Self) {
        let first = self.use_resource.len() as u32;
        let ends = batch.use_offsets.iter().map(|end| first + end);
        self.use_offsets.extend(ends);
        macro_rules! columns {
            ($($field:ident),+) => { $(self.$field.append(&mut batch.$field);)+ };
        }
        columns!(
            workload, place, late, kept, apart, cost, most, yields, watts, megabits
        );
        columns!(use_resource, use_amount, short_cost, best_rate);
    }

    /// A share of a car, or of a server's resources; `use_offsets` has the end of each until all are joined.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    fn push_uses(
        &mut self,
        tables: &Tables,
        alone: bool,
        (workload, place): (usize, usize),
        load: &Load,
    ) {
        let mut push = |resource: u8, amount: f64| {
            self.use_resource.push(resource);
            self.use_amount.push(T::of(amount));
        };
        if tables.places.car[place] {
            push(0, 1.0 / load.fits as f64);
        } else {
            if alone {
                push(0, 1.0);
            }
            push(0, load.compute);
            push(1, 1.0);
            push(2, tables.workloads.memory[workload] as f64 / BYTES_PER_GB);
        }
        self.use_offsets.push(self.use_resource.len() as u32);
    }
}

/// The index of each server's resources: those for workloads apart come first, by workload.
fn name_resources<T>(tables: &Tables, arcs: &mut Arcs<T>) {
    let mut last = vec![u32::MAX; tables.place_count()];
    let mut count = vec![0_u8; tables.place_count()];
    let row = |arcs: &Arcs<T>, arc: usize| {
        arcs.use_offsets[arc] as usize..arcs.use_offsets[arc + 1] as usize
    };
    for arc in 0..arcs.place.len() {
        let (place, workload) = (arcs.place[arc] as usize, arcs.workload[arc]);
        let used = row(arcs, arc);
        if used.len() <= 3 {
            continue;
        }
        if last[place] != workload {
            last[place] = workload;
            count[place] += 1;
            arcs.alone_place.push(arcs.place[arc]);
            arcs.alone_workload.push(workload);
        }
        arcs.use_resource[used.start] = count[place] - 1;
    }
    for arc in 0..arcs.place.len() {
        let place = arcs.place[arc] as usize;
        if count[place] > 0 {
            let own = row(arcs, arc);
            for resource in &mut arcs.use_resource[own.end - 3..own.end] {
                *resource += count[place];
            }
        }
    }
}
