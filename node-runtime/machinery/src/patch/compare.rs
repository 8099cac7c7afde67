//! What differs between two states of an object, what a state looks like with
//! a configuration merged in, and without fields that nobody owns any more.

use serde_json::{Map, Value};

use super::fields::{FieldSet, all_of, key_default, key_of, member, value_of};
use crate::{
    ApiError,
    schema::{Field, Form},
};

/// Lists that merge by keys may not be longer: it takes the square of the time.
const LIST_ITEMS_MAX: usize = 5_000;

/// Fields that differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// Added, or of another value.
    pub(super) changed: FieldSet,
    /// No longer there.
    pub(super) removed: FieldSet,
}

/// Compares two states; null is the same as absent.
pub(super) fn compare(old: &Value, new: &Value, form: Form) -> Difference {
    let mut result = Difference::default();
    match (form, old, new) {
        _ if old == new => {}
        (_, Value::Null, new) => result.changed = added(new, form),
        (_, old, Value::Null) => result.removed = added(old, form),
        (Form::Struct(message), Value::Object(old), Value::Object(new)) => {
            compare_maps(old, new, |name| member(message, name), &mut result);
        }
        (Form::Map(field), Value::Object(old), Value::Object(new)) => {
            compare_maps(old, new, |_| field.item(), &mut result);
        }
        (Form::Keyed(field, keys), Value::Array(old), Value::Array(new)) => {
            let id = |item: &Value| key_of(item, keys);
            compare_items(old, new, &id, field.item(), &mut result);
        }
        (Form::Set, Value::Array(old), Value::Array(new)) => {
            compare_items(old, new, &value_of, Form::Leaf, &mut result);
        }
        _ => result.changed.own = true,
    }
    result
}

/// All fields of a value that was not there before, with the maps and lists
/// themselves.
fn added(value: &Value, form: Form) -> FieldSet {
    let mut set = all_of(value, form);
    mark_containers(&mut set, form);
    set
}

fn mark_containers(set: &mut FieldSet, form: Form) {
    if matches!(form, Form::Map(_) | Form::Keyed(..) | Form::Set) {
        set.own = true;
    }
    for (element, child) in &mut set.children {
        let name = element.get(2..).unwrap_or_default();
        match form {
            Form::Struct(message) => mark_containers(child, member(message, name)),
            Form::Map(field) | Form::Keyed(field, _) => mark_containers(child, field.item()),
            Form::Set | Form::Leaf => {}
        }
    }
}

impl Difference {
    fn put(&mut self, element: String, inner: Self) {
        self.changed.put(element.clone(), inner.changed);
        self.removed.put(element, inner.removed);
    }
}

fn compare_maps(
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    form: impl Fn(&str) -> Form,
    result: &mut Difference,
) {
    for (name, value) in old {
        let inner = compare(value, new.get(name).unwrap_or(&Value::Null), form(name));
        result.put(format!("f:{name}"), inner);
    }
    for (name, value) in new.iter().filter(|(n, _)| !old.contains_key(*n)) {
        result.put(format!("f:{name}"), compare(&Value::Null, value, form(name)));
    }
}

fn compare_items(old: &[Value], new: &[Value], id: &dyn Fn(&Value) -> String, form: Form, result: &mut Difference) {
    let index =
        |list: &[Value]| list.iter().enumerate().map(|(i, v)| (id(v), i)).collect::<std::collections::BTreeMap<_, _>>();
    let (olds, news) = (index(old), index(new));
    for (element, &i) in &olds {
        let mut inner = compare(&old[i], news.get(element).map_or(&Value::Null, |&i| &new[i]), form);
        inner.removed.own |= !news.contains_key(element);
        result.put(element.clone(), inner);
    }
    for (element, &i) in news.iter().filter(|(e, _)| !olds.contains_key(*e)) {
        let mut inner = compare(&Value::Null, &new[i], form);
        inner.changed.own = true;
        result.put(element.clone(), inner);
    }
}

/// A state with a configuration merged in. Null in the configuration removes.
///
/// # Errors
/// 400 if an item of a list lacks a key or two have the same.
pub(super) fn merged(live: &Value, config: &Value, form: Form, path: &str) -> Result<Value, ApiError> {
    match (form, live, config) {
        (Form::Struct(message), live, Value::Object(config)) => {
            merged_maps(live, config, |name| member(message, name), path)
        }
        (Form::Map(field), live, Value::Object(config)) => merged_maps(live, config, |_| field.item(), path),
        (Form::Keyed(field, keys), live, Value::Array(config)) => {
            check_items(config, keys, path)?;
            merged_items(live, config, &|item| key_of(item, keys), field, path)
        }
        (Form::Set, Value::Array(live), Value::Array(config)) => {
            let new = config.iter().filter(|v| !live.contains(v));
            Ok(live.iter().chain(new).cloned().collect())
        }
        (_, _, config) => Ok(config.clone()),
    }
}

/// Has every item its keys?
fn check_items(config: &[Value], keys: &[&str], path: &str) -> Result<(), ApiError> {
    if config.len() > LIST_ITEMS_MAX {
        return Err(ApiError::bad_request(format!("{path}: more than {LIST_ITEMS_MAX} items")));
    }
    let lacks = |item: &Value, key: &str| item.get(key).is_none_or(Value::is_null) && key_default(key).is_null();
    for (i, item) in config.iter().enumerate() {
        if let Some(key) = keys.iter().find(|key| lacks(item, key)) {
            let what = "associative list with keys has an element that omits key field";
            return Err(ApiError::bad_request(format!("{path}: element {i}: {what} {key:?}")));
        }
    }
    Ok(())
}

fn merged_maps(
    live: &Value,
    config: &Map<String, Value>,
    form: impl Fn(&str) -> Form,
    path: &str,
) -> Result<Value, ApiError> {
    let mut result = live.as_object().cloned().unwrap_or_default();
    for (name, value) in config {
        if value.is_null() {
            result.shift_remove(name);
            continue;
        }
        let old = result.get(name).unwrap_or(&Value::Null);
        let new = merged(old, value, form(name), &format!("{path}.{name}"))?;
        result.insert(name.clone(), new);
    }
    Ok(result.into())
}

/// Items in the order of the configuration; what only the live list has comes
/// as early as it did there.
fn merged_items(
    live: &Value,
    config: &[Value],
    id: &dyn Fn(&Value) -> String,
    field: &'static Field,
    path: &str,
) -> Result<Value, ApiError> {
    let live = live.as_array().map(Vec::as_slice).unwrap_or_default();
    let ids: Vec<String> = config.iter().map(id).collect();
    if let Some((i, twice)) = ids.iter().enumerate().find(|(i, id)| ids[..*i].contains(id)) {
        return Err(ApiError::bad_request(format!("{path}[{i}]: duplicate entries for key {}", &twice[2..])));
    }
    let live_ids: Vec<String> = live.iter().map(id).collect();
    let mut others = live.iter().zip(&live_ids).peekable();
    let mut result = vec![];
    for (i, (item, key)) in config.iter().zip(&ids).enumerate() {
        while let Some((other, other_id)) = others.next_if(|(_, id)| !ids[i..].contains(id)) {
            if !ids.contains(other_id) {
                result.push(other.clone());
            }
        }
        let old = live_ids.iter().position(|l| l == key).map_or(&Value::Null, |at| &live[at]);
        result.push(merged(old, item, field.item(), &format!("{path}[{}]", &key[2..]))?);
    }
    result.extend(others.filter(|(_, id)| !ids.contains(id)).map(|(item, _)| item.clone()));
    Ok(result.into())
}

/// Removes what was applied before (`last`) and what nobody owns (`owned`) any
/// more.
pub(super) fn prune(value: &mut Value, form: Form, last: &FieldSet, owned: &FieldSet) {
    match (form, value) {
        (Form::Struct(message), Value::Object(map)) => prune_map(map, |name| member(message, name), last, owned),
        (Form::Map(field), Value::Object(map)) => prune_map(map, |_| field.item(), last, owned),
        (Form::Keyed(field, keys), Value::Array(list)) => {
            list.retain_mut(|item| {
                let element = key_of(item, keys);
                let Some(last) = last.children.get(&element) else { return true };
                match owned.children.get(&element) {
                    None => !last.own,
                    Some(owned) => {
                        let mut owned = owned.clone();
                        keys.iter().for_each(|k| owned.put(format!("f:{k}"), FieldSet::leaf()));
                        prune(item, field.item(), last, &owned);
                        true
                    }
                }
            });
        }
        (Form::Set, Value::Array(list)) => list.retain(|item| {
            let element = value_of(item);
            !last.children.contains_key(&element) || owned.children.contains_key(&element)
        }),
        _ => {}
    }
}

fn prune_map(map: &mut Map<String, Value>, form: impl Fn(&str) -> Form, last: &FieldSet, owned: &FieldSet) {
    let nobody = FieldSet::default();
    for (element, last) in &last.children {
        let name = element.get(2..).unwrap_or_default();
        let Some(value) = map.get_mut(name) else { continue };
        let owned = owned.children.get(element);
        if owned.is_none() && last.own && last.children.is_empty() {
            map.shift_remove(name);
            continue;
        }
        prune(value, form(name), last, owned.unwrap_or(&nobody));
        let empty = value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
        if empty && owned.is_none() {
            map.shift_remove(name);
        }
    }
}
