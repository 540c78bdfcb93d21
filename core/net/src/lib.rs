//! Server and client settings: listeners, TLS, authentication, limits, compression, retry. The transport hides behind it.
