//! The part of HTTP/1.1 (RFC 9112) that a server of tiny answers needs: one
//! request without body per connection, bounded in bytes.

/// Largest request head taken.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;

/// A request line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET` or `HEAD`; others are answered with 405.
    pub method: Method,
    /// Path without query.
    pub path: String,
}

/// Methods that the server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD: as GET, without the body.
    Head,
}

/// What parsing came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// The head is not complete yet.
    More,
    /// A request.
    Done(Request),
    /// Refuse with this answer.
    Refuse(Status),
}

/// Status codes in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 200
    Ok,
    /// 400
    BadRequest,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 408
    Timeout,
    /// 431
    HeadTooLarge,
    /// 503
    Unavailable,
}

impl Status {
    /// Code and reason phrase.
    pub fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::Timeout => "408 Request Timeout",
            Status::HeadTooLarge => "431 Request Header Fields Too Large",
            Status::Unavailable => "503 Service Unavailable",
        }
    }
}

/// Parse what has arrived so far.
pub fn parse(head: &[u8]) -> Parsed {
    let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") else {
        return if head.len() >= HEAD_BYTES_MAX { Parsed::Refuse(Status::HeadTooLarge) } else { Parsed::More };
    };
    let Some(Ok(line)) = head[..end].split(|b| *b == b'\n').next().map(std::str::from_utf8) else {
        return Parsed::Refuse(Status::BadRequest);
    };
    let mut words = line.trim_end_matches('\r').split(' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Parsed::Refuse(Status::BadRequest);
    };
    if !matches!(version, "HTTP/1.0" | "HTTP/1.1") || !target.starts_with('/') {
        return Parsed::Refuse(Status::BadRequest);
    }
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        m if !m.is_empty() && m.bytes().all(|b| b.is_ascii_uppercase()) => {
            return Parsed::Refuse(Status::MethodNotAllowed);
        }
        _ => return Parsed::Refuse(Status::BadRequest),
    };
    let path = target.split(['?', '#']).next().unwrap_or("/");
    Parsed::Done(Request { method, path: path.to_owned() })
}

/// Render a whole answer; the connection ends with it.
pub fn render(status: Status, content_type: &str, body: &str, with_body: bool) -> Vec<u8> {
    let allow = if status == Status::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
    let mut out = format!(
        "HTTP/1.1 {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n{allow}Connection: close\r\n\r\n",
        status.line(),
        body.len()
    );
    if with_body {
        out.push_str(body);
    }
    out.into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn get(path: &str) -> Parsed {
        Parsed::Done(Request { method: Method::Get, path: path.into() })
    }

    #[test]
    fn request_lines() {
        let refuse = Parsed::Refuse;
        let table: &[(&[u8], Parsed)] = &[
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", get("/")),
            (b"GET /health?verbose=1 HTTP/1.0\r\n\r\n", get("/health")),
            (b"HEAD /ready HTTP/1.1\r\n\r\n", Parsed::Done(Request { method: Method::Head, path: "/ready".into() })),
            (b"GET / HTTP/1.1\r\nHost: x\r\n", Parsed::More),
            (b"", Parsed::More),
            (b"POST / HTTP/1.1\r\n\r\n", refuse(Status::MethodNotAllowed)),
            (b"get / HTTP/1.1\r\n\r\n", refuse(Status::BadRequest)),
            (b"GET / HTTP/2\r\n\r\n", refuse(Status::BadRequest)),
            (b"GET /\r\n\r\n", refuse(Status::BadRequest)),
            (b"GET http://x/ HTTP/1.1\r\n\r\n", refuse(Status::BadRequest)),
            (b"GET / HTTP/1.1 extra\r\n\r\n", refuse(Status::BadRequest)),
            (b"\r\n\r\n", refuse(Status::BadRequest)),
            (b"GET /\xff HTTP/1.1\r\n\r\n", refuse(Status::BadRequest)),
        ];
        for (head, want) in table {
            assert_eq!(parse(head), *want, "{}", String::from_utf8_lossy(head));
        }
        assert_eq!(parse(&[b'a'; HEAD_BYTES_MAX]), refuse(Status::HeadTooLarge));
    }

    #[test]
    fn answers_carry_their_length_and_head_has_no_body() {
        let text = String::from_utf8(render(Status::Ok, "text/plain", "abc", true)).unwrap();
        assert!(text.contains("Content-Length: 3\r\n") && text.ends_with("\r\n\r\nabc"), "{text}");
        let text = String::from_utf8(render(Status::Ok, "text/plain", "abc", false)).unwrap();
        assert!(text.contains("Content-Length: 3\r\n") && text.ends_with("\r\n\r\n"), "{text}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
            if let Parsed::Done(r) = parse(&bytes) {
                prop_assert!(r.path.starts_with('/'));
            }
        }

        #[test]
        fn a_request_in_pieces_is_the_request(cut in 0usize..40) {
            let whole = b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n";
            let cut = cut.min(whole.len() - 1);
            prop_assert_eq!(parse(&whole[..cut]), Parsed::More);
            prop_assert_eq!(parse(whole), get("/ready"));
        }
    }
}
