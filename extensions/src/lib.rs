//! Extensions, one file each.
