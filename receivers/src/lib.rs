//! Receivers, one file each.
