//! Spans on their way to an OpenTelemetry collector: a bounded backlog, and a thread that sends it in batches as OTLP over HTTP.
//! A collector that is slow or away costs spans, which are counted, and never a request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Args;
use http::Uri;
use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_http::HttpClient;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor};
use opentelemetry_semantic_conventions::SCHEMA_URL;
use opentelemetry_semantic_conventions::attribute::{SERVICE_INSTANCE_ID, SERVICE_VERSION};
use tokio::sync::{Notify, oneshot};
use tracing::{info, warn};

use crate::metrics::Metrics;
use crate::spans::Spans;

/// Spans of one message to the collector.
const BATCH: usize = 512;
/// Full batches that may wait; past them spans are dropped. With about 1.5 KB a span they hold 12 MB.
const BACKLOG: usize = 16;
/// What is no full batch is sent this often.
const PERIOD: Duration = Duration::from_secs(1);
/// The collector's time for one message.
const ANSWER: Duration = Duration::from_secs(5);
/// When the router ends, the rest is sent within this time, or lost.
const LAST: Duration = Duration::from_secs(2);
/// The standard names of OpenTelemetry for where spans go, and where everything goes.
const STANDARD: [(&str, &str); 2] =
    [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""), ("OTEL_EXPORTER_OTLP_ENDPOINT", "/v1/traces")];

/// Where spans go and how many, as flags.
#[derive(Clone, Debug, Args)]
pub struct Tracing {
    /// Address of an OpenTelemetry collector that takes OTLP over HTTP, for example `http://collector:4318`; default:
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, and without either no spans are made.
    #[arg(long, env = "PARKADE_ROUTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Percent of new traces that are sampled; a request that comes with a `traceparent` is sampled as that says.
    #[arg(long, env = "PARKADE_ROUTER_TRACE_PERCENT", default_value_t = 1.0, value_parser = percent)]
    pub trace_percent: f64,
}

/// A number from 0 to 100.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "give a number from 0 to 100, for example 0.5".to_owned())
}

impl Tracing {
    /// What makes spans and what sends them; `None` where no collector is named.
    ///
    /// # Errors
    /// A sentence: the address is none, or the system's authorities cannot be read.
    pub fn open(&self, router: &str, metrics: Arc<Metrics>) -> Result<Option<(Spans, Exporting)>, String> {
        let Some(endpoint) = self.endpoint(|name| std::env::var(name).ok()) else { return Ok(None) };
        let resource = Resource::builder()
            .with_service_name("parkade-router")
            .with_attribute(KeyValue::new(SERVICE_VERSION, env!("CARGO_PKG_VERSION")))
            .with_attribute(KeyValue::new(SERVICE_INSTANCE_ID, router.to_owned()))
            .build();
        let named = |sentence: String| format!("--otlp-endpoint {endpoint}: {sentence}");
        let mut exporter = exporter(&endpoint).map_err(named)?;
        exporter.set_resource(&resource);
        let backlog = Arc::new(Backlog { spans: Mutex::default(), wake: Notify::new(), over: false.into(), metrics });
        let (told, done) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| named(error.to_string()))?;
        let theirs = backlog.clone();
        let sending = move || {
            runtime.block_on(send_all(&theirs, &exporter));
            drop(told);
        };
        std::thread::Builder::new().name("spans".into()).spawn(sending).map_err(|error| named(error.to_string()))?;
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Ended(backlog.clone()))
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource)
            .build();
        let scope = InstrumentationScope::builder("parkade-router")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(SCHEMA_URL)
            .build();
        info!(endpoint, percent = self.trace_percent, "spans are sent");
        Ok(Some((Spans::new(provider.tracer_with_scope(scope), self.trace_percent), Exporting { backlog, done })))
    }

    /// The flag, or the standard variables; text that is empty is not set.
    fn endpoint(&self, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
        let given = |text: &String| !text.is_empty();
        let below = |base: &str, path: &str| if path.is_empty() { base.to_owned() } else { join(base, path) };
        let flag = self.otlp_endpoint.clone().filter(given).map(|base| join(&base, STANDARD[1].1));
        flag.or_else(|| STANDARD.iter().find_map(|(name, path)| Some(below(&variable(name).filter(given)?, path))))
    }
}

fn join(base: &str, path: &str) -> String {
    format!("{}{path}", base.trim_end_matches('/'))
}

fn exporter(endpoint: &str) -> Result<opentelemetry_otlp::SpanExporter, String> {
    let uri: Uri = endpoint.parse().unwrap_or_default();
    match (uri.scheme_str(), uri.host()) {
        (Some("http"), Some(_)) => build(endpoint, HyperClient::with_default_connector(ANSWER, None)),
        (Some("https"), Some(_)) => {
            let builder = HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
                .map_err(|error| format!("no authorities are trusted: {error}"))?;
            build(endpoint, HyperClient::new(builder.https_only().enable_http1().build(), ANSWER, None))
        }
        _ => Err("no address of http or https; give the collector's, for example http://collector:4318".to_owned()),
    }
}

fn build(endpoint: &str, client: impl HttpClient + 'static) -> Result<opentelemetry_otlp::SpanExporter, String> {
    opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint)
        .with_timeout(ANSWER)
        .build()
        .map_err(|error| error.to_string())
}

/// What sends spans, until the end.
#[derive(Debug)]
pub struct Exporting {
    backlog: Arc<Backlog>,
    done: oneshot::Receiver<()>,
}

impl Exporting {
    /// Sends what is left, if the collector takes it in time.
    pub async fn finish(self) {
        self.backlog.over.store(true, Ordering::Relaxed);
        self.backlog.wake.notify_one();
        if tokio::time::timeout(LAST, self.done).await.is_err() {
            warn!("spans were still unsent after {} s", LAST.as_secs());
        }
    }
}

/// Spans that ended and were not sent.
#[derive(Debug)]
struct Backlog {
    spans: Mutex<Batches>,
    wake: Notify,
    over: AtomicBool,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Batches {
    full: VecDeque<Vec<SpanData>>,
    open: Vec<SpanData>,
}

impl Backlog {
    fn lock(&self) -> MutexGuard<'_, Batches> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a span, or drops and counts it. The sender is woken for a full batch only.
    fn take(&self, span: SpanData) {
        let mut spans = self.lock();
        if spans.full.len() >= BACKLOG {
            drop(spans);
            return self.metrics.dropped_spans("backlog", 1);
        }
        if spans.open.capacity() == 0 {
            spans.open.reserve_exact(BATCH);
        }
        spans.open.push(span);
        if spans.open.len() == BATCH {
            let full = std::mem::take(&mut spans.open);
            spans.full.push_back(full);
            drop(spans);
            self.wake.notify_one();
        }
    }

    fn next(&self) -> Vec<SpanData> {
        let mut spans = self.lock();
        spans.full.pop_front().unwrap_or_else(|| std::mem::take(&mut spans.open))
    }
}

/// Where the tracer leaves spans that ended.
#[derive(Debug)]
struct Ended(Arc<Backlog>);

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.take(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

async fn send_all(backlog: &Backlog, exporter: &impl SpanExporter) {
    let mut heard = true;
    loop {
        tokio::select! {
            () = backlog.wake.notified() => {}
            () = tokio::time::sleep(PERIOD) => {}
        }
        let over = backlog.over.load(Ordering::Relaxed);
        loop {
            let batch = backlog.next();
            if batch.is_empty() {
                break;
            }
            let count = batch.len();
            let sent = exporter.export(batch).await;
            if let Err(error) = &sent {
                backlog.metrics.dropped_spans("collector", count);
                if heard {
                    warn!("spans are lost until the collector takes them again: {error}");
                }
            } else if !heard {
                info!("the collector takes spans again");
            }
            heard = sent.is_ok();
        }
        if over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tracing, exporter, percent};

    fn endpoint(flag: Option<&str>, all: &str, traces: &str) -> Option<String> {
        let tracing = Tracing { otlp_endpoint: flag.map(str::to_owned), trace_percent: 1.0 };
        let value = |name: &str| if name.contains("TRACES") { traces } else { all };
        tracing.endpoint(|name| Some(value(name).to_owned()))
    }

    #[test]
    fn the_flag_goes_before_the_standard_names() {
        assert_eq!(endpoint(None, "", ""), None);
        assert_eq!(endpoint(Some(""), "", ""), None);
        assert_eq!(endpoint(Some("http://a/"), "http://b", "http://c").unwrap(), "http://a/v1/traces");
        assert_eq!(endpoint(None, "http://b", "http://c/spans").unwrap(), "http://c/spans");
        assert_eq!(endpoint(None, "http://b/otlp", "").unwrap(), "http://b/otlp/v1/traces");
    }

    #[test]
    fn an_address_must_be_one_of_http() {
        for bad in ["collector:4318", "grpc://collector:4317", "/v1/traces", "http://"] {
            assert!(exporter(bad).is_err(), "{bad}");
        }
        assert!(exporter("http://collector:4318/v1/traces").is_ok());
    }

    #[test]
    fn a_percentage_may_be_small() {
        assert_eq!((percent("0"), percent("0.01"), percent("100")), (Ok(0.0), Ok(0.01), Ok(100.0)));
        for bad in ["", "-1", "101", "NaN", "one"] {
            assert!(percent(bad).unwrap_err().contains("0 to 100"), "{bad}");
        }
    }
}
