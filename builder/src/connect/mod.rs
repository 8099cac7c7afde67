//! Getting to the Kubernetes API of a node: which certificate authority it
//! has, and the file that kubectl reads. Not what is done there.

mod address;
mod authority;
mod kubeconfig;

pub use address::{NodeAddress, PORT};
pub use authority::{Authority, ConnectError, Fingerprint, Trust, fetch};
pub use kubeconfig::{Credentials, kubeconfig};
