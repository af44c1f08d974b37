//! The router's Lease: how carlet and the operator find it. Renewed by a task of its own; deleted when the router leaves.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tracing::{info, warn};

use crate::directory::Directory;
use crate::listen::{Phase, Stop};

/// What a Lease's name begins with; the router's id follows.
pub const NAME: &str = "parkade-router-";
/// The label of all routers' Leases.
pub const COMPONENT: &str = "parkade.dev/component=router";
/// Annotation: `host:port` where cars dial.
pub const CARS: &str = "parkade.dev/cars";
/// Annotation: `host:port` where other routers pass requests on.
pub const PEERS: &str = "parkade.dev/peers";
/// Until placements are known, a router is no place to send requests to; they are looked for this often.
const KNOWN_YET: Duration = Duration::from_millis(50);
/// A Lease is renewed this often...
const PERIOD: Duration = Duration::from_secs(5);
/// ...for this long, so that two renewals may fail.
const DURATION_SECONDS: u32 = 15;
/// One call may take this long.
const CALL: Duration = Duration::from_secs(4);

/// Who the router is and where it is reached.
#[derive(Clone, Debug)]
pub struct Face {
    /// Namespace of the Lease.
    pub namespace: String,
    /// The router's id.
    pub id: String,
    /// `host:port` for callers over HTTP.
    pub http: String,
    /// `host:port` for callers over gRPC.
    pub grpc: String,
    /// `host:port` for cars, if they can dial in.
    pub cars: Option<String>,
    /// `topology.kubernetes.io/zone` of its node, if it is known.
    pub zone: Option<String>,
    /// `host:port` of metrics and of what was observed.
    pub metrics: String,
    /// `host:port` for other routers, if they can pass requests on.
    pub peers: Option<String>,
}

/// Renews the Lease once placements are known, until the router leaves; then deletes it.
pub async fn keep(client: Client, face: Face, directory: &Directory, mut stop: Stop) {
    while !directory.is_known() {
        tokio::select! {
            _ = stop.wait_for(|phase| *phase >= Phase::Leaving) => return,
            () = tokio::time::sleep(KNOWN_YET) => {}
        }
    }
    let leases: Api<Lease> = Api::namespaced(client, &face.namespace);
    let name = format!("{NAME}{}", face.id);
    let acquired = Timestamp::now();
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut held = false;
    loop {
        tokio::select! {
            _ = stop.wait_for(|phase| *phase >= Phase::Leaving) => break,
            _ = period.tick() => {}
        }
        let lease = lease(&name, &face, acquired, Timestamp::now());
        let parameters = PatchParams::apply("parkade-router").force();
        let patch = Patch::Apply(&lease);
        let renewed = tokio::time::timeout(CALL, leases.patch(&name, &parameters, &patch)).await;
        let failure = match renewed {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the API server did not answer in time".to_owned()),
        };
        match failure {
            None if !held => info!(lease = name, "held"),
            Some(reason) => warn!(lease = name, "not renewed: {reason}"),
            None => {}
        }
        held = true;
    }
    if let Err(error) = tokio::time::timeout(CALL, leases.delete(&name, &DeleteParams::default())).await {
        warn!(lease = name, "not deleted: {error}; it ends by itself after {DURATION_SECONDS} s");
    }
}

fn lease(name: &str, face: &Face, acquired: Timestamp, now: Timestamp) -> serde_json::Value {
    let mut annotations = json!({
        "parkade.dev/http": face.http,
        "parkade.dev/grpc": face.grpc,
        "parkade.dev/metrics": face.metrics,
    });
    for (name, address) in [(CARS, &face.cars), (PEERS, &face.peers)] {
        if let Some(address) = address {
            annotations[name] = json!(address);
        }
    }
    if let Some(zone) = &face.zone {
        annotations["parkade.dev/zone"] = json!(zone);
    }
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": face.namespace,
            "labels": {"parkade.dev/component": "router"},
            "annotations": annotations,
        },
        "spec": {
            "holderIdentity": face.id,
            "leaseDurationSeconds": DURATION_SECONDS,
            "acquireTime": micro(acquired),
            "renewTime": micro(now),
        },
    })
}

/// Kubernetes' `MicroTime` wants exactly six digits after the second.
fn micro(time: Timestamp) -> String {
    format!("{time:.6}")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::coordination::v1::Lease;
    use k8s_openapi::jiff::Timestamp;

    use super::{Face, lease};

    #[test]
    fn the_lease_is_one_that_kubernetes_reads() {
        let face = Face {
            namespace: "parkade-system".into(),
            id: "0".into(),
            http: "127.0.0.1:1".into(),
            grpc: "127.0.0.1:2".into(),
            cars: Some("127.0.0.1:3".into()),
            zone: Some("us-ca-a".into()),
            metrics: "127.0.0.1:4".into(),
            peers: Some("127.0.0.1:5".into()),
        };
        let time = Timestamp::from_microsecond(1_700_000_000_000_001).unwrap();
        let value = lease("parkade-router-0", &face, time, time);
        assert_eq!(value["spec"]["renewTime"], "2023-11-14T22:13:20.000001Z");
        let read: Lease = serde_json::from_value(value).unwrap();
        let annotations = read.metadata.annotations.unwrap();
        assert_eq!(annotations["parkade.dev/zone"], "us-ca-a");
        assert_eq!(annotations["parkade.dev/metrics"], "127.0.0.1:4");
        assert_eq!((&*annotations[super::CARS], &*annotations[super::PEERS]), ("127.0.0.1:3", "127.0.0.1:5"));
    }
}
