//! The durable log: streams, segments, group commit, cursors.
