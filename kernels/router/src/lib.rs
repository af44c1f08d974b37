//! `parkade-router`: the KServe v2 front door, over HTTP and gRPC, for every workload.
//!
//! It knows which replicas are free (idle connections that cars dialled, slots of Triton servers) and sends a request to
//! one of them; a miss is tried again elsewhere inside the deadline. It decides nothing about placement: it follows
//! `InferenceWorkload.status.placements`, and goes on with what it knows while the cluster is away. It stores no payload,
//! and no vehicle's id leaves it.
//!
//! This is no library for others: the binary is [`main`].

mod access;
mod admission;
mod answers;
mod ask;
mod body;
mod callers;
mod car;
mod cars;
mod chance;
mod compare;
mod connections;
mod definition;
mod descriptors;
mod directory;
mod dispatch;
mod durations;
mod ending;
mod errors;
mod exporting;
mod files;
mod forward;
mod front_grpc;
mod front_http;
#[doc(hidden)]
pub mod fuzzing;
mod hedges;
mod hop;
mod jwks;
mod jwt;
mod lease;
mod listen;
mod message;
mod metrics;
mod observed;
mod owner;
mod pace;
mod peer;
mod peers;
mod placements;
mod preface;
mod queue;
mod quota;
mod returning;
mod ring_verifier;
mod routers;
mod settings;
mod spans;
mod starting;
mod strikes;
mod terms;
mod tls;
mod token_review;
mod triton;
mod verdicts;
mod verify;
mod waiting;
mod workload;
mod world;

pub use starting::main;
