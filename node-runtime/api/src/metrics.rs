//! Figures about the API itself, in Prometheus' text format, with the names
//! that Kubernetes gives them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Upper ends of the buckets, seconds.
const BUCKETS: [f64; 8] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// More series than this are not kept.
const SERIES_MAX: usize = 2000;

/// Verb, resource, code.
type Labels = (&'static str, String, u16);

#[derive(Debug, Default)]
struct Series {
    count: u64,
    seconds: f64,
    buckets: [u64; BUCKETS.len()],
}

/// Counters of requests.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<Labels, Series>>,
}

impl Metrics {
    /// Count a request.
    pub fn count(&self, verb: &'static str, resource: &str, code: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (verb, resource.to_string(), code);
        if requests.len() >= SERIES_MAX && !requests.contains_key(&key) {
            return;
        }
        let series = requests.entry(key).or_default();
        let seconds = took.as_secs_f64();
        series.count += 1;
        series.seconds += seconds;
        if let Some(bucket) = BUCKETS.iter().position(|end| seconds <= *end) {
            series.buckets[bucket] += 1;
        }
    }

    /// All of it as text; `gauges` are added: name, labels, value.
    pub fn render(&self, gauges: &[(&str, String, u64)]) -> String {
        let mut out = String::new();
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        out.push_str("# TYPE apiserver_request_total counter\n");
        for ((verb, resource, code), series) in requests.iter() {
            let count = series.count;
            let _ =
                writeln!(out, "apiserver_request_total{{verb={verb:?},resource={resource:?},code=\"{code}\"}} {count}");
        }
        out.push_str("# TYPE apiserver_request_duration_seconds histogram\n");
        for ((verb, resource, code), series) in requests.iter() {
            render_histogram(&mut out, &format!("verb={verb:?},resource={resource:?},code=\"{code}\""), series);
        }
        let mut last = "";
        for (name, labels, value) in gauges {
            if *name != last {
                let _ = writeln!(out, "# TYPE {name} gauge");
                last = name;
            }
            let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            let _ = writeln!(out, "{name}{labels} {value}");
        }
        out
    }
}

fn render_histogram(out: &mut String, labels: &str, series: &Series) {
    let name = "apiserver_request_duration_seconds";
    let mut sum = 0;
    for (end, n) in BUCKETS.iter().zip(series.buckets) {
        sum += n;
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{end}\"}} {sum}");
    }
    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", series.count);
    let _ = writeln!(out, "{name}_sum{{{labels}}} {}", series.seconds);
    let _ = writeln!(out, "{name}_count{{{labels}}} {}", series.count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_and_written() {
        let metrics = Metrics::default();
        metrics.count("GET", "pods", 200, Duration::from_millis(3));
        metrics.count("GET", "pods", 200, Duration::from_secs(60));
        let gauges = [("a", String::new(), 1), ("a", "x=\"y\"".into(), 2)];
        let text = metrics.render(&gauges);
        for line in [
            "apiserver_request_total{verb=\"GET\",resource=\"pods\",code=\"200\"} 2",
            "apiserver_request_duration_seconds_bucket{verb=\"GET\",resource=\"pods\",code=\"200\",le=\"0.005\"} 1",
            "apiserver_request_duration_seconds_bucket{verb=\"GET\",resource=\"pods\",code=\"200\",le=\"30\"} 1",
            "apiserver_request_duration_seconds_bucket{verb=\"GET\",resource=\"pods\",code=\"200\",le=\"+Inf\"} 2",
            "a 1",
            "a{x=\"y\"} 2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
        assert_eq!(text.matches("# TYPE a gauge").count(), 1);
    }
}
