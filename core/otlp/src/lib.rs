//! OTLP on the wire: chunks of protobuf bytes that are admitted once, read through borrowed views and changed by splices. No I/O.
