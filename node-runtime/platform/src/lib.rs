//! The node's hands: the only crate with raw system calls besides init.
//!
//! Everything here does one thing to the machine and reports what it did not
//! manage, with the operation and the thing it was about. Decisions live
//! elsewhere; the exceptions ([`gpt_grow::plan_layout`], parsers of `/proc` and
//! of superblocks) are pure functions that stand next to what carries them out.

pub mod block;
pub mod clock;
pub mod console;
pub mod durable;
pub mod efi;
pub mod esp;
pub mod fsverity;
pub mod gpt_grow;
pub mod gpt_table;
pub mod meminfo;
pub mod mount;
pub mod netns;
pub mod notify;
pub mod process;
pub mod procmem;
pub mod quota;
pub mod resolv;
pub mod usage;
pub mod watchdog;
