//! Benchmarks, whose figures are ratios from one run.
