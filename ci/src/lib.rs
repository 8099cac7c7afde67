//! Harness for everything that needs a running node: the demo and the scenario
//! tests. It calls the real `skerry` program as a user would, boots its images
//! under QEMU, serves updates with a real web server, and breaks things.

pub mod api;
pub mod apps;
pub mod bench;
pub mod collector;
pub mod demo;
pub mod disk;
pub mod faults;
pub mod fixture;
pub mod http;
pub mod kubectl;
pub mod node;
pub mod product;
pub mod random;
pub mod redis;
pub mod server;
pub mod tools;
