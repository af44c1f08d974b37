//! All workloads, by model name for callers and by key for cars.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::{info, warn};

use crate::definition::Definitions;
use crate::metrics::Metrics;
use crate::verify::Bound;
use crate::workload::Workload;

/// The index that requests read; replaced as a whole.
#[derive(Debug, Default)]
struct Index {
    by_key: BTreeMap<Arc<str>, Arc<Workload>>,
    by_model: HashMap<Arc<str>, Arc<Workload>>,
    /// Whether any source was read; before, the router is not ready.
    known: bool,
}

/// All workloads.
#[derive(Debug)]
pub struct Directory {
    index: RwLock<Arc<Index>>,
    metrics: Arc<Metrics>,
    rejection: Duration,
    hedge_percent: u8,
    checks: Bound,
    changed: Notify,
}

impl Directory {
    /// An empty directory, not ready. Workloads keep bad cars away for `rejection`, and hedge this percent of requests.
    pub fn new(metrics: Arc<Metrics>, rejection: Duration, hedge_percent: u8) -> Self {
        let (index, checks, changed) = (RwLock::default(), Bound::default(), Notify::new());
        Self { index, metrics, rejection, hedge_percent, checks, changed }
    }

    /// Follows what a source says now. Called by one task only.
    pub fn follow(&self, definitions: &Definitions) {
        let before = self.index();
        let mut next = Index { known: true, ..Index::default() };
        let mut by_age: Vec<_> = definitions.iter().collect();
        by_age.sort_by_key(|(key, definition)| (&definition.born, *key));
        for (key, definition) in by_age {
            if let Some(owner) = next.by_model.get(&definition.model) {
                warn!(workload = key, "model name {} belongs to {}, which is older", definition.model, owner.key);
                continue;
            }
            let known = before.by_key.get(&**key).filter(|workload| workload.model == definition.model);
            let workload = known.cloned().unwrap_or_else(|| {
                info!(workload = key, model = &*definition.model, "serving");
                let key: Arc<str> = key.as_str().into();
                let meters = self.metrics.of(&key);
                let workload = Workload::new(key, definition, meters, self.rejection, self.checks.clone());
                Arc::new(workload.hedging(self.hedge_percent))
            });
            workload.follow(definition);
            next.by_model.insert(definition.model.clone(), workload.clone());
            next.by_key.insert(workload.key.clone(), workload);
        }
        for (key, workload) in &before.by_key {
            match next.by_key.get(key) {
                Some(kept) if Arc::ptr_eq(kept, workload) => {}
                Some(_) => workload.close(),
                None => {
                    info!(workload = &**key, "no longer serving");
                    workload.close();
                    self.metrics.forget(key);
                }
            }
        }
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        self.changed.notify_one();
    }

    /// Waits until a source says something new. One task only may wait.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The workload that serves a model name.
    pub fn model(&self, name: &str) -> Option<Arc<Workload>> {
        self.index().by_model.get(name).cloned()
    }

    /// The workload of a key `namespace/name`.
    pub fn workload(&self, key: &str) -> Option<Arc<Workload>> {
        self.index().by_key.get(key).cloned()
    }

    /// Every workload, by key.
    pub fn all(&self) -> Vec<Arc<Workload>> {
        self.index().by_key.values().cloned().collect()
    }

    /// Whether any source was read.
    pub fn is_known(&self) -> bool {
        self.index().known
    }

    fn index(&self) -> Arc<Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::json;

    use super::Directory;
    use crate::definition::{Definition, Definitions};
    use crate::metrics::Metrics;

    fn definitions(rows: &[(&str, &str, &str)]) -> Definitions {
        let read = |(name, model, born): &(&str, &str, &str)| {
            let metadata = json!({"name": name, "namespace": "n", "creationTimestamp": born});
            Definition::read(json!({"metadata": metadata, "spec": {"model": {"name": model}}})).unwrap()
        };
        rows.iter().map(read).collect()
    }

    #[tokio::test]
    async fn the_oldest_owns_a_model_name() {
        let directory = Directory::new(Arc::new(Metrics::new().unwrap()), Duration::ZERO, 0);
        assert!(!directory.is_known());
        directory.follow(&definitions(&[("a", "m", "2026-02-01T00:00:00Z"), ("b", "m", "2026-01-01T00:00:00Z")]));
        assert_eq!(&*directory.model("m").unwrap().key, "n/b");
        assert!(directory.workload("n/a").is_none());
        directory.follow(&definitions(&[("a", "m", "2026-02-01T00:00:00Z")]));
        assert_eq!(&*directory.model("m").unwrap().key, "n/a");
    }

    #[tokio::test]
    async fn a_workload_that_stays_keeps_its_queue() {
        let directory = Directory::new(Arc::new(Metrics::new().unwrap()), Duration::ZERO, 0);
        let rows = definitions(&[("a", "m", ""), ("b", "o", "")]);
        directory.follow(&rows);
        let before = directory.model("m").unwrap();
        directory.follow(&definitions(&[("a", "m", "")]));
        assert!(Arc::ptr_eq(&before, &directory.model("m").unwrap()));
        assert!(directory.model("o").is_none());
        directory.follow(&definitions(&[("a", "renamed", "")]));
        assert!(directory.model("m").is_none());
    }
}
