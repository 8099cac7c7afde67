//! The wire format of protobuf, as far as Kubernetes uses it: numbers and byte
//! strings.

use super::Wrong;

/// A value before its type is known.
#[derive(Clone, Copy)]
pub(super) enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Wire<'_> {
    /// Is it 0, false or empty?
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Number(n) => *n == 0,
            Self::Bytes(bytes) => bytes.is_empty(),
        }
    }
}

/// Takes values from the front of its bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next field and its value; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Wire<'a>)>, Wrong> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.number()?;
        let tag = u32::try_from(key >> 3).map_err(|_| Wrong::LongNumber)?;
        let wire = match key & 7 {
            0 => Wire::Number(self.number()?),
            2 => {
                let length = usize::try_from(self.number()?).map_err(|_| Wrong::Truncated)?;
                let (value, rest) = self.0.split_at_checked(length).ok_or(Wrong::Truncated)?;
                self.0 = rest;
                Wire::Bytes(value)
            }
            other => return Err(Wrong::WireType(other as u8)),
        };
        Ok(Some((tag, wire)))
    }

    /// A number of up to 10 bytes, seven bits each, lowest first.
    pub(super) fn number(&mut self) -> Result<u64, Wrong> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Wrong::Truncated)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Wrong::LongNumber)
    }
}
