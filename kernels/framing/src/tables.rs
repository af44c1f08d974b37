//! The tables that arcs follow from, as `parkade.problem` makes them; rows of two axes lie one after the other.

/// W workloads, M profiles, H kinds of hardware.
#[derive(Debug, Clone)]
pub struct Workloads {
    /// \[W\], requests/s; of a batch items/s.
    pub demand: Vec<f64>,
    /// \[W\], finite work without callers.
    pub batch: Vec<bool>,
    /// \[W\], minReplicas.
    pub least: Vec<f64>,
    /// \[W\].
    pub priority: Vec<f64>,
    /// \[W\], bytes of one replica.
    pub memory: Vec<usize>,
    /// \[W\], bytes that travel to a replica for one request.
    pub request: Vec<f64>,
    /// \[W\], bytes of one answer.
    pub response: Vec<f64>,
    /// \[W\].
    pub of_profile: Vec<usize>,
    /// \[M, H\], mean service time in seconds.
    pub seconds: Vec<f64>,
    /// \[M, H\], of one request; NaN where the hardware's power says it.
    pub joules: Vec<f64>,
    /// \[M, H\], requests/s of one server at best.
    pub server_rate: Vec<f64>,
    /// \[W, H\], bytes of the model file.
    pub size: Vec<f64>,
}

/// K places in P classes, of H kinds of hardware, in R regions.
#[derive(Debug, Clone)]
pub struct Places {
    /// \[K\].
    pub of_class: Vec<usize>,
    /// \[K\].
    pub of_region: Vec<usize>,
    /// \[K\].
    pub of_hardware: Vec<usize>,
    /// \[P\].
    pub class_region: Vec<usize>,
    /// \[P\].
    pub class_hardware: Vec<usize>,
    /// \[P\], share of the time in which a replica answers.
    pub class_availability: Vec<f64>,
    /// \[K\].
    pub car: Vec<bool>,
    /// \[K\], bytes of one unit.
    pub memory: Vec<usize>,
    /// \[K\], replicas of one unit.
    pub slots: Vec<usize>,
    /// \[K\], cars or servers.
    pub units: Vec<usize>,
    /// \[K\], $/h of the dearest unit.
    pub unit_cost: Vec<f64>,
    /// \[K\], of the hungriest unit while anything runs on it.
    pub unit_watts: Vec<f64>,
    /// \[K\], $ per kWh.
    pub dollars: Vec<f64>,
    /// \[K\], $ per kWh.
    pub carbon_dollars: Vec<f64>,
    /// \[K\].
    pub pue: Vec<f64>,
    /// \[K\], of a busy server beyond idle.
    pub dynamic_watts: Vec<f64>,
    /// \[K\], $ per GB of the link.
    pub per_gb: Vec<f64>,
    /// \[K\], share of the time in which a replica answers.
    pub availability: Vec<f64>,
    /// \[K\], servers have a resource `apart/...` for each workload, which its first instance on a server takes; at
    /// most 250 workloads want that of one place.
    pub alone: Vec<bool>,
    /// \[R\], share of a region's cars that may leave at once.
    pub shocks: Vec<f64>,
}

/// X kinds of workloads by P classes of places, E tails, and a table of rows by trips by pool sizes.
#[derive(Debug, Clone)]
pub struct Reach {
    /// Pool sizes of the table, rising.
    pub pools: Vec<f64>,
    /// \[rows, trips, pools\], rho\*.
    pub table: Vec<f64>,
    /// Trips of the table.
    pub trips: usize,
    /// \[X, E\], row of the table; -1 without a profile.
    pub row: Vec<i64>,
    /// \[P\], index of the tail.
    pub tail: Vec<usize>,
    /// \[callers, R\], column of the table.
    pub trip: Vec<usize>,
    /// \[X, most callers\]; -1 where there are fewer.
    pub callers: Vec<i64>,
    /// \[X, most callers\], group of each caller.
    pub group: Vec<usize>,
    /// \[X, P\], groups that are answered in time.
    pub mask: Vec<u8>,
    /// \[X\], groups that no place answers in time.
    pub late: Vec<u8>,
    /// \[W\], kind of each workload.
    pub of_kind: Vec<usize>,
    /// \[W, 8\], requests/s of the groups of a mask.
    pub asked: Vec<f64>,
}

/// C covers of W workloads.
#[derive(Debug, Clone)]
pub struct Covers {
    /// \[W + 1\].
    pub offsets: Vec<usize>,
    /// \[C\], as `parkade.problem.covers.Kind`.
    pub kind: Vec<usize>,
    /// \[C\], mask of caller groups or index of a region; -1 for all regions.
    pub argument: Vec<i64>,
    /// \[C\], requests/s or replicas.
    pub quantity: Vec<f64>,
    /// \[W\], whether a cover asks for servers apart.
    pub wants_apart: Vec<bool>,
}

/// Whole numbers of a few (workload, place) pairs.
#[derive(Debug, Clone, Default)]
pub struct Sparse {
    /// workload * K + place, rising.
    pub pair: Vec<usize>,
    /// By pair.
    pub value: Vec<usize>,
}

impl Sparse {
    /// The pair's number, if it has one.
    pub(crate) fn get(&self, pair: usize) -> Option<usize> {
        let at = self.pair.binary_search(&pair).ok()?;
        Some(self.value[at])
    }
}

/// Numbers that are the same for all pairs.
#[derive(Debug, Clone)]
pub struct Constants {
    /// Utilisation of a replica that answers late.
    pub late_utilisation: f64,
    /// A server takes at most this times its rate until others are warm.
    pub burst_factor: f64,
    /// $ per GB of answers that leave the datacenter.
    pub egress_per_gb: f64,
    /// Hours over which the cost of a move is spread.
    pub stay_hours: f64,
    /// Late arcs cost this times the cheapest cost per request/s on top.
    pub late_cost_factor: f64,
    /// A shortfall costs this times the dearest arc's full cost for a unit of the cover.
    pub short_cost_factor: f64,
    /// Of that, for covers that ask for no rate.
    pub structure_cost_factor: f64,
    /// $/h; a shortfall costs this at least.
    pub least_short_cost: f64,
    /// Rates are planned this many times higher.
    pub rate_safety: f64,
    /// Pools count as this large at most.
    pub largest_pool: f64,
    /// Seconds that a new replica holds its unit before it answers.
    pub warm_up: f64,
    /// Of the unit's cost, for the chance that a start fails.
    pub risk_share: f64,
    /// $/h.
    pub least_risk: f64,
    /// Cars or servers that hold a workload of two replicas or more.
    pub apart: usize,
}

/// All that the arcs of a problem follow from.
#[derive(Debug, Clone)]
pub struct Tables {
    /// W of them.
    pub workloads: Workloads,
    /// K of them.
    pub places: Places,
    /// Who is answered where.
    pub reached: Reach,
    /// What workloads want.
    pub covers: Covers,
    /// \[U, K\], places that a workload may use.
    pub usable: Vec<bool>,
    /// \[W\], row of `usable`.
    pub of_usable: Vec<usize>,
    /// Replicas that run.
    pub kept: Sparse,
    /// Servers that hold them.
    pub kept_units: Sparse,
    /// Most replicas that may be started, where there is such a limit.
    pub most_new: Sparse,
    /// The same for all pairs.
    pub constants: Constants,
}

impl Tables {
    /// Number of workloads.
    #[must_use]
    pub fn workload_count(&self) -> usize {
        self.workloads.demand.len()
    }

    /// Number of places.
    #[must_use]
    pub fn place_count(&self) -> usize {
        self.places.car.len()
    }

    /// Where a workload's figure on a kind of hardware is, in arrays of shape \[M, H\].
    pub(crate) fn figure(&self, workload: usize, hardware: usize) -> usize {
        self.workloads.of_profile[workload] * self.hardware_count() + hardware
    }

    /// Kinds of hardware.
    pub(crate) fn hardware_count(&self) -> usize {
        self.workloads.size.len() / self.workload_count().max(1)
    }

    /// Where a workload's number at a class is, in arrays of shape \[X, P\].
    pub(crate) fn reach_at(&self, workload: usize, class: usize) -> usize {
        self.reached.of_kind[workload] * self.places.class_region.len() + class
    }
}
