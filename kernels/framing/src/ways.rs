//! The ways to run one workload: what one replica takes, serves and costs at each place.

use crate::pools::utilisation;
use crate::tables::Tables;

const SECONDS_PER_HOUR: f64 = 3600.0;
const BYTES_PER_GB: f64 = 1e9;

/// What tells an arc of a workload from its others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) place: usize,
    /// It serves callers that no place answers in time.
    pub(crate) late: bool,
    /// These replicas run already.
    pub(crate) kept: bool,
    /// Alone on its car, or the first on its server.
    pub(crate) apart: bool,
}

/// What one replica takes and serves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Caller groups.
    pub(crate) mask: u8,
    /// Requests/s that it may take.
    pub(crate) rate: f64,
    /// Requests/s that it takes for the minutes until others are warm.
    pub(crate) burst: f64,
    /// Requests/s expected of it.
    pub(crate) carried: f64,
    /// Replicas that one unit holds.
    pub(crate) fits: usize,
    /// Share of a server's compute; 0 for cars.
    pub(crate) compute: f64,
    /// Of the unit's scarcest resource.
    pub(crate) share: f64,
}

/// What one replica costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// $/h beyond the unit.
    pub(crate) own: f64,
    /// $/h of its share of the dearest unit; a whole one where it stands alone.
    pub(crate) unit: f64,
    /// With its share of a unit.
    pub(crate) watts: f64,
    /// Per second over the vehicle's link; 0 for servers.
    pub(crate) megabits: f64,
}

/// One workload, with what was computed for it at classes of places.
pub(crate) struct Desk<'a> {
    tables: &'a Tables,
    workload: usize,
    /// rho\* by class; NaN until it is asked for.
    rhos: Vec<f64>,
}

#[allow(clippy::cast_precision_loss)] // bytes and counts lie far below 2^53
impl<'a> Desk<'a> {
    pub(crate) fn new(tables: &'a Tables) -> Self {
        Self {
            tables,
            workload: 0,
            rhos: vec![f64::NAN; tables.places.class_region.len()],
        }
    }

    pub(crate) fn turn_to(&mut self, workload: usize) {
        self.workload = workload;
        self.rhos.fill(f64::NAN);
    }

    /// Arcs in the order of places; in time before late, kept before new, alone before further.
    pub(crate) fn ways(&self, found: &mut Vec<Way>) {
        found.clear();
        let (tables, workload) = (self.tables, self.workload);
        let count = tables.place_count();
        let row = tables.of_usable[workload];
        let usable = &tables.usable[row * count..(row + 1) * count];
        let late = tables.reached.late[tables.reached.of_kind[workload]] > 0;
        let silent = tables.workloads.demand[workload] == 0.0;
        for place in (0..count).filter(|&place| usable[place]) {
            let at = tables.reach_at(workload, tables.places.of_class[place]);
            let in_time = silent || tables.reached.mask[at] > 0;
            let held = tables.kept.get(workload * count + place);
            let runs = held.is_some_and(|held| held > 0);
            let mut offer = |late, kept| {
                for apart in [true, false] {
                    if apart || !tables.places.car[place] {
                        found.push(Way {
                            place,
                            late,
                            kept,
                            apart,
                        });
                    }
                }
            };
            if runs && (in_time || late) {
                offer(!in_time, true); // replicas that run are offered once
            }
            if in_time {
                offer(false, false);
            }
            if late {
                offer(true, false);
            }
        }
    }

    /// Rates from rho\*, and shares of a unit.
    ///
    /// Rate of a replica = availability * rho\* / (1.04 * service time); late ones at `late_utilisation`. It is
    /// expected to carry its rate, or its part of the demand once minReplicas run. Instances share a server's
    /// compute, so that is counted by `maxRatePerServer`; without one, by 1 / serviceTime.
    pub(crate) fn load(&mut self, way: &Way) -> Load {
        let (tables, w, k) = (self.tables, self.workload, way.place);
        let (workloads, places, reached) = (&tables.workloads, &tables.places, &tables.reached);
        let (constants, class) = (&tables.constants, places.of_class[k]);
        let figure = tables.figure(w, places.of_hardware[k]);
        let safety = if workloads.batch[w] {
            1.0
        } else {
            constants.rate_safety
        };
        let at_full = places.availability[k] / (safety * workloads.seconds[figure]);
        let late_rate = constants.late_utilisation * at_full;
        let rate = if way.late {
            late_rate
        } else {
            self.rho(class) * at_full
        };
        let own = reached.mask[tables.reach_at(w, class)];
        let mask = if way.late {
            own | reached.late[reached.of_kind[w]]
        } else {
            own
        };
        let asked = reached.asked[w * 8 + usize::from(mask)];
        let carried = rate.min(asked / workloads.least[w].max(1.0));
        let fits = places.slots[k].min(
            places.memory[k]
                .checked_div(workloads.memory[w])
                .unwrap_or(0),
        );
        let (mut compute, mut share) = (0.0, 1.0 / fits.max(1) as f64);
        if !places.car[k] {
            compute = (carried / workloads.server_rate[figure]).min(1.0);
            let memory = workloads.memory[w] as f64 / places.memory[k] as f64;
            share = compute.max((1.0 / places.slots[k] as f64).max(memory));
        }
        let burst = rate.max((rate * constants.burst_factor).min(late_rate));
        Load {
            mask,
            rate,
            burst,
            carried,
            fits,
            compute,
            share,
        }
    }

    fn rho(&mut self, class: usize) -> f64 {
        if self.rhos[class].is_nan() {
            self.rhos[class] = utilisation(self.tables, self.workload, class);
        }
        self.rhos[class]
    }

    /// Dynamic energy beyond the unit's step, bytes, and for new replicas the move.
    ///
    /// A busy car's step holds its whole computer, so requests add nothing to it. The datacenter pays egress for
    /// answers; a vehicle's link carries requests and answers.
    pub(crate) fn cost(&self, way: &Way, load: &Load) -> Cost {
        let (w, k, places) = (self.workload, way.place, &self.tables.places);
        let (workloads, constants) = (&self.tables.workloads, &self.tables.constants);
        let (car, both) = (places.car[k], workloads.request[w] + workloads.response[w]);
        let (mut watts, mut per_request) = (0.0, both * places.per_gb[k]);
        if !car {
            let figure = self.tables.figure(w, places.of_hardware[k]);
            let mut joules = workloads.joules[figure];
            if joules.is_nan() {
                joules = places.dynamic_watts[k] * workloads.seconds[figure];
            }
            watts = joules * load.carried * places.pue[k];
            per_request = workloads.response[w] * constants.egress_per_gb;
        }
        let kilowatts = watts / 1000.0;
        let network = SECONDS_PER_HOUR * load.carried / BYTES_PER_GB * per_request;
        let energy = kilowatts * places.dollars[k] + kilowatts * places.carbon_dollars[k];
        let moving = if way.kept { 0.0 } else { self.moving(k, load) };
        let alone = self.stands_alone(way);
        Cost {
            own: energy + network + moving,
            unit: places.unit_cost[k] * if alone { 1.0 } else { load.share },
            watts: watts
                + if car {
                    places.unit_watts[k] * load.share
                } else {
                    0.0
                },
            megabits: if car {
                load.carried * both * 8.0 / 1e6
            } else {
                0.0
            },
        }
    }

    /// $/h to bring one replica up, spread over its expected stay: bytes over the link, warm-up, risk.
    fn moving(&self, place: usize, load: &Load) -> f64 {
        let (places, constants) = (&self.tables.places, &self.tables.constants);
        let unit = places.unit_cost[place].abs() / load.fits.max(1) as f64;
        let kinds = self.tables.hardware_count();
        let size = self.tables.workloads.size[self.workload * kinds + places.of_hardware[place]];
        let once = size / BYTES_PER_GB * places.per_gb[place]
            + unit * constants.warm_up / SECONDS_PER_HOUR;
        once / constants.stay_hours + constants.least_risk.max(constants.risk_share * unit)
    }

    /// Whether the replica takes the resource `apart/...` of its server.
    pub(crate) fn stands_alone(&self, way: &Way) -> bool {
        way.apart
            && self.tables.places.alone[way.place]
            && self.tables.covers.wants_apart[self.workload]
    }

    /// Most replicas worth having: what runs, or what the hungriest cover can use, within what the place holds.
    ///
    /// `hunger` is the largest quantity / yield of the workload's covers.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, which the place cuts off
    pub(crate) fn most(&self, way: &Way, load: &Load, hunger: f64) -> usize {
        let (tables, k) = (self.tables, way.place);
        let (places, apart, car) = (&tables.places, tables.constants.apart, tables.places.car[k]);
        let pair = self.workload * tables.place_count() + k;
        if way.kept {
            let (held, units) = (tables.kept.get(pair), tables.kept_units.get(pair));
            let (held, units) = (held.unwrap_or(0), units.unwrap_or(0));
            let first = if car { held } else { apart.min(units) };
            return if way.apart {
                first
            } else {
                held.saturating_sub(first)
            };
        }
        let room = if way.apart && !car {
            apart.min(places.units[k])
        } else {
            places.units[k] * load.fits
        };
        let useful = room.min((hunger - 1e-9).ceil() as usize);
        tables
            .most_new
            .get(pair)
            .map_or(useful, |limit| useful.min(limit))
    }
}
