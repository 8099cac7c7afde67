//! Which form of an answer a client takes (RFC 9110 12.5.1, and the
//! parameters that Kubernetes adds).

use axum::http::{HeaderMap, header};

/// A form of answer that the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The object or list itself.
    Json,
    /// Rows and columns, `meta.k8s.io/v1` Table.
    Table,
    /// Only metadata, `PartialObjectMetadata` and its list.
    Metadata,
    /// Discovery of everything in one answer, `apidiscovery.k8s.io/v2`.
    Discovery,
    /// OpenAPI 2 in gnostic's protobuf.
    OpenApiProtobuf,
}

/// Names of [`Format::OpenApiProtobuf`], of old and today.
const OPENAPI_PROTOBUF: [&str; 2] =
    ["application/com.github.proto-openapi.spec.v2@v1.0+protobuf", OPENAPI_PROTOBUF_TYPE];
/// Content type of [`Format::OpenApiProtobuf`].
pub const OPENAPI_PROTOBUF_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// The forms a client takes, best first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accept(Vec<Format>);

impl Accept {
    /// From the request's headers; without `Accept` it is JSON.
    pub fn of(headers: &HeaderMap) -> Self {
        let values: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
        if values.is_empty() { Self(vec![Format::Json]) } else { Self::parse(&values.join(",")) }
    }

    /// From the header's text.
    pub fn parse(text: &str) -> Self {
        let mut ranges: Vec<(u16, Format)> = text.split(',').filter_map(range).collect();
        // Stable: what is equally good stays in its order.
        ranges.sort_by_key(|(quality, _)| std::cmp::Reverse(*quality));
        Self(ranges.into_iter().map(|(_, format)| format).collect())
    }

    /// The best form among those offered; `None`: 406.
    pub fn best(&self, offered: &[Format]) -> Option<Format> {
        self.0.iter().copied().find(|f| offered.contains(f))
    }
}

fn range(text: &str) -> Option<(u16, Format)> {
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next()?.to_ascii_lowercase();
    let (mut quality, mut kind, mut group, mut version) = (1000, "", "", "");
    for parameter in parts {
        let (name, value) = parameter.split_once('=')?;
        match name {
            // Thousandths; anything odd counts as none.
            "q" => quality = value.parse::<f32>().map_or(0, |q| (q.clamp(0.0, 1.0) * 1000.0) as u16),
            "as" => kind = value,
            "g" => group = value,
            "v" => version = value,
            _ => {}
        }
    }
    if quality > 0 && OPENAPI_PROTOBUF.contains(&media.as_str()) {
        return Some((quality, Format::OpenApiProtobuf));
    }
    if quality == 0 || !matches!(media.as_str(), "application/json" | "application/*" | "*/*") {
        return None;
    }
    let format = match (kind, group, version) {
        ("", ..) => Format::Json,
        ("Table", "meta.k8s.io", "v1") => Format::Table,
        ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => Format::Metadata,
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => Format::Discovery,
        _ => return None,
    };
    Some((quality, format))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send() {
        use Format::{Discovery, Json, Metadata, OpenApiProtobuf, Table};
        let kubectl_get = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let discovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        let metadata = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
                        application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
        for (accept, offered, expected) in [
            ("*/*", &[Json][..], Some(Json)),
            ("application/vnd.kubernetes.protobuf, application/json", &[Json], Some(Json)),
            ("application/vnd.kubernetes.protobuf,*/*", &[Json], Some(Json)),
            ("application/vnd.kubernetes.protobuf", &[Json], None),
            ("application/yaml", &[Json], None),
            (kubectl_get, &[Json, Table, Metadata], Some(Table)),
            (kubectl_get, &[Json], Some(Json)),
            (discovery, &[Json, Discovery], Some(Discovery)),
            (metadata, &[Json, Table, Metadata], Some(Metadata)),
            ("application/json;as=Table;v=v1;g=meta.k8s.io", &[Json], None),
            ("application/json;q=0.5,application/json;as=Table;v=v1;g=meta.k8s.io;q=0.9", &[Json, Table], Some(Table)),
            ("application/json;q=0", &[Json], None),
            (OPENAPI_PROTOBUF[0], &[Json, OpenApiProtobuf], Some(OpenApiProtobuf)),
            (OPENAPI_PROTOBUF[1], &[Json, OpenApiProtobuf], Some(OpenApiProtobuf)),
            (OPENAPI_PROTOBUF[0], &[Json], None),
            ("application/json;stream=watch", &[Json], Some(Json)),
        ] {
            assert_eq!(Accept::parse(accept).best(offered), expected, "{accept}");
        }
    }
}
