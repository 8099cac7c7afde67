//! Label selectors.

use std::{collections::BTreeMap, fmt, str::FromStr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{check_label_key, check_label_value, query};
use crate::{ApiError, Stored};

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// One of the values.
    In,
    /// None of the values, or no such label.
    NotIn,
    /// There is such a label.
    Exists,
    /// There is none.
    DoesNotExist,
    /// A number above the value.
    Gt,
    /// A number below the value.
    Lt,
}

/// One condition of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Label.
    pub key: String,
    /// Comparison.
    pub operator: Operator,
    /// What it is compared with.
    pub values: Vec<String>,
}

/// A label selector: all requirements hold. Without any, everything matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelQuery {
    requirements: Vec<Requirement>,
    /// The typed selector was absent: matches no object.
    nothing: bool,
}

impl LabelQuery {
    /// From the query grammar (`a=b,c!=d,e in (f,g),!h`).
    ///
    /// # Errors
    /// 400 that says what was found and what was expected.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let parsed = query::parse(text).and_then(|list| {
            list.iter().try_for_each(Requirement::check)?;
            Ok(list)
        });
        let requirements =
            parsed.map_err(|e| ApiError::bad_request(format!("unable to parse requirement: {e} in {text:?}")))?;
        Ok(Self { requirements, nothing: false })
    }

    /// From the type in `spec.selector` and the like. `None` selects nothing,
    /// an empty selector everything.
    ///
    /// # Errors
    /// 400 that names the expression that is wrong.
    pub fn from_typed(selector: Option<&LabelSelector>) -> Result<Self, ApiError> {
        let Some(selector) = selector else { return Ok(Self { requirements: vec![], nothing: true }) };
        let mut requirements = Self::from_labels(selector.match_labels.iter().flatten()).requirements;
        for expression in selector.match_expressions.iter().flatten() {
            let operator = typed_operator(&expression.operator).map_err(ApiError::bad_request)?;
            let (key, values) = (expression.key.clone(), expression.values.clone().unwrap_or_default());
            requirements.push(Requirement { key, operator, values });
        }
        let checked = requirements.iter().try_for_each(Requirement::check);
        checked.map_err(|e| ApiError::bad_request(format!("label selector: {e}")))?;
        Ok(Self { requirements, nothing: false })
    }

    /// All these labels with these values (`spec.selector` of a Service).
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let one = |(key, value): (&String, &String)| Requirement {
            key: key.clone(),
            operator: Operator::In,
            values: vec![value.clone()],
        };
        Self { requirements: labels.into_iter().map(one).collect(), nothing: false }
    }

    /// Do these labels match?
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels))
    }

    /// Does this object match?
    pub fn matches_stored(&self, object: &Stored) -> bool {
        self.matches(&object.meta.labels)
    }

    /// Does it select everything?
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// The single conditions.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl FromStr for LabelQuery {
    type Err = ApiError;

    fn from_str(text: &str) -> Result<Self, ApiError> {
        Self::parse(text)
    }
}

impl fmt::Display for LabelQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.requirements.iter().map(Requirement::to_string).collect();
        f.write_str(&all.join(","))
    }
}

fn typed_operator(name: &str) -> Result<Operator, String> {
    Ok(match name {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => return Err(format!("{other:?} is not a valid label selector operator")),
    })
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let label = labels.get(&self.key);
        let number = |text: &String| text.parse::<i64>().ok();
        let than = label.and_then(number).zip(self.values.first().and_then(number));
        match self.operator {
            Operator::In => label.is_some_and(|l| self.values.contains(l)),
            Operator::NotIn => label.is_none_or(|l| !self.values.contains(l)),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::Gt => than.is_some_and(|(l, v)| l > v),
            Operator::Lt => than.is_some_and(|(l, v)| l < v),
        }
    }

    fn check(&self) -> Result<(), String> {
        check_label_key(&self.key).map_err(|e| format!("key: Invalid value: {:?}: {e}", self.key))?;
        let wanted = match self.operator {
            Operator::In | Operator::NotIn if self.values.is_empty() => {
                "for 'in', 'notin' operators, values set can't be empty"
            }
            Operator::Exists | Operator::DoesNotExist if !self.values.is_empty() => {
                "values set must be empty for exists and does not exist"
            }
            Operator::Gt | Operator::Lt if self.values.iter().any(|v| v.parse::<i64>().is_err()) => {
                "for 'Gt', 'Lt' operators, the value must be an integer"
            }
            _ => "",
        };
        if !wanted.is_empty() {
            return Err(format!("values of {:?}: {wanted}", self.key));
        }
        for (i, value) in self.values.iter().enumerate() {
            check_label_value(value)
                .map_err(|e| format!("values[{i}][{}]: Invalid value: {value:?}: {e}", self.key))?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::In if self.values.len() == 1 => write!(f, "{key}={values}"),
            Operator::NotIn if self.values.len() == 1 => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Gt => write!(f, "{key}>{values}"),
            Operator::Lt => write!(f, "{key}<{values}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        let pairs = text.split(',').filter(|p| !p.is_empty());
        pairs.map(|p| p.split_once('=').unwrap()).map(|(k, v)| (k.into(), v.into())).collect()
    }

    #[test]
    fn query_matches() {
        for (query, matching, other) in [
            ("", "", None),
            ("a=b", "a=b,c=d", Some("a=c")),
            (" a == b ", "a=b", Some("")),
            ("a!=b", "a=c", Some("a=b")),
            ("a!=b", "", Some("a=b")),
            ("g in (x,y)", "g=y", Some("g=z")),
            ("g in (x, y ),i", "g=x,i=", Some("g=x")),
            ("h notin (z)", "", Some("h=z")),
            ("h notin(z,w)", "h=v", Some("h=w")),
            ("i", "i=", Some("j=")),
            ("!j", "i=", Some("j=")),
            ("! j", "", Some("j=1")),
            ("a=", "a=", Some("a=b")),
            ("a in (,b)", "a=", Some("a=c")),
            ("n>5", "n=6", Some("n=5")),
            ("n<5", "n=4", Some("n=x")),
            ("in=a", "in=a", Some("")),
            ("notin in (in)", "notin=in", Some("in=in")),
            ("a=b,c==d,e!=f,g in (x,y),h notin (z),i,!k", "a=b,c=d,g=x,i=1", Some("a=b,c=d,g=x,i=1,k=")),
        ] {
            let selector = LabelQuery::parse(query).unwrap();
            assert!(selector.matches(&labels(matching)), "{query}");
            if let Some(other) = other {
                assert!(!selector.matches(&labels(other)), "{query}");
            }
            assert_eq!(LabelQuery::parse(&selector.to_string()).unwrap(), selector, "{query}");
        }
    }

    #[test]
    fn query_refused() {
        for (query, why) in [
            ("a b", "found 'b', expected"),
            ("a=b c", "found 'c', expected: ',' or end"),
            ("a in x", "found 'x', expected: '('"),
            ("a in (x", "found '', expected: ',' or ')'"),
            ("a in ()", "Invalid"),
            ("=a", "found '=', expected: identifier"),
            ("a,", "found '', expected: identifier after ','"),
            ("a=b,,c", "found ',', expected: identifier"),
            ("!a=b", "found '=', expected: ',' or end"),
            ("a=-", "values[0][a]: Invalid value: \"-\""),
            ("a b/c=d", "found 'b/c'"),
            ("x y", "found 'y'"),
            ("_x=1", "key: Invalid value: \"_x\""),
            ("n>x", "must be an integer"),
        ] {
            match LabelQuery::parse(query) {
                Err(e) if why != "Invalid" => assert!(e.message.contains(why) && e.code() == 400, "{query}: {e}"),
                Err(_) => {}
                // `in ()` is the set with the empty value
                Ok(parsed) => assert_eq!((why, parsed.requirements()[0].values.len()), ("Invalid", 1), "{query}"),
            }
        }
    }

    #[test]
    fn typed() {
        let selector: LabelSelector = serde_json::from_value(json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["db"]},
                {"key": "old", "operator": "DoesNotExist"},
            ],
        }))
        .unwrap();
        let query = LabelQuery::from_typed(Some(&selector)).unwrap();
        assert!(query.matches(&labels("app=web,tier=x")));
        assert!(!query.matches(&labels("app=web,tier=db")));
        assert!(!query.matches(&labels("app=web,old=1")));
        assert!(!LabelQuery::from_typed(None).unwrap().matches(&labels("")));
        assert!(LabelQuery::from_typed(Some(&LabelSelector::default())).unwrap().is_everything());
        for wrong in [
            json!({"matchExpressions": [{"key": "a", "operator": "Like", "values": ["x"]}]}),
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}),
            json!({"matchLabels": {"a b": "c"}}),
        ] {
            let selector: LabelSelector = serde_json::from_value(wrong.clone()).unwrap();
            assert!(LabelQuery::from_typed(Some(&selector)).is_err(), "{wrong}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[a-c!=<>(), inot/.-]{0,40}|\\PC*") {
            if let Ok(query) = LabelQuery::parse(&text) {
                let again = LabelQuery::parse(&query.to_string()).unwrap();
                proptest::prop_assert_eq!(again.to_string(), query.to_string());
            }
        }
    }
}
