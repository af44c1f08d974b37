//! Problems in which one replica of one arc is all that a demand wants, and units are free while there are any: the
//! generalised assignment problem, in which a supply that is out of units is the only scarcity.
//!
//! `prices` finds what every resource is worth, `choices` keeps each demand's best arcs at those prices, `anneal`
//! moves the demands among them by cyclic exchanges (`exchange`) in a plan that may overload a resource (`plan`), at a
//! charge that grows until it may not.

mod anneal;
mod choices;
mod draws;
mod exchange;
mod plan;
mod prices;

use crate::bound::RowPrices;
use crate::budget::Budget;
use crate::problem::Problem;
use anneal::Goal;
use choices::Choices;
use prices::Worths;

/// A problem of this class, with the prices of its resources.
pub struct Single<'p> {
    problem: &'p Problem,
    offers: choices::Offers,
}

impl<'p> Single<'p> {
    /// The problem if it belongs here.
    pub fn of(problem: &'p Problem) -> Option<Self> {
        let offers = choices::Offers::of(problem)?;
        Some(Self { problem, offers })
    }

    /// Prices under which the bound is high, from the given ones upwards.
    pub fn prices(&self, budget: &mut Budget<'_>) -> RowPrices {
        let mut prices = RowPrices::zero(self.problem);
        prices.supplies = Worths::of(&self.offers).climb(budget);
        prices
    }

    /// Search until the budget is spent, nothing helps, or no plan can be cheaper; replicas per arc.
    pub fn plan(&self, prices: &RowPrices, bound: f64, budget: &mut Budget<'_>) -> Vec<i64> {
        let choices = Choices::new(&self.offers, &prices.supplies);
        let goal = Goal::new(&self.offers, bound);
        let best = anneal::search(&choices, &goal, budget);
        let mut replicas = vec![0; self.problem.arcs()];
        for &at in &best.chosen {
            if let Some(arc) = choices.arc(at as usize) {
                replicas[arc] = 1;
            }
        }
        replicas
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::number;
    use crate::solve::solve;
    use crate::status::Status;
    use crate::{Solution, json};

    /// Items as demands, agents as supplies; cost and amount of each item by agent.
    fn assignment(capacity: &[i64], cost: &[Vec<i64>], amount: &[Vec<i64>], short: i64) -> String {
        let demands = (0..cost.len()).map(|item| {
            format!(r#"{{"id": "{item}", "covers": [{{"id": "c", "quantity": 1, "short_cost": {short}}}]}}"#)
        });
        let supplies = capacity.iter().enumerate().map(|(agent, capacity)| {
            format!(r#"{{"id": "{agent}", "steps": [{{"count": 1, "cost": 0}}], "capacity": {{"r": {capacity}}}}}"#)
        });
        let arcs = (0..cost.len() * capacity.len()).map(|at| {
            let (item, agent) = (at / capacity.len(), at % capacity.len());
            let (cost, amount) = (cost[item][agent], amount[item][agent]);
            format!(
                r#"{{"id": "a", "demand": {item}, "supply": {agent}, "yields": [1], "cost": {cost}, "use": {{"r": {amount}}}, "max": 1}}"#
            )
        });
        let list =
            |entries: &mut dyn Iterator<Item = String>| entries.collect::<Vec<_>>().join(",");
        format!(
            r#"{{"version": 1, "limits": [], "demands": [{}], "supplies": [{}], "arcs": [{}]}}"#,
            list(&mut demands.into_iter()),
            list(&mut supplies.into_iter()),
            list(&mut arcs.into_iter())
        )
    }

    /// Costs and amounts that pull apart, so that capacity decides.
    fn drawn(seed: u64, items: usize, agents: usize) -> (Vec<i64>, Vec<Vec<i64>>, Vec<Vec<i64>>) {
        let mut draws = draws::Draws::new(seed);
        let mut draw = |most: usize| i64::try_from(draws.below(most)).unwrap();
        let mut row = |_| -> Vec<i64> { (0..agents).map(|_| 1 + draw(20)).collect() };
        let amount: Vec<Vec<i64>> = (0..items).map(&mut row).collect();
        let cost = amount
            .iter()
            .map(|row| row.iter().map(|amount| 30 - amount + draw(5)).collect());
        let cost: Vec<Vec<i64>> = cost.collect();
        let all = |agent: usize| amount.iter().map(|row| row[agent]).sum::<i64>();
        let share = i64::try_from(agents).unwrap();
        let capacity = (0..agents)
            .map(|agent| all(agent) * 4 / (5 * share))
            .collect();
        (capacity, cost, amount)
    }

    /// The optimum by enumeration; an item may be left out for `short`.
    fn least(capacity: &mut [i64], cost: &[Vec<i64>], amount: &[Vec<i64>], short: i64) -> i64 {
        let (Some((costs, cost)), Some((amounts, amount))) =
            (cost.split_first(), amount.split_first())
        else {
            return 0;
        };
        let mut best = short + least(capacity, cost, amount, short);
        for agent in 0..capacity.len() {
            if amounts[agent] <= capacity[agent] {
                capacity[agent] -= amounts[agent];
                best = best.min(costs[agent] + least(capacity, cost, amount, short));
                capacity[agent] += amounts[agent];
            }
        }
        best
    }

    fn solved(text: &str, threads: usize, work: u64) -> Solution {
        let problem = json::read(text).unwrap();
        assert!(Single::of(&problem).is_some());
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| solve(&problem, &mut Budget::new(work, &|| false)))
    }

    #[test]
    fn small_problems_are_solved_to_the_optimum() {
        for seed in 1..9 {
            for short in [12, 1000] {
                let (mut capacity, cost, amount) = drawn(seed, 8, 3);
                let solution = solved(&assignment(&capacity, &cost, &amount, short), 1, 300_000);
                let optimum = number(least(&mut capacity, &cost, &amount, short));
                let found = solution.objective;
                assert!(
                    (found - optimum).abs() < 1e-6,
                    "seed {seed}: {found}, not {optimum}"
                );
                assert!(solution.bound <= solution.objective);
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let (capacity, cost, amount) = drawn(1, 60, 6);
        let text = assignment(&capacity, &cost, &amount, 1000);
        assert_eq!(solved(&text, 1, 300_000), solved(&text, 2, 300_000));
    }

    #[test]
    fn what_cannot_be_served_costs_its_shortfall() {
        let text = assignment(
            &[5, 0],
            &[vec![1, 1], vec![2, 1]],
            &[vec![4, 4], vec![4, 4]],
            10,
        );
        let solution = solved(&text, 1, 100_000);
        assert_eq!(
            (solution.objective, solution.replicas),
            (11.0, vec![1, 0, 0, 0])
        );
    }

    #[test]
    fn an_interrupted_search_still_has_a_plan() {
        let (capacity, cost, amount) = drawn(2, 60, 6);
        let problem = json::read(&assignment(&capacity, &cost, &amount, 1000)).unwrap();
        let solution = solve(&problem, &mut Budget::new(1_000_000, &|| true));
        assert_eq!(solution.status, Status::TimeLimit);
        assert!(solution.bound <= solution.objective);
    }

    #[test]
    fn other_problems_are_left_to_others() {
        let (capacity, cost, amount) = drawn(1, 3, 2);
        let text = assignment(&capacity, &cost, &amount, 9);
        for (old, new) in [
            (r#""quantity": 1,"#, r#""quantity": 2,"#),
            (r#""count": 1, "cost": 0"#, r#""count": 1, "cost": 1"#),
            (
                r#""limits": []"#,
                r#""limits": [{"id": "l", "bound": 1, "terms": [[0, 1]]}]"#,
            ),
        ] {
            assert!(text.contains(old));
            assert!(
                Single::of(&json::read(&text.replace(old, new)).unwrap()).is_none(),
                "{new}"
            );
        }
    }
}
