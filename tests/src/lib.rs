//! Black-box tests: the real binary, real sockets, real backends.
