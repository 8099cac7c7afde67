//! How fast the API lists many objects and tells many watchers of a change.

use std::{sync::mpsc::channel, thread, time::Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Lists, host::Host, starts::millis};

/// Objects.
pub const OBJECTS: usize = 500;
/// What is in each.
pub const OBJECT_BYTES: usize = 1000;
/// Watchers, each with a connection of its own.
pub const WATCHERS: usize = 50;
/// Lists that are timed.
const LISTS: usize = 50;
/// Changes that are timed.
const CHANGES: usize = 50;
/// The objects.
const PATH: &str = "/api/v1/namespaces/default/configmaps";

/// Make the objects, list them, watch them.
///
/// # Errors
/// If the API refuses.
pub fn measure(host: &Host) -> Result<Lists> {
    let mut connection = host.connect()?;
    for n in 0..OBJECTS {
        connection.ask("POST", PATH, Some(&object(n, 0)))?;
    }
    let mut lists = vec![];
    let mut revision = String::new();
    for _ in 0..LISTS {
        let begun = Instant::now();
        let bytes = connection.ask("GET", PATH, None)?;
        lists.push(millis(begun.elapsed()));
        let list: Value = serde_json::from_slice(&bytes).context("reading a list")?;
        let count = list["items"].as_array().map_or(0, Vec::len);
        ensure!(count >= OBJECTS, "a list of {count} objects");
        revision = list["metadata"]["resourceVersion"].as_str().context("a list without revision")?.to_owned();
    }
    Ok(Lists { lists, events: events(host, &revision)? })
}

/// From sending a change until each watcher has it.
fn events(host: &Host, revision: &str) -> Result<Vec<f64>> {
    let path = format!("{PATH}?watch=1&resourceVersion={revision}");
    let watches = (0..WATCHERS).map(|_| host.connect()?.watch(&path)).collect::<Result<Vec<_>>>()?;
    let mut connection = host.connect()?;
    thread::scope(|scope| {
        let (sender, arrivals) = channel();
        for mut watch in watches {
            let sender = sender.clone();
            scope.spawn(move || {
                for _ in 0..CHANGES {
                    let arrival = watch.next_event().map(|_| Instant::now());
                    let over = arrival.is_err();
                    if sender.send(arrival).is_err() || over {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut all = vec![];
        for n in 0..CHANGES {
            let begun = Instant::now();
            connection.ask("PUT", &format!("{PATH}/object-{n}"), Some(&object(n, 1)))?;
            for _ in 0..WATCHERS {
                let arrival = arrivals.recv().context("all watches ended")??;
                all.push(millis(arrival.saturating_duration_since(begun)));
            }
        }
        Ok(all)
    })
}

fn object(number: usize, version: u32) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": format!("object-{number}")},
        "data": {"version": version.to_string(), "text": "x".repeat(OBJECT_BYTES)},
    })
}
