//! Single values, and the messages that are a single value in JSON.

use jiff::Timestamp;
use k8s_openapi::ByteString;
use serde_json::Value;

use super::{
    Place, Wrong,
    wire::{Reader, Wire},
};
use crate::schema::Ty;

/// Is it what Go leaves out of JSON?
pub(super) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(yes) => !yes,
        Value::Number(n) => n.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

pub(super) fn text(at: Place, bytes: &[u8]) -> Result<&str, Wrong> {
    std::str::from_utf8(bytes).map_err(|_| at.wrong(Wrong::NotUtf8))
}

/// A value that is no JSON object. Null: there is none (a time that is not
/// set).
pub(super) fn scalar(at: Place, wire: Wire) -> Result<Value, Wrong> {
    Ok(match (at.field.ty, wire) {
        (Ty::Text, Wire::Bytes(bytes)) => text(at, bytes)?.into(),
        (Ty::Int, Wire::Number(n)) => (n as i64).into(),
        (Ty::Bool, Wire::Number(n)) => (n != 0).into(),
        (Ty::Bytes, Wire::Bytes(bytes)) => {
            serde_json::to_value(ByteString(bytes.to_vec())).map_err(|_| at.wrong(Wrong::FieldType))?
        }
        (Ty::Quantity, Wire::Bytes(bytes)) => quantity(at, bytes)?,
        (Ty::Time, Wire::Bytes(bytes)) => time(at, bytes, 0)?,
        (Ty::MicroTime, Wire::Bytes(bytes)) => time(at, bytes, 6)?,
        (Ty::IntOrString, Wire::Bytes(bytes)) => int_or_string(at, bytes)?,
        // the value of a map entry that was left out because it is empty
        (Ty::Nested(_), Wire::Bytes([])) => Value::Object(Default::default()),
        _ => return Err(at.wrong(Wrong::FieldType)),
    })
}

fn quantity(at: Place, bytes: &[u8]) -> Result<Value, Wrong> {
    let mut quantity = "0";
    let mut reader = Reader(bytes);
    while let Some((tag, wire)) = reader.next()? {
        match (tag, wire) {
            (1, Wire::Bytes(bytes)) => quantity = text(at, bytes)?,
            _ => return Err(at.wrong(Wrong::FieldType)),
        }
    }
    Ok(if quantity.is_empty() { "0" } else { quantity }.into())
}

/// Seconds and nanoseconds; nothing at all is no time.
fn time(at: Place, bytes: &[u8], digits: usize) -> Result<Value, Wrong> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanoseconds) = (0, 0);
    let mut reader = Reader(bytes);
    while let Some((tag, wire)) = reader.next()? {
        match (tag, wire) {
            (1, Wire::Number(n)) => seconds = n as i64,
            (2, Wire::Number(n)) => nanoseconds = i32::try_from(n as i64).map_err(|_| at.wrong(Wrong::Time))?,
            _ => return Err(at.wrong(Wrong::FieldType)),
        }
    }
    let time = Timestamp::new(seconds, nanoseconds).map_err(|_| at.wrong(Wrong::Time))?;
    Ok(format!("{time:.digits$}").into())
}

fn int_or_string(at: Place, bytes: &[u8]) -> Result<Value, Wrong> {
    let (mut is_text, mut number, mut string) = (false, 0, "");
    let mut reader = Reader(bytes);
    while let Some((tag, wire)) = reader.next()? {
        match (tag, wire) {
            (1, Wire::Number(n)) => is_text = n != 0,
            (2, Wire::Number(n)) => number = n as i64,
            (3, Wire::Bytes(bytes)) => string = text(at, bytes)?,
            _ => return Err(at.wrong(Wrong::FieldType)),
        }
    }
    Ok(if is_text { string.into() } else { number.into() })
}

/// JSON in bytes (`FieldsV1`, `RawExtension`). Its values count, too.
pub(super) fn raw(at: Place, bytes: &[u8], values_left: &mut usize) -> Result<Value, Wrong> {
    let mut json: &[u8] = &[];
    let mut reader = Reader(bytes);
    while let Some((tag, wire)) = reader.next()? {
        match (tag, wire) {
            (1, Wire::Bytes(bytes)) => json = bytes,
            _ => return Err(at.wrong(Wrong::FieldType)),
        }
    }
    if json.is_empty() {
        return Ok(Value::Null);
    }
    // every value but the first stands behind one of these
    let signs = json.iter().filter(|b| b"{[,".contains(b)).count();
    *values_left = values_left.checked_sub(signs).ok_or(Wrong::TooMany)?;
    serde_json::from_slice(json).map_err(|_| at.wrong(Wrong::NotJson))
}
