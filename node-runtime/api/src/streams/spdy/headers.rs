//! Header blocks: pairs of texts with lengths, as one zlib stream for the
//! whole connection, with a dictionary that both sides know (2.6.10).

use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateError, InflateFlush, Status};

use super::SpdyError;

/// Headers of one frame, unpacked. Kubernetes sends a few hundred bytes.
const BLOCK_BYTES_MAX: usize = 16 * 1024;
const WINDOW_BITS: u8 = 15;
/// Adler-32 of the dictionary.
#[cfg(test)]
const DICTIONARY_ID: u32 = 0xe3c6_a7c2;

/// The words of the dictionary; each stands there with its length.
const WORDS: &[&str] = &[
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
    "200 OK",
    "version",
    "HTTP/1.1",
    "url",
    "public",
    "set-cookie",
    "keep-alive",
    "origin",
];
/// What follows the words.
const REST: &str = "\
    100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
    203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized\
    403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable\
    Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT\
    chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,\
    text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

fn dictionary() -> Vec<u8> {
    let words = WORDS.iter().flat_map(|w| (w.len() as u32).to_be_bytes().into_iter().chain(w.bytes()));
    words.chain(REST.bytes()).collect()
}

/// Unpacks header blocks. The zlib state, 40 KiB, is made with the first one.
#[derive(Default)]
pub struct Inflater(Option<Inflate>);

impl Inflater {
    /// The headers of the next block; names in lower case.
    ///
    /// # Errors
    /// [`SpdyError::Headers`].
    pub fn headers(&mut self, block: &[u8]) -> Result<Vec<(String, String)>, SpdyError> {
        let inflate = self.0.get_or_insert_with(|| Inflate::new(true, WINDOW_BITS));
        pairs(&unpack(inflate, block).map_err(SpdyError::Headers)?)
    }
}

fn unpack(inflate: &mut Inflate, mut input: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut out = vec![0; BLOCK_BYTES_MAX];
    let mut filled = 0;
    loop {
        let (read, written) = (inflate.total_in(), inflate.total_out());
        let result = inflate.decompress(input, &mut out[filled..], InflateFlush::SyncFlush);
        input = &input[(inflate.total_in() - read) as usize..];
        filled += (inflate.total_out() - written) as usize;
        match result {
            Err(InflateError::NeedDict { .. }) => {
                inflate.set_dictionary(&dictionary()).map_err(|_| "another dictionary than SPDY/3's")?;
            }
            Ok(Status::Ok) if !input.is_empty() && filled < BLOCK_BYTES_MAX => {}
            // All of the input is taken; there may be none, in an empty block.
            Ok(Status::Ok | Status::BufError) if input.is_empty() && filled < BLOCK_BYTES_MAX => break,
            Ok(Status::Ok | Status::BufError) => return Err("too long"),
            Ok(Status::StreamEnd) => return Err("the zlib stream ends"),
            Err(_) => return Err("not zlib"),
        }
    }
    out.truncate(filled);
    Ok(out)
}

fn pairs(block: &[u8]) -> Result<Vec<(String, String)>, SpdyError> {
    let short = SpdyError::Headers("cut short");
    let (count, mut rest) = number(block).ok_or(short)?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        let (name, after) = text(rest).ok_or(short)?;
        let (value, after) = text(after).ok_or(short)?;
        rest = after;
        pairs.push((name.to_ascii_lowercase(), value.to_string()));
    }
    Ok(pairs)
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = number(bytes)?;
    let (text, rest) = rest.split_at_checked(length as usize)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// Packs header blocks.
#[derive(Default)]
pub struct Deflater(Option<Deflate>);

impl Deflater {
    /// The next block.
    pub fn headers(&mut self, headers: &[(String, String)]) -> Vec<u8> {
        let mut plain = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend_from_slice(&(text.len() as u32).to_be_bytes());
            plain.extend_from_slice(text.as_bytes());
        }
        let deflate = self.0.get_or_insert_with(|| {
            let mut deflate = Deflate::new(1, true, WINDOW_BITS);
            deflate.set_dictionary(&dictionary()).expect("a new stream takes a dictionary");
            deflate
        });
        // Room for what does not shrink, the head and the flush.
        let mut out = vec![0; plain.len() + plain.len() / 8 + 128];
        let before = deflate.total_out();
        deflate.compress(&plain, &mut out, DeflateFlush::SyncFlush).expect("there is room enough");
        out.truncate((deflate.total_out() - before) as usize);
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_dictionary_is_the_one_of_the_specification() {
        let bytes = dictionary();
        let mut deflate = Deflate::new(1, true, WINDOW_BITS);
        assert_eq!(bytes.len(), 1423);
        assert_eq!(deflate.set_dictionary(&bytes).unwrap(), DICTIONARY_ID);
    }

    #[test]
    fn one_stream_for_all_blocks() {
        let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
        let headers = vec![("streamtype".to_string(), "error".to_string()), ("port".into(), "80".into())];
        let first = deflater.headers(&headers);
        let second = deflater.headers(&headers);
        assert!(second.len() < first.len());
        assert_eq!(inflater.headers(&first).unwrap(), headers);
        assert_eq!(inflater.headers(&second).unwrap(), headers);
        assert_eq!(inflater.headers(&deflater.headers(&[])).unwrap(), []);
    }

    #[test]
    fn bombs_and_damage_are_refused() {
        let large = vec![("a".to_string(), "x".repeat(BLOCK_BYTES_MAX))];
        let bomb = Deflater::default().headers(&large);
        assert!(bomb.len() < 1000);
        assert_eq!(Inflater::default().headers(&bomb), Err(SpdyError::Headers("too long")));
        assert_eq!(Inflater::default().headers(b"GET / HTTP/1.1"), Err(SpdyError::Headers("not zlib")));
        // Says that it has more than there is.
        let mut deflate = Deflate::new(1, true, WINDOW_BITS);
        let mut out = vec![0; 100];
        deflate.compress(&[0, 0, 0, 9], &mut out, DeflateFlush::SyncFlush).unwrap();
        out.truncate(deflate.total_out() as usize);
        assert_eq!(Inflater::default().headers(&out), Err(SpdyError::Headers("cut short")));
    }
}
