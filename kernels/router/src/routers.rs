//! Which routers there are: their Leases, or a file. Whatever was last known stays while the source is away.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde::Deserialize;
use tokio::sync::watch;

use crate::files;
use crate::lease::{CARS, COMPONENT, NAME, PEERS};
use crate::owner::Router;

/// Follows a file that holds a JSON or YAML list of `{id, peers, cars}`; all of them live.
pub async fn follow_file(path: PathBuf, known: watch::Sender<Vec<Router>>) {
    files::follow(path, |bytes| read_list(bytes).map(|routers| drop(known.send_replace(routers)))).await;
}

#[derive(Deserialize)]
struct Row {
    id: Arc<str>,
    peers: Option<Arc<str>>,
    cars: Option<String>,
}

fn read_list(bytes: &[u8]) -> Result<Vec<Router>, String> {
    let rows: Vec<Row> = serde_saphyr::from_slice(bytes)
        .map_err(|error| format!("--peers is not a JSON or YAML list of {{id, peers, cars}}: {error}"))?;
    // As with Leases, who does not say where cars dial keeps no queue.
    let rows = rows.into_iter().filter(|row| row.cars.as_ref().is_some_and(|cars| !cars.is_empty()));
    Ok(rows.map(|row| Router { id: row.id, peers: row.peers, renewed: 0, expires: 1 }).collect())
}

/// Follows the Leases of the routers in one namespace.
pub async fn follow_leases(client: Client, namespace: String, known: watch::Sender<Vec<Router>>) {
    let leases: Api<Lease> = Api::namespaced(client, &namespace);
    let config = watcher::Config::default().labels(COMPONENT);
    let mut events = watcher(leases, config).default_backoff().boxed();
    let (mut living, mut listed) = (BTreeMap::new(), BTreeMap::new());
    while let Some(event) = events.next().await {
        // Placements are watched on the same API server, and say when it does not answer.
        let Ok(event) = event else { continue };
        if follow_event(event, &mut living, &mut listed) {
            known.send_replace(living.values().cloned().collect());
        }
    }
}

/// Applies one event; true if `living` may have changed.
fn follow_event(
    event: watcher::Event<Lease>,
    living: &mut BTreeMap<String, Router>,
    listed: &mut BTreeMap<String, Router>,
) -> bool {
    let name = |lease: &Lease| lease.metadata.name.clone().unwrap_or_default();
    match event {
        watcher::Event::Init => {
            listed.clear();
            false
        }
        watcher::Event::InitApply(lease) => {
            listed.extend(read(&lease).map(|router| (name(&lease), router)));
            false
        }
        watcher::Event::InitDone => {
            *living = std::mem::take(listed);
            true
        }
        watcher::Event::Apply(lease) => match read(&lease) {
            Some(router) => {
                living.insert(name(&lease), router);
                true
            }
            None => living.remove(&name(&lease)).is_some(),
        },
        watcher::Event::Delete(lease) => living.remove(&name(&lease)).is_some(),
    }
}

/// A router's Lease; `None` if it is none, or does not say where cars dial: carlet reads it alike.
fn read(lease: &Lease) -> Option<Router> {
    let id = lease.metadata.name.as_deref()?.strip_prefix(NAME)?;
    let says = lease.metadata.annotations.as_ref()?;
    says.get(CARS).filter(|cars| !cars.is_empty())?;
    let spec = lease.spec.as_ref()?;
    let renewed = spec.renew_time.as_ref()?.0.as_microsecond();
    let seconds = i64::from(spec.lease_duration_seconds?);
    let peers = says.get(PEERS).map(|address| address.as_str().into());
    Some(Router { id: id.into(), peers, renewed, expires: renewed + seconds * 1_000_000 })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::coordination::v1::Lease;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::{follow_event, read_list};

    fn lease(id: &str, annotations: &serde_json::Value) -> Lease {
        let spec = json!({"renewTime": "2023-11-14T22:13:20.000001Z", "leaseDurationSeconds": 15});
        let metadata = json!({"name": format!("parkade-router-{id}"), "annotations": annotations});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    #[test]
    fn leases_come_and_go() {
        let (mut living, mut listed) = (BTreeMap::new(), BTreeMap::new());
        let all = json!({"parkade.dev/cars": "a:1", "parkade.dev/peers": "a:2"});
        assert!(follow_event(Event::Apply(lease("a", &all)), &mut living, &mut listed));
        let router = &living["parkade-router-a"];
        assert_eq!((&*router.id, router.peers.as_deref()), ("a", Some("a:2")));
        assert_eq!((router.renewed, router.expires - router.renewed), (1_700_000_000_000_001, 15_000_000));
        assert!(!follow_event(
            Event::Apply(lease("b", &json!({"parkade.dev/peers": "b:2"}))),
            &mut living,
            &mut listed
        ));
        for event in [Event::Init, Event::InitApply(lease("c", &all))] {
            assert!(!follow_event(event, &mut living, &mut listed));
        }
        assert!(follow_event(Event::InitDone, &mut living, &mut listed));
        assert_eq!(living.keys().collect::<Vec<_>>(), ["parkade-router-c"]);
        assert!(follow_event(Event::Delete(lease("c", &all)), &mut living, &mut listed));
        assert!(living.is_empty());
    }

    #[test]
    fn a_file_names_routers() {
        let routers = read_list(b"- {id: a, peers: 'h:1', cars: 'h:2'}\n- {id: b, peers: 'h:3'}\n").unwrap();
        assert_eq!(routers.len(), 1);
        assert_eq!((&*routers[0].id, routers[0].peers.as_deref()), ("a", Some("h:1")));
        assert!(read_list(b"{}").is_err());
    }
}
