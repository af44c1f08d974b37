//! Where definitions come from: the API server, or a file. Whatever was last known stays while the source is away.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tracing::{info, warn};

use crate::definition::{Definition, Definitions};
use crate::directory::Directory;
use crate::files;

/// Follows a file that holds a JSON or YAML list of `InferenceWorkload` objects.
pub async fn follow_file(path: PathBuf, directory: Arc<Directory>) {
    files::follow(path, move |bytes| {
        directory.follow(&read_list(bytes)?);
        Ok(())
    })
    .await;
}

fn read_list(bytes: &[u8]) -> Result<Definitions, String> {
    // YAML 1.1 reads `n` and `yes` as truths; names of namespaces are text.
    let options = serde_saphyr::options! { strict_booleans: true };
    let objects: Vec<serde_json::Value> = serde_saphyr::from_slice_with_options(bytes, options)
        .map_err(|error| format!("placements are not a JSON or YAML list of objects: {error}"))?;
    let mut definitions = Definitions::new();
    for object in objects {
        let (key, definition) = Definition::read(object)?;
        definitions.insert(key, definition);
    }
    Ok(definitions)
}

/// Follows all `InferenceWorkload` objects of the cluster.
pub async fn follow_cluster(client: Client, directory: Arc<Directory>) {
    let kind = GroupVersionKind::gvk("parkade.dev", "v1alpha1", "InferenceWorkload");
    let resource = ApiResource::from_gvk_with_plural(&kind, "inferenceworkloads");
    let workloads: Api<DynamicObject> = Api::all_with(client, &resource);
    let mut events = watcher(workloads, watcher::Config::default()).default_backoff().boxed();
    let mut known = Definitions::new();
    let mut listed = Definitions::new();
    let mut reachable = true;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if !std::mem::replace(&mut reachable, true) {
                    info!("the API server answers again");
                }
                if follow_event(event, &mut known, &mut listed) {
                    directory.follow(&known);
                }
            }
            Err(error) => {
                if std::mem::replace(&mut reachable, false) {
                    warn!("the API server does not answer: {error}; serving goes on with what is known");
                }
            }
        }
    }
}

/// Applies one event; true if `known` may have changed.
fn follow_event(event: watcher::Event<DynamicObject>, known: &mut Definitions, listed: &mut Definitions) -> bool {
    match event {
        watcher::Event::Init => {
            listed.clear();
            false
        }
        watcher::Event::InitApply(object) => {
            let key = key(&object);
            if let Some(definition) = read(object).or_else(|| known.get(&key).cloned()) {
                listed.insert(key, definition);
            }
            false
        }
        watcher::Event::InitDone => {
            *known = std::mem::take(listed);
            true
        }
        watcher::Event::Apply(object) => {
            let key = key(&object);
            read(object).map(|definition| known.insert(key, definition)).is_some()
        }
        watcher::Event::Delete(object) => {
            known.remove(&key(&object));
            true
        }
    }
}

/// One object that cannot be read keeps its last good reading and never stops the others.
fn read(object: DynamicObject) -> Option<Definition> {
    let key = key(&object);
    let read = serde_json::to_value(object).map_err(|error| error.to_string()).and_then(Definition::read);
    match read {
        Ok((_, definition)) => Some(definition),
        Err(sentence) => {
            warn!(workload = key, "{sentence}; its last good reading stays");
            None
        }
    }
}

fn key(object: &DynamicObject) -> String {
    let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
    format!("{namespace}/{}", object.metadata.name.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use kube::api::DynamicObject;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::{follow_event, read_list};
    use crate::definition::Definitions;

    fn object(name: &str, model: &serde_json::Value) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "n"}, "spec": {"model": model}})).unwrap()
    }

    #[test]
    fn lists_in_json_and_yaml() {
        let yaml = "- metadata: {name: a, namespace: n}\n  spec: {model: {name: m}}\n";
        let json = r#"[{"metadata": {"name": "a", "namespace": "n"}, "spec": {"model": {"name": "m"}}}]"#;
        assert_eq!(read_list(yaml.as_bytes()).unwrap(), read_list(json.as_bytes()).unwrap());
        assert!(read_list(b"{}").is_err());
    }

    #[test]
    fn a_relist_forgets_what_is_gone_and_keeps_what_cannot_be_read() {
        let (mut known, mut listed) = (Definitions::new(), Definitions::new());
        let good = json!({"name": "m"});
        for name in ["a", "b"] {
            assert!(follow_event(Event::Apply(object(name, &good)), &mut known, &mut listed));
        }
        let before = known.clone();
        for event in [Event::Init, Event::InitApply(object("a", &json!(7)))] {
            assert!(!follow_event(event, &mut known, &mut listed));
            assert_eq!(known, before, "an unfinished list changes nothing");
        }
        assert!(follow_event(Event::InitDone, &mut known, &mut listed));
        assert_eq!(known.keys().collect::<Vec<_>>(), ["n/a"]);
        assert_eq!(known["n/a"], before["n/a"]);
        follow_event(Event::Delete(object("a", &good)), &mut known, &mut listed);
        assert!(known.is_empty());
    }
}
