//! What the cheapest units of each supply cost together.

use crate::problem::{Problem, Rows, number};

/// Prefix sums of the steps, cheapest first.
#[derive(Debug, Clone)]
pub struct MeritOrder {
    /// Before each step of a supply, and after its last: units, and $/h for all of them.
    marks: Rows<(i64, f64)>,
    /// Units that cost less than nothing, per supply.
    paid: Vec<i64>,
}

impl MeritOrder {
    /// The steps of every supply, added up.
    pub fn of(problem: &Problem) -> Self {
        let marks = (0..problem.supplies()).map(|supply| {
            let mut sums = (0, 0.0);
            let added = problem.steps.row(supply).iter().map(move |step| {
                sums = (sums.0 + step.count, sums.1 + number(step.count) * step.cost);
                sums
            });
            std::iter::once((0, 0.0)).chain(added)
        });
        Self {
            marks: Rows::new(marks),
            paid: (0..problem.supplies())
                .map(|supply| problem.paid_units(supply))
                .collect(),
        }
    }

    /// Units at any price.
    pub fn total(&self, supply: usize) -> i64 {
        self.marks.row(supply).last().map_or(0, |mark| mark.0)
    }

    /// Units that cost less than nothing.
    pub fn paid(&self, supply: usize) -> i64 {
        self.paid[supply]
    }

    /// $/h of the unit that comes after so many, and how many more cost as much; infinite when there is none.
    pub fn next(&self, supply: usize, units: i64) -> (f64, i64) {
        let marks = self.marks.row(supply);
        let after = marks.partition_point(|mark| mark.0 <= units);
        match (marks.get(after.wrapping_sub(1)), marks.get(after)) {
            (Some(start), Some(end)) => {
                ((end.1 - start.1) / number(end.0 - start.0), end.0 - units)
            }
            _ => (f64::INFINITY, 0),
        }
    }

    /// $/h of the cheapest units, the last in part; those that cost less than nothing are paid anyway.
    pub fn part_cost(&self, supply: usize, units: f64) -> f64 {
        let units = units.max(number(self.paid[supply]));
        let marks = self.marks.row(supply);
        let after = marks.partition_point(|mark| number(mark.0) < units);
        if after == 0 {
            return 0.0;
        }
        let (start, cost) = marks[after - 1];
        match marks.get(after) {
            Some(end) => cost + (end.1 - cost) * ((units - number(start)) / number(end.0 - start)),
            None => cost,
        }
    }

    /// $/h for a unit after so many, the last in part.
    pub fn part_price(&self, supply: usize, units: f64) -> f64 {
        if units < number(self.paid[supply]) {
            return 0.0;
        }
        let marks = self.marks.row(supply);
        let after = marks
            .partition_point(|mark| number(mark.0) <= units)
            .clamp(1, (marks.len() - 1).max(1));
        match (marks.get(after - 1), marks.get(after)) {
            (Some(start), Some(end)) => (end.1 - start.1) / number((end.0 - start.0).max(1)),
            _ => f64::INFINITY,
        }
    }

    /// $/h of the cheapest `units` units; those beyond the total are free.
    pub fn cost(&self, supply: usize, units: i64) -> f64 {
        let marks = self.marks.row(supply);
        let after = marks.partition_point(|mark| mark.0 < units);
        if after == 0 {
            return 0.0;
        }
        let (start, cost) = marks[after - 1];
        match marks.get(after) {
            Some(end) => cost + (end.1 - cost) * (number(units - start) / number(end.0 - start)),
            None => cost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::read;

    #[test]
    fn the_cheapest_units_come_first_and_empty_steps_count_for_nothing() {
        let problem = read(
            r#"{"version": 1, "limits": [], "demands": [], "arcs": [], "supplies": [{"id": "s", "capacity": {},
            "steps": [{"count": 2, "cost": 3}, {"count": 3, "cost": -1}, {"count": 0, "cost": 1}]}]}"#,
        )
        .expect("valid");
        let order = MeritOrder::of(&problem);
        let costs: Vec<f64> = (0..=6).map(|units| order.cost(0, units)).collect();
        assert_eq!(costs, [0.0, -1.0, -2.0, -3.0, 0.0, 3.0, 3.0]);
        assert_eq!((order.total(0), order.paid(0)), (5, 3));
        assert_eq!(
            [2, 3, 5].map(|units| order.next(0, units)),
            [(-1.0, 1), (3.0, 2), (f64::INFINITY, 0)]
        );
        let parts =
            [1.0, 3.5, 9.0].map(|units| (order.part_cost(0, units), order.part_price(0, units)));
        assert_eq!(parts, [(-3.0, 0.0), (-1.5, 3.0), (3.0, 3.0)]);
    }
}
