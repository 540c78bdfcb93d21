//! Fake clock, lossy disk, OTLP generators, and the conformance suite every component passes.
