//! Secret rules and the scanner that finds them in one pass. No I/O.
