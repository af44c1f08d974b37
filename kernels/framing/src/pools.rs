//! How busy the replicas of a workload may be: rho\* of the smallest pool that carries its demand.

use crate::tables::Tables;

/// rho\* of a workload at a class of places, the lowest over the callers that are answered in time there.
///
/// All replicas of a workload share one queue. A batch has no callers: its items wait in the store.
pub(crate) fn utilisation(tables: &Tables, workload: usize, class: usize) -> f64 {
    let (workloads, places, reached) = (&tables.workloads, &tables.places, &tables.reached);
    if workloads.batch[workload] {
        return 1.0;
    }
    let kinds = reached.late.len();
    let (tails, slots) = (reached.row.len() / kinds, reached.callers.len() / kinds);
    let kind = reached.of_kind[workload];
    let Ok(row) = usize::try_from(reached.row[kind * tails + reached.tail[class]]) else {
        return 0.0;
    };
    let mask = reached.mask[tables.reach_at(workload, class)];
    let seconds = workloads.seconds[tables.figure(workload, places.class_hardware[class])];
    let load = workloads.demand[workload] * seconds * tables.constants.rate_safety
        / places.class_availability[class];
    let least = workloads.least[workload].max(1.0);
    let sizes = &reached.pools;
    let found = (kind * slots..(kind + 1) * slots)
        .filter(|&slot| (mask >> reached.group[slot]) & 1 == 1)
        .filter_map(|slot| usize::try_from(reached.callers[slot]).ok())
        .map(|caller| {
            let trip = reached.trip[caller * places.shocks.len() + places.class_region[class]];
            let start = (row * reached.trips + trip) * sizes.len();
            let rhos = &reached.table[start..start + sizes.len()];
            let size = smallest_pool(rhos, sizes, load).max(least);
            at_size(rhos, sizes, size.min(tables.constants.largest_pool))
        })
        .fold(f64::INFINITY, f64::min);
    if found.is_finite() { found } else { 0.0 }
}

/// Replicas of the smallest pool that carries `load` busy ones; the largest of `sizes` at most.
fn smallest_pool(rhos: &[f64], sizes: &[f64], load: f64) -> f64 {
    let below = rhos
        .iter()
        .zip(sizes)
        .filter(|&(rho, size)| rho * size < load)
        .count();
    let upper = below.min(sizes.len() - 1);
    let lower = upper.saturating_sub(1);
    let slope = (rhos[upper] - rhos[lower]) / (sizes[upper] - sizes[lower]).max(1.0);
    let start = rhos[lower] - slope * sizes[lower];
    // (start + slope c) c = load between the two sizes
    let root = (start * start + 4.0 * slope * load).max(0.0).sqrt();
    let size = 2.0 * load / (start + root).max(1e-12);
    (size - 1e-9).ceil().max(sizes[lower]).min(sizes[upper])
}

/// rho\* on straight lines between the sizes of the table.
fn at_size(rhos: &[f64], sizes: &[f64], size: f64) -> f64 {
    let upper = sizes
        .partition_point(|&each| each < size)
        .clamp(1, sizes.len() - 1);
    let lower = upper - 1;
    let part = ((size - sizes[lower]) / (sizes[upper] - sizes[lower])).clamp(0.0, 1.0);
    // A pool that is too small for any utilisation promises nothing to the sizes between it and the next.
    let useful = if rhos[lower] > 0.0 || part >= 1.0 {
        part
    } else {
        0.0
    };
    rhos[lower] * (1.0 - useful) + rhos[upper] * useful
}

#[cfg(test)]
mod tests {
    use super::{at_size, smallest_pool};

    const SIZES: [f64; 3] = [1.0, 2.0, 8.0];

    #[test]
    fn the_smallest_pool_just_carries_the_load() {
        let rhos = [0.2, 0.4, 0.7];
        for load in [0.1, 0.3, 0.9, 2.0, 5.0] {
            let size = smallest_pool(&rhos, &SIZES, load);
            assert!(size * at_size(&rhos, &SIZES, size) >= load);
            assert!(size <= 1.0 || (size - 1.0) * at_size(&rhos, &SIZES, size - 1.0) < load);
        }
        assert!((smallest_pool(&rhos, &SIZES, 100.0) - 8.0).abs() < 1e-12);
    }

    #[test]
    fn a_useless_pool_promises_nothing_to_larger_ones() {
        let rhos = [0.0, 0.0, 0.6];
        assert!(at_size(&rhos, &SIZES, 7.0) <= 0.0);
        assert!((at_size(&rhos, &SIZES, 8.0) - 0.6).abs() < 1e-12);
    }
}
