//! What the node would say about manifests, document by document.

use serde::Serialize;

use crate::{
    Level, Problem, Workload,
    across::{self, security_problems},
    namespace_levels, parse,
    parse::Head,
};

/// The node's answer to one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// File name as the caller gave it.
    pub file: String,
    /// Number of the YAML document in the file, from 1; 0: the whole file.
    pub document: usize,
    /// Kind, empty if unknown.
    pub kind: String,
    /// Namespace, empty for kinds without.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Would the node take it, and run its pods?
    pub accepted: bool,
    /// Why not.
    pub problems: Vec<Reason>,
    /// What its author should know.
    pub warnings: Vec<String>,
}

/// One reason for a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Path of the field; empty: the whole document.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Verdict {
    /// `Kind namespace/name`.
    pub fn title(&self) -> String {
        Head { kind: self.kind.clone(), namespace: self.namespace.clone(), name: self.name.clone() }.title()
    }
}

/// Ask about every document of these files (name, bytes). `default` is the
/// Pod Security profile of namespaces whose Namespace object is not among them
/// or does not say.
pub fn check_manifests(files: &[(String, Vec<u8>)], default: Level) -> Vec<Verdict> {
    let documents = parse::read(files);
    let good: Vec<Workload> = documents.iter().filter_map(|d| d.result.as_ref().ok()).map(|w| (**w).clone()).collect();
    let between = [across::duplicates(&good), across::node_ports(&good)].concat();
    documents
        .into_iter()
        .map(|d| {
            let (mut problems, mut warnings) = (vec![], vec![]);
            match d.result {
                Err(p) => problems = p,
                Ok(w) => {
                    let title = w.object.title();
                    let about_it = |p: &&Problem| {
                        p.object == title && (&p.file, p.document) == (&w.origin.file, w.origin.document)
                    };
                    problems.extend(between.iter().filter(about_it).cloned());
                    let levels = across::levels(&good, &w, default);
                    problems.extend(security_problems(&w, levels.enforce));
                    warnings = w.warnings.clone();
                    if levels.warn > levels.enforce {
                        warnings.extend(
                            security_problems(&w, levels.warn)
                                .into_iter()
                                .map(|p| format!("{}: would be refused: {}", p.field, p.message)),
                        );
                    }
                    if let crate::Object::Namespace(n) = &w.object {
                        let labels = n.metadata.labels.clone().unwrap_or_default();
                        warnings.extend(namespace_levels(&labels, default).1);
                    }
                }
            }
            Verdict {
                file: d.origin.file,
                document: d.origin.document,
                kind: d.head.kind,
                namespace: d.head.namespace,
                name: d.head.name,
                accepted: problems.is_empty(),
                problems: problems.into_iter().map(|p| Reason { field: p.field, message: p.message }).collect(),
                warnings,
            }
        })
        .collect()
}
