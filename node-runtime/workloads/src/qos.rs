//! Quality-of-service class of a pod.

use serde_json::Value;

use crate::quantity::millis;

/// `Guaranteed`, `Burstable` or `BestEffort` of a pod spec (JSON).
pub fn qos_class(spec: &Value) -> &'static str {
    let lists = ["containers", "initContainers"];
    let containers = || lists.iter().filter_map(|l| spec.get(l)).filter_map(Value::as_array).flatten();
    let amount = |c: &Value, kind: &str, name: &str| {
        let quantity = c.get("resources")?.get(kind)?.get(name)?.as_str()?;
        millis(quantity).filter(|n| *n > 0)
    };
    let names = ["cpu", "memory"];
    let any = containers()
        .any(|c| names.iter().any(|n| amount(c, "limits", n).is_some() || amount(c, "requests", n).is_some()));
    let all = containers().all(|c| {
        names.iter().all(|n| {
            let limit = amount(c, "limits", n);
            limit.is_some() && amount(c, "requests", n).or(limit) == limit
        })
    });
    match (any, all) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes() {
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}});
        for (resources, want) in [
            (json!([{}]), "BestEffort"),
            (json!([{"resources": full}]), "Guaranteed"),
            (json!([{"resources": full}, {}]), "Burstable"),
            (json!([{"resources": {"requests": {"cpu": "1m"}}}]), "Burstable"),
            (json!([{"resources": {"limits": {"cpu": "1", "memory": "1Mi"}}}]), "Guaranteed"),
            (json!([{"resources": {"limits": {"cpu": "1", "memory": "1Mi"}, "requests": {"cpu": "1m"}}}]), "Burstable"),
        ] {
            assert_eq!(qos_class(&json!({"containers": resources})), want, "{resources}");
        }
    }
}
