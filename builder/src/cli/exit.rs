//! Exit codes: the part of an error that scripts read.

use std::fmt;

/// Shown at the end of `--help`.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong command line
  3  image spec, board or lock not valid
  4  network: a download or the package archive failed
  5  verification failed: a signature or digest does not match";

/// Exit code of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Anything without a code of its own.
    Failed = 1,
    /// The command line does not make sense.
    Usage = 2,
    /// Image spec, board or lock not valid.
    Invalid = 3,
    /// A download or the package archive failed.
    Network = 4,
    /// A signature or digest does not match.
    Verification = 5,
}

/// An error with an exit code; transparent in the chain.
#[derive(Debug)]
pub struct Coded {
    code: Code,
    error: anyhow::Error,
}

impl fmt::Display for Coded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Coded {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl Code {
    /// Give `error` this exit code.
    pub fn wrap(self, error: impl Into<anyhow::Error>) -> anyhow::Error {
        Coded { code: self, error: error.into() }.into()
    }
}

/// Exit code of an error: that of the outermost [`Coded`] in its chain.
pub fn code_of(error: &anyhow::Error) -> Code {
    error.chain().find_map(|e| e.downcast_ref::<Coded>()).map_or(Code::Failed, |c| c.code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn the_outermost_code_wins_and_the_chain_stays_whole() {
        let inner = anyhow!("root cause").context("inner");
        let coded = Code::Network.wrap(inner).context("outer");
        assert_eq!(code_of(&coded), Code::Network);
        assert_eq!(format!("{coded:#}"), "outer: inner: root cause");
        assert_eq!(code_of(&Code::Verification.wrap(coded)), Code::Verification);
        assert_eq!(code_of(&anyhow!("plain")), Code::Failed);
    }
}
