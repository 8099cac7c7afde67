//! Strategic merge patch: a merge patch that knows which lists are merged by
//! which key, with directives (`$patch`, `$retainKeys`, `$setElementOrder/…`,
//! `$deleteFromPrimitiveList/…`).

use serde_json::{Map, Value};

use super::DEPTH_MAX;
use crate::{
    ApiError,
    schema::{Field, Message, Shape},
};

const ORDER: &str = "$setElementOrder/";
const DELETE_VALUES: &str = "$deleteFromPrimitiveList/";
/// Lists are not merged if they are longer: it takes the square of the time.
const LIST_ITEMS_MAX: usize = 5_000;

type Object = Map<String, Value>;

/// The object after the patch.
pub(super) fn patch(live: &Value, patch: &Value, message: Option<&'static Message>) -> Result<Value, ApiError> {
    let (Some(live), Some(patch)) = (live.as_object(), patch.as_object()) else {
        return Err(ApiError::bad_request("object and patch must be JSON objects"));
    };
    Ok(merge_object(live.clone(), patch, message, DEPTH_MAX)?.into())
}

fn wrong(message: impl Into<String>) -> ApiError {
    ApiError::bad_request(format!("strategic merge patch: {}", message.into()))
}

/// The field that a key belongs to, if its parent is known.
fn field_of(message: Option<&'static Message>, key: &str) -> Option<&'static Field> {
    message.and_then(|m| m.field(key))
}

fn merge_object(
    mut live: Object,
    patch: &Object,
    message: Option<&'static Message>,
    depth: usize,
) -> Result<Object, ApiError> {
    if depth == 0 {
        return Err(wrong("nested too deep"));
    }
    match patch.get("$patch").map(|d| d.as_str()) {
        None | Some(Some("merge")) => {}
        Some(Some("replace")) => return Ok(without_directives(patch)),
        Some(Some("delete")) => return Ok(Object::new()),
        Some(other) => return Err(wrong(format!("unknown $patch {:?}", other.unwrap_or_default()))),
    }
    retain_keys(&mut live, patch)?;
    for (key, values) in patch.iter().filter_map(|(k, v)| k.strip_prefix(DELETE_VALUES).map(|k| (k, v))) {
        let values = values.as_array().ok_or_else(|| wrong(format!("{DELETE_VALUES}{key} must be a list")))?;
        if let Some(list) = live.get_mut(key).and_then(Value::as_array_mut) {
            list.retain(|v| !values.contains(v));
        }
    }
    for (key, value) in patch.iter().filter(|(k, _)| !is_directive(k)) {
        let field = field_of(message, key);
        match (live.get_mut(key), value) {
            (_, Value::Null) => {
                live.shift_remove(key);
            }
            (old, Value::Object(new)) => {
                let old = old.and_then(Value::as_object_mut).map(std::mem::take).unwrap_or_default();
                let inner = field.filter(|f| f.shape == Shape::One).and_then(Field::message);
                live.insert(key.clone(), merge_object(old, new, inner, depth - 1)?.into());
            }
            (old, Value::Array(new)) if field.is_some_and(|f| f.merge_key.is_some()) => {
                let old = old.and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
                let order = patch.get(&format!("{ORDER}{key}"));
                live.insert(key.clone(), MergedList::new(key, field)?.merge(old, new, order, depth)?.into());
            }
            (_, value) => {
                live.insert(key.clone(), value.clone());
            }
        }
    }
    order_lists(&mut live, patch, message)?;
    Ok(live)
}

fn is_directive(key: &str) -> bool {
    matches!(key, "$patch" | "$retainKeys") || key.starts_with(ORDER) || key.starts_with(DELETE_VALUES)
}

fn without_directives(patch: &Object) -> Object {
    patch.iter().filter(|(k, v)| !is_directive(k) && !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// `$retainKeys`: only these keys of the object stay.
fn retain_keys(live: &mut Object, patch: &Object) -> Result<(), ApiError> {
    let Some(keys) = patch.get("$retainKeys") else { return Ok(()) };
    let keys = keys.as_array().ok_or_else(|| wrong("$retainKeys must be a list"))?;
    let kept = |key: &String| keys.iter().any(|k| k.as_str() == Some(key));
    if let Some((key, _)) = patch.iter().find(|(k, v)| !is_directive(k) && !v.is_null() && !kept(k)) {
        return Err(wrong(format!("{key:?} is patched but not in $retainKeys")));
    }
    live.retain(|key, _| kept(key));
    Ok(())
}

/// A list that is merged: by a key, or by value.
struct MergedList<'a> {
    name: &'a str,
    /// Empty: by value.
    key: &'static str,
    message: Option<&'static Message>,
}

impl<'a> MergedList<'a> {
    fn new(name: &'a str, field: Option<&'static Field>) -> Result<Self, ApiError> {
        let key =
            field.and_then(|f| f.merge_key).ok_or_else(|| wrong(format!("{name} is not a list that is merged")))?;
        Ok(Self { name, key, message: field.and_then(Field::message) })
    }

    /// What an item is known by.
    fn id<'v>(&self, item: &'v Value) -> &'v Value {
        if self.key.is_empty() { item } else { item.get(self.key).unwrap_or(&Value::Null) }
    }

    fn check(&self, list: &[Value]) -> Result<(), ApiError> {
        if list.len() > LIST_ITEMS_MAX {
            return Err(wrong(format!("{} has more than {LIST_ITEMS_MAX} items", self.name)));
        }
        let keyed = |item: &Value| self.key.is_empty() || item["$patch"] == "replace" || !self.id(item).is_null();
        match list.iter().all(keyed) {
            true => Ok(()),
            false => Err(wrong(format!("an item of {} does not contain the merge key {}", self.name, self.key))),
        }
    }

    /// Both lists in one: first in the order of the patch, then in the order
    /// that it asks for.
    fn merge(
        &self,
        live: Vec<Value>,
        patch: &[Value],
        order: Option<&Value>,
        depth: usize,
    ) -> Result<Vec<Value>, ApiError> {
        self.check(&live)?;
        self.check(patch)?;
        let before: Vec<Value> = live.iter().map(|item| self.id(item).clone()).collect();
        let stays = |item: &&Value| item.get("$patch").is_none();
        let merged = match self.key {
            "" => {
                let new: Vec<Value> = patch.iter().filter(|v| !live.contains(v)).cloned().collect();
                [live, new].concat()
            }
            _ => self.merge_items(live, patch, depth)?,
        };
        let patched: Vec<Value> = patch.iter().filter(stays).map(|item| self.id(item).clone()).collect();
        let merged = self.ordered(merged, &patched, &before);
        let Some(order) = order else { return Ok(merged) };
        let order = self.read_order(order)?;
        match patched.iter().find(|id| !order.contains(id)) {
            Some(id) => Err(wrong(format!("{ORDER}{} does not name {id}", self.name))),
            None => Ok(self.ordered(merged, &order, &before)),
        }
    }

    fn merge_items(&self, mut live: Vec<Value>, patch: &[Value], depth: usize) -> Result<Vec<Value>, ApiError> {
        if patch.iter().any(|item| item["$patch"] == "replace") {
            return Ok(patch.iter().filter(|item| item["$patch"] != "replace").cloned().collect());
        }
        for item in patch {
            let object = item.as_object().ok_or_else(|| wrong(format!("items of {} must be objects", self.name)))?;
            if item["$patch"] == "delete" {
                live.retain(|l| self.id(l) != self.id(item));
                continue;
            }
            let at = live.iter().position(|l| self.id(l) == self.id(item));
            let old = at.and_then(|at| live[at].as_object_mut()).map(std::mem::take).unwrap_or_default();
            let merged = merge_object(old, object, self.message, depth - 1)?.into();
            match at {
                Some(at) => live[at] = merged,
                None => live.push(merged),
            }
        }
        Ok(live)
    }

    fn read_order(&self, order: &Value) -> Result<Vec<Value>, ApiError> {
        let order = order.as_array().ok_or_else(|| wrong(format!("{ORDER}{} must be a list", self.name)))?;
        self.check(order)?;
        Ok(order.iter().map(|item| self.id(item).clone()).collect())
    }

    /// Named items in this order. The others keep theirs, each before the
    /// first named item that it preceded on the server.
    fn ordered(&self, items: Vec<Value>, order: &[Value], before: &[Value]) -> Vec<Value> {
        let place = |list: &[Value], item: &Value| list.iter().position(|id| id == self.id(item));
        let (mut named, others): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| place(order, item).is_some());
        named.sort_by_cached_key(|item| place(order, item));
        let mut others = others.into_iter().peekable();
        let mut result = vec![];
        for item in named {
            let at = place(before, &item);
            let precedes = |other: &Value| at.zip(place(before, other)).is_some_and(|(at, other)| other < at);
            while let Some(other) = others.next_if(precedes) {
                result.push(other);
            }
            result.push(item);
        }
        result.extend(others);
        result
    }
}

/// `$setElementOrder/…` of lists that the patch does not change otherwise.
fn order_lists(live: &mut Object, patch: &Object, message: Option<&'static Message>) -> Result<(), ApiError> {
    for (name, order) in patch.iter().filter_map(|(k, v)| k.strip_prefix(ORDER).map(|k| (k, v))) {
        let list = MergedList::new(name, field_of(message, name))?;
        let order = list.read_order(order)?;
        if patch.contains_key(name) {
            continue;
        }
        if let Some(items) = live.get_mut(name).and_then(Value::as_array_mut) {
            list.check(items)?;
            let before: Vec<Value> = items.iter().map(|item| list.id(item).clone()).collect();
            *items = list.ordered(std::mem::take(items), &order, &before);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::schema;

    /// Patches the pod spec of a Deployment.
    fn patched(live: Value, body: Value) -> Result<Value, ApiError> {
        let deployment = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
        let message = schema::find("apps/v1", "Deployment");
        patch(&deployment(live), &deployment(body), message).map(|v| v["spec"]["template"]["spec"].clone())
    }

    #[test]
    fn lists_and_maps() {
        let live = json!({
            "containers": [{"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "1"}],
            "nodeSelector": {"k": "v"}, "tolerations": [{"key": "t"}],
        });
        for (body, path, expected) in [
            (
                json!({"containers": [{"name": "a", "image": "2"}]}),
                "/containers",
                json!([{"name": "a", "image": "2", "args": ["x"]}, {"name": "b", "image": "1"}]),
            ),
            (json!({"containers": [{"name": "a", "args": ["y"]}]}), "/containers/0/args", json!(["y"])),
            (json!({"containers": [{"name": "c"}]}), "/containers/0", json!({"name": "c"})),
            (
                json!({"containers": [{"name": "a", "$patch": "delete"}]}),
                "/containers",
                json!([{"name": "b", "image": "1"}]),
            ),
            (json!({"containers": [{"name": "z"}, {"$patch": "replace"}]}), "/containers", json!([{"name": "z"}])),
            (json!({"containers": [{"name": "a", "$patch": "replace"}]}), "/containers", json!([])),
            (json!({"nodeSelector": {"l": "w", "k": null}}), "/nodeSelector", json!({"l": "w"})),
            (json!({"nodeSelector": {"$patch": "replace", "l": "w"}}), "/nodeSelector", json!({"l": "w"})),
            (json!({"nodeSelector": {"$patch": "delete"}}), "/nodeSelector", json!({})),
            (json!({"tolerations": [{"key": "u"}]}), "/tolerations", json!([{"key": "u"}])),
            (json!({"tolerations": null}), "/tolerations", Value::Null),
        ] {
            let result = patched(live.clone(), body.clone()).unwrap();
            assert_eq!(result.pointer(path).unwrap_or(&Value::Null), &expected, "{body}");
        }
    }

    #[test]
    fn keys_are_retained() {
        let live = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
        let body =
            json!({"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "m"}}]});
        let result = patched(live.clone(), body).unwrap();
        assert_eq!(result["volumes"], json!([{"name": "v", "configMap": {"name": "m"}}]));
        let body = json!({"volumes": [{"name": "v", "$retainKeys": ["name"], "configMap": {"name": "m"}}]});
        assert_eq!(patched(live, body).unwrap_err().code(), 400);
    }

    #[test]
    fn order_of_elements() {
        let named = |names: &str| -> Value { names.chars().map(|c| json!({"name": c.to_string()})).collect() };
        for (live, items, order, expected) in [
            ("abc", "", "cba", "cba"),
            ("abc", "d", "dabc", "dabc"),
            // the server added x and y meanwhile
            ("axby", "", "ba", "xbay"),
            ("ax", "b", "ab", "abx"),
        ] {
            let body = json!({"containers": named(items), "$setElementOrder/containers": named(order)});
            let mut result = patched(json!({"containers": named(live)}), body).unwrap();
            assert_eq!(result["containers"].take(), named(expected), "{live} {order}");
        }
        let body = json!({"containers": named("z"), "$setElementOrder/containers": named("a")});
        assert_eq!(patched(json!({"containers": named("a")}), body).unwrap_err().code(), 400);
    }

    #[test]
    fn primitive_lists() {
        let message = schema::find("v1", "Pod");
        let meta = |list: Value| json!({"metadata": {"finalizers": list}});
        let body = json!({"metadata": {
            "finalizers": ["d"], "$deleteFromPrimitiveList/finalizers": ["a"],
            "$setElementOrder/finalizers": ["d", "b", "c"]}});
        assert_eq!(patch(&meta(json!(["a", "b", "c"])), &body, message).unwrap(), meta(json!(["d", "b", "c"])));
    }

    #[test]
    fn refused() {
        for body in [
            json!({"$patch": "frob"}),
            json!({"containers": [{"image": "x"}]}),
            json!({"containers": ["x"]}),
            json!({"$retainKeys": "x"}),
            json!({"$setElementOrder/containers": "x"}),
            json!({"$deleteFromPrimitiveList/x": "x"}),
        ] {
            assert_eq!(patched(json!({}), body.clone()).unwrap_err().code(), 400, "{body}");
        }
    }
}
