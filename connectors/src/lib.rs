//! Connectors, one file each.
