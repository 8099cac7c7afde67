//! SPDY/3.1 framing, as far as Kubernetes' port-forward uses it
//! (draft-mbelshe-httpbis-spdy-00 and its 3.1 flow control).
//!
//! Pure: bytes to frames and back. Clients of Kubernetes neither send nor
//! honour flow control and settings; both are read and ignored.

mod frame;
mod headers;

pub use frame::{Decoder, Frame, PIECE_BYTES_MAX, SpdyError, encode};
pub use headers::{Deflater, Inflater};
