//! Growing the disk layout (to come).
