//! Exporters, one file each.
