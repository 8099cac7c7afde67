//! Frames.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Deflater, Inflater};

/// Largest frame that is taken; clients send pieces of 32 KiB.
const FRAME_BYTES_MAX: usize = 256 * 1024;
/// Largest piece of data that is sent in a frame.
pub const PIECE_BYTES_MAX: usize = 32 * 1024;
const HEAD_BYTES: usize = 8;
const VERSION: u16 = 3;
const FIN: u8 = 1;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// What ends a SPDY connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpdyError {
    /// Another version than 3.
    #[error("SPDY version {0}, want 3")]
    Version(u16),
    /// Longer than is taken.
    #[error("SPDY frame of {0} bytes, at most {FRAME_BYTES_MAX} are taken")]
    TooLong(usize),
    /// Too short for its type.
    #[error("SPDY frame of type {0} is cut short")]
    Short(u16),
    /// Headers cannot be read.
    #[error("SPDY headers cannot be read: {0}")]
    Headers(&'static str),
    /// A stream identifier that may not be.
    #[error("SPDY stream {0} may not be opened")]
    Stream(u32),
}

/// One frame. Names of headers are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A stream begins.
    Open {
        /// Stream.
        id: u32,
        /// Nothing else comes on it.
        fin: bool,
        /// Headers.
        headers: Vec<(String, String)>,
    },
    /// The other side's headers.
    Reply {
        /// Stream.
        id: u32,
        /// Nothing else comes on it.
        fin: bool,
        /// Headers.
        headers: Vec<(String, String)>,
    },
    /// Data of a stream.
    Data {
        /// Stream.
        id: u32,
        /// Nothing else comes on it.
        fin: bool,
        /// Data.
        data: Bytes,
    },
    /// A stream ends at once.
    Reset {
        /// Stream.
        id: u32,
        /// Why.
        status: u32,
    },
    /// Send it back.
    Ping(u32),
    /// No new streams.
    GoAway,
    /// Settings, windows, later headers, types that we do not know.
    Ignored,
}

/// Bytes to frames. Keeps at most one frame.
#[derive(Default)]
pub struct Decoder {
    buffer: BytesMut,
    inflater: Inflater,
}

impl Decoder {
    /// Bytes have come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; `None`: more bytes are needed. After an error the
    /// connection is of no use.
    ///
    /// # Errors
    /// [`SpdyError`].
    pub fn next(&mut self) -> Result<Option<Frame>, SpdyError> {
        let Some(head) = self.buffer.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let flags = head[4];
        let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(SpdyError::TooLong(length));
        }
        if self.buffer.len() < HEAD_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(HEAD_BYTES);
        let body = self.buffer.split_to(length).freeze();
        let fin = flags & FIN != 0;
        if first >> 31 == 0 {
            return Ok(Some(Frame::Data { id: first, fin, data: body }));
        }
        let (version, kind) = ((first >> 16) as u16 & 0x7fff, first as u16);
        if version != VERSION {
            return Err(SpdyError::Version(version));
        }
        self.control(kind, fin, body).map(Some)
    }

    fn control(&mut self, kind: u16, fin: bool, mut body: Bytes) -> Result<Frame, SpdyError> {
        let number = |body: &mut Bytes| body.try_get_u32().map_err(|_| SpdyError::Short(kind));
        Ok(match kind {
            SYN_STREAM => {
                let id = number(&mut body)? & 0x7fff_ffff;
                // Associated stream, priority, slot.
                if body.len() < 6 {
                    return Err(SpdyError::Short(kind));
                }
                let headers = self.inflater.headers(&body[6..])?;
                if id == 0 {
                    return Err(SpdyError::Stream(id));
                }
                Frame::Open { id, fin, headers }
            }
            SYN_REPLY => {
                let id = number(&mut body)? & 0x7fff_ffff;
                Frame::Reply { id, fin, headers: self.inflater.headers(&body)? }
            }
            RST_STREAM => Frame::Reset { id: number(&mut body)? & 0x7fff_ffff, status: number(&mut body)? },
            PING => Frame::Ping(number(&mut body)?),
            GOAWAY => Frame::GoAway,
            HEADERS => {
                number(&mut body)?;
                // Read, as all headers of a connection are one zlib stream.
                self.inflater.headers(&body)?;
                Frame::Ignored
            }
            SETTINGS | WINDOW_UPDATE => Frame::Ignored,
            _ => Frame::Ignored,
        })
    }
}

/// A frame to bytes. Data longer than [`PIECE_BYTES_MAX`] must be cut before.
pub fn encode(frame: &Frame, deflater: &mut Deflater) -> Vec<u8> {
    match frame {
        Frame::Open { id, fin, headers } => {
            let block = deflater.headers(headers);
            let mut body = [&id.to_be_bytes()[..], &[0; 6]].concat();
            body.extend_from_slice(&block);
            control(SYN_STREAM, *fin, &body)
        }
        Frame::Reply { id, fin, headers } => {
            let block = deflater.headers(headers);
            control(SYN_REPLY, *fin, &[&id.to_be_bytes()[..], &block].concat())
        }
        Frame::Data { id, fin, data } => {
            let mut out = Vec::with_capacity(HEAD_BYTES + data.len());
            out.put_u32(id & 0x7fff_ffff);
            out.put_u32(u32::from(*fin) << 24 | data.len() as u32);
            out.extend_from_slice(data);
            out
        }
        Frame::Reset { id, status } => control(RST_STREAM, false, &[id.to_be_bytes(), status.to_be_bytes()].concat()),
        Frame::Ping(id) => control(PING, false, &id.to_be_bytes()),
        Frame::GoAway => control(GOAWAY, false, &[0; 8]),
        Frame::Ignored => vec![],
    }
}

fn control(kind: u16, fin: bool, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + body.len());
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(u32::from(fin) << 24 | body.len() as u32);
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn frames() -> impl Strategy<Value = Frame> {
        let headers = || proptest::collection::vec(("[a-z]{1,9}", "[ -~]{0,40}"), 0..5);
        let id = || 1..0x8000_0000u32;
        prop_oneof![
            (id(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::Open { id, fin, headers }),
            (id(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::Reply { id, fin, headers }),
            (id(), any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300))
                .prop_map(|(id, fin, data)| Frame::Data { id, fin, data: data.into() }),
            (id(), any::<u32>()).prop_map(|(id, status)| Frame::Reset { id, status }),
            any::<u32>().prop_map(Frame::Ping),
            Just(Frame::GoAway),
        ]
    }

    fn all(decoder: &mut Decoder) -> Result<Vec<Frame>, SpdyError> {
        let mut out = Vec::new();
        while let Some(frame) = decoder.next()? {
            out.push(frame);
        }
        Ok(out)
    }

    proptest! {
        #[test]
        fn round_trip_in_any_pieces(sent in proptest::collection::vec(frames(), 1..8), piece in 1..50usize) {
            let mut deflater = Deflater::default();
            let bytes: Vec<u8> = sent.iter().flat_map(|f| encode(f, &mut deflater)).collect();
            let mut decoder = Decoder::default();
            let mut got = Vec::new();
            for piece in bytes.chunks(piece) {
                decoder.push(piece);
                got.extend(all(&mut decoder).unwrap());
            }
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            let _ = all(&mut decoder);
        }

        #[test]
        fn control_frames_of_any_body(kind in 0..12u8, body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut decoder = Decoder::default();
            decoder.push(&[0x80, 3, 0, kind, 0, 0, 0, body.len() as u8]);
            decoder.push(&body);
            let _ = all(&mut decoder);
        }
    }

    #[test]
    fn bad_frames() {
        let of = |bytes: &[u8]| {
            let mut decoder = Decoder::default();
            decoder.push(bytes);
            all(&mut decoder)
        };
        assert_eq!(of(&[0, 0, 0, 1, 0, 0xff, 0xff, 0xff]), Err(SpdyError::TooLong(0xff_ffff)));
        assert_eq!(of(&[0x80, 2, 0, 1, 0, 0, 0, 0]), Err(SpdyError::Version(2)));
        assert_eq!(of(&[0x80, 3, 0, 1, 0, 0, 0, 0]), Err(SpdyError::Short(1)));
        assert_eq!(of(&[0x80, 3, 0, 1, 0, 0, 0, 5, 0, 0, 0, 1, 0]), Err(SpdyError::Short(1)));
        assert_eq!(of(&[0x80, 3, 0, 3, 0, 0, 0, 4, 0, 0, 0, 1]), Err(SpdyError::Short(3)));
        assert_eq!(of(&[0x80, 3, 0, 6, 0, 0, 0, 0]), Err(SpdyError::Short(6)));
        // Unknown types, settings and windows are passed over.
        assert_eq!(of(&[0x80, 3, 0, 99, 0, 0, 0, 0]), Ok(vec![Frame::Ignored]));
        assert_eq!(of(&[0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1]), Ok(vec![Frame::Ignored]));
        // A head alone is not yet a frame.
        assert_eq!(of(&[0, 0, 0, 1, 0, 0, 0]), Ok(vec![]));
    }
}
