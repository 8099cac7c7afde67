//! From a question to an answer out of the zone. Pure.

use std::net::IpAddr;

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, PTR, SOA, SRV, TXT},
    },
};

use crate::zone::{Lookup, Zone};

/// Time to live of our own records: short, endpoints come and go.
const TTL_SECS: u32 = 5;
/// Version of the specification that the names follow.
const DNS_VERSION: &str = "1.1.0";

/// What to do with a question.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// This is the answer.
    Answer(Box<Message>),
    /// Ask the upstream servers.
    Forward,
}

/// Answer `request` from `zone`, whose names end in `domain`
/// (`cluster.local.`).
pub fn answer(request: &Message, zone: &Zone, domain: &Name) -> Verdict {
    let mut reply = reply_to(request);
    let [query] = request.queries.as_slice() else {
        reply.metadata.response_code = ResponseCode::FormErr;
        return Verdict::Answer(Box::new(reply));
    };
    if request.metadata.op_code != OpCode::Query || request.metadata.message_type != MessageType::Query {
        reply.metadata.response_code = ResponseCode::NotImp;
        return Verdict::Answer(Box::new(reply));
    }
    if query.query_class() != DNSClass::IN {
        reply.metadata.response_code = ResponseCode::Refused;
        return Verdict::Answer(Box::new(reply));
    }
    if let Some(address) = reverse_address(query.name()) {
        let Some(name) = zone.reverse(address).and_then(|n| absolute(&n, domain)) else {
            return Verdict::Forward;
        };
        if query.query_type() == RecordType::PTR {
            reply.add_answer(Record::from_rdata(query.name().clone(), TTL_SECS, RData::PTR(PTR(name))));
        }
        reply.metadata.authoritative = true;
        return Verdict::Answer(Box::new(reply));
    }
    if !domain.zone_of(query.name()) {
        return Verdict::Forward;
    }
    reply.metadata.authoritative = true;
    ours(query, zone, domain, &mut reply);
    Verdict::Answer(Box::new(reply))
}

/// An empty answer to a request.
pub(crate) fn reply_to(request: &Message) -> Message {
    let mut reply = Message::new(request.metadata.id, MessageType::Response, request.metadata.op_code);
    reply.metadata.recursion_desired = request.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.queries.clone_from(&request.queries);
    reply
}

fn ours(query: &Query, zone: &Zone, domain: &Name, reply: &mut Message) {
    let labels = labels_below(query.name(), domain);
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let name = query.name();
    if labels == ["dns-version"] {
        if query.query_type() == RecordType::TXT {
            let text = TXT::new(vec![DNS_VERSION.into()]);
            reply.add_answer(Record::from_rdata(name.clone(), TTL_SECS, RData::TXT(text)));
        }
        return;
    }
    let Some(found) = zone.lookup(&labels) else {
        reply.metadata.response_code = ResponseCode::NXDomain;
        reply.add_authority(authority(domain));
        return;
    };
    match query.query_type() {
        RecordType::SRV => ports(name, &found, zone, domain, reply),
        kind => reply.answers.extend(addresses(name, &found, kind)),
    }
    if reply.answers.is_empty() {
        reply.add_authority(authority(domain));
    }
}

fn addresses(name: &Name, found: &Lookup, kind: RecordType) -> Vec<Record> {
    let record = |ip: &IpAddr| {
        let data = match ip {
            IpAddr::V4(ip) if kind == RecordType::A => RData::A(A(*ip)),
            IpAddr::V6(ip) if kind == RecordType::AAAA => RData::AAAA(AAAA(*ip)),
            _ => return None,
        };
        Some(Record::from_rdata(name.clone(), TTL_SECS, data))
    };
    found.addresses.iter().filter_map(record).collect()
}

fn ports(name: &Name, found: &Lookup, zone: &Zone, domain: &Name, reply: &mut Message) {
    let weight = u16::try_from(100 / found.services.len().max(1)).unwrap_or(1);
    for (port, at) in &found.services {
        let Some(target) = absolute(at, domain) else { continue };
        let data = RData::SRV(SRV::new(0, weight, *port, target.clone()));
        reply.add_answer(Record::from_rdata(name.clone(), TTL_SECS, data));
        let labels: Vec<&str> = at.split('.').collect();
        if let Some(found) = zone.lookup(&labels) {
            for kind in [RecordType::A, RecordType::AAAA] {
                reply.additionals.extend(addresses(&target, &found, kind));
            }
        }
    }
}

/// SOA of the zone, for negative answers (RFC 2308).
fn authority(domain: &Name) -> Record {
    let host = |label: &str| domain.prepend_label(label).unwrap_or_else(|_| domain.clone());
    let soa = SOA::new(host("ns"), host("hostmaster"), 1, 7200, 1800, 86_400, TTL_SECS);
    Record::from_rdata(domain.clone(), TTL_SECS, RData::SOA(soa))
}

/// Labels of `name` below `domain`, lower case.
fn labels_below(name: &Name, domain: &Name) -> Vec<String> {
    let below = usize::from(name.num_labels()).saturating_sub(usize::from(domain.num_labels()));
    name.iter().take(below).map(|l| String::from_utf8_lossy(l).to_ascii_lowercase()).collect()
}

fn absolute(relative: &str, domain: &Name) -> Option<Name> {
    Name::from_ascii(relative).ok()?.append_domain(domain).ok()
}

/// The address that an `in-addr.arpa` or `ip6.arpa` name stands for.
fn reverse_address(name: &Name) -> Option<IpAddr> {
    let labels: Vec<String> = name.iter().map(|l| String::from_utf8_lossy(l).to_ascii_lowercase()).collect();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    match labels.as_slice() {
        [d, c, b, a, "in-addr", "arpa"] => format!("{a}.{b}.{c}.{d}").parse().ok(),
        [nibbles @ .., "ip6", "arpa"] if nibbles.len() == 32 => {
            let mut value: u128 = 0;
            for nibble in nibbles.iter().rev() {
                value = value << 4 | u128::from(u8::from_str_radix(nibble, 16).ok().filter(|_| nibble.len() == 1)?);
            }
            Some(IpAddr::V6(value.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::zone::tests::zone;

    fn ask(name: &str, kind: RecordType) -> Verdict {
        let mut m = Message::new(77, MessageType::Query, OpCode::Query);
        m.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        answer(&m, &zone(), &Name::from_ascii("cluster.local.").unwrap())
    }

    /// Response code and answers as text; `None`: forwarded.
    fn text(name: &str, kind: RecordType) -> Option<(ResponseCode, Vec<String>)> {
        match ask(name, kind) {
            Verdict::Forward => None,
            Verdict::Answer(m) => {
                // What goes over the wire comes back the same.
                let again = Message::from_vec(&m.to_vec().unwrap()).unwrap();
                assert_eq!(again.answers, m.answers);
                assert_eq!(m.metadata.id, 77);
                Some((m.metadata.response_code, m.answers.iter().map(|r| r.data.to_string()).collect()))
            }
        }
    }

    #[test]
    fn answers() {
        use RecordType as T;
        use ResponseCode::{NXDomain, NoError};
        for (name, kind, want) in [
            ("web.shop.svc.cluster.local.", T::A, Some((NoError, vec!["10.96.0.7"]))),
            ("WEB.Shop.svc.CLUSTER.local.", T::AAAA, Some((NoError, vec!["fd00::7"]))),
            ("redis-0.redis.shop.svc.cluster.local.", T::A, Some((NoError, vec!["10.244.0.5"]))),
            ("redis.shop.svc.cluster.local.", T::AAAA, Some((NoError, vec![]))),
            (
                "_http._tcp.web.shop.svc.cluster.local.",
                T::SRV,
                Some((NoError, vec!["0 100 80 web.shop.svc.cluster.local."])),
            ),
            ("nobody.shop.svc.cluster.local.", T::A, Some((NXDomain, vec![]))),
            ("cluster.local.", T::A, Some((NoError, vec![]))),
            ("dns-version.cluster.local.", T::TXT, Some((NoError, vec!["1.1.0"]))),
            ("7.0.96.10.in-addr.arpa.", T::PTR, Some((NoError, vec!["web.shop.svc.cluster.local."]))),
            ("8.0.96.10.in-addr.arpa.", T::PTR, None),
            ("example.com.", T::A, None),
            ("local.", T::A, None),
        ] {
            let want = want.map(|(c, l)| (c, l.into_iter().map(String::from).collect()));
            assert_eq!(text(name, kind), want, "{name} {kind}");
        }
    }

    #[test]
    fn negative_answers_carry_the_authority() {
        let Verdict::Answer(m) = ask("nobody.shop.svc.cluster.local.", RecordType::A) else { panic!() };
        assert_eq!(m.authorities.len(), 1);
        let Verdict::Answer(m) = ask("_redis._tcp.redis.shop.svc.cluster.local.", RecordType::SRV) else { panic!() };
        assert_eq!((m.answers.len(), m.additionals.len()), (2, 2));
    }

    #[test]
    fn reverse_of_ipv6() {
        let name = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.";
        assert_eq!(text(name, RecordType::PTR).unwrap().1, ["web.shop.svc.cluster.local."]);
    }

    proptest! {
        #[test]
        fn no_message_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(m) = Message::from_vec(&bytes) {
                answer(&m, &zone(), &Name::from_ascii("cluster.local.").unwrap());
            }
        }
    }
}
