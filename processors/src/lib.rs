//! Processors, one file each.
