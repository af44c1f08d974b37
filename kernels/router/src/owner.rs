//! Who keeps the queue of a workload. Pure, and the same function as carlet's, which tells cars where to dial:
//! `docs/architecture.md`, "The owner of a workload".

use std::sync::Arc;

/// A router as its Lease, or a file, tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Router {
    /// Its id; the Lease is `parkade-router-<id>`.
    pub id: Arc<str>,
    /// `host:port` where other routers reach it; without it nothing can be forwarded there.
    pub peers: Option<Arc<str>>,
    /// When its Lease was renewed last, microseconds since 1970.
    pub renewed: i64,
    /// When its Lease expires, microseconds since 1970.
    pub expires: i64,
}

/// The rendezvous hash of a few names: FNV-1a 64 over the names joined by a line feed, finished by the 64-bit mixer of
/// `MurmurHash3`, because FNV alone hardly spreads names that differ in their last byte.
pub fn score(names: &[&str]) -> u64 {
    const PRIME: u64 = 1_099_511_628_211;
    let mut hash: u64 = 14_695_981_039_346_656_037;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            add(b'\n');
        }
        name.bytes().for_each(&mut add);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The routers whose Lease had not expired when the last of all was renewed: while others renew, a dead one is found out,
/// but an API server that takes no renewals moves nobody, and no clock but the Leases' is needed.
pub fn living(routers: &[Router]) -> impl Iterator<Item = &Router> {
    let latest = routers.iter().map(|router| router.renewed).max().unwrap_or_default();
    routers.iter().filter(move |router| router.expires > latest)
}

/// The living routers in the order in which they keep a workload's queue: the first is its owner, the next takes over when
/// the first is gone. The highest score first, the smaller id on a tie.
pub fn ranking<'a>(workload: &str, routers: &'a [Router]) -> Vec<&'a Router> {
    let mut ranked: Vec<_> = living(routers).map(|router| (score(&[workload, &router.id]), router)).collect();
    ranked.sort_by(|(one, left), (other, right)| other.cmp(one).then_with(|| left.id.cmp(&right.id)));
    ranked.into_iter().map(|(_, router)| router).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Router, ranking, score};

    const SECOND: i64 = 1_000_000;

    fn routers(count: usize) -> Vec<Router> {
        let router = |index| {
            let (renewed, expires) = (100 * SECOND, 115 * SECOND);
            Router { id: format!("r{index}").into(), peers: None, renewed, expires }
        };
        (0..count).map(router).collect()
    }

    /// The value is in `docs/architecture.md`, for whoever computes the same function elsewhere.
    #[test]
    fn the_score_is_the_documented_function() {
        assert_eq!(score(&["vision/sign-reader", "local"]), 0x2b80_e017_aa48_799b);
    }

    #[test]
    fn owners_are_spread_and_only_the_dead_ones_work_moves_to_the_next() {
        let all = routers(4);
        let mut owned: BTreeMap<&str, usize> = BTreeMap::new();
        for index in 0..4000 {
            let workload = format!("vision/w{index}");
            let before = ranking(&workload, &all);
            *owned.entry(&before[0].id).or_default() += 1;
            let after = ranking(&workload, &all[1..]);
            let expected = if &*before[0].id == "r0" { before[1] } else { before[0] };
            assert_eq!(after[0], expected, "{workload}");
        }
        assert!(owned.len() == 4 && owned.values().all(|count| (900..=1100).contains(count)), "{owned:?}");
    }

    #[test]
    fn routers_die_by_the_renewals_of_others() {
        let mut all = routers(2);
        let first = ranking("a/b", &all)[0].id.clone();
        let other = usize::from(all[0].id == first);
        all[other].renewed = 114 * SECOND;
        assert_eq!(ranking("a/b", &all)[0].id, first, "an unexpired router lost its workload");
        all[other].renewed = 115 * SECOND;
        all[other].expires = 130 * SECOND;
        let ranked = ranking("a/b", &all);
        assert_eq!(ranked.len(), 1, "an expired router kept its workload while another renewed");
        assert_eq!(ranked[0].id, all[other].id);
        assert!(ranking("a/b", &[]).is_empty());
    }
}
