//! OTLP requests written by hand, field by field, so that they can be as wrong as a test needs.

use bytes::Bytes;

/// A field with a length: its number, then its content.
pub(crate) fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(content);
    out
}

/// A log record whose body is these bytes, be they text or not.
pub(crate) fn log_record(body: &[u8]) -> Vec<u8> {
    field(5, &field(1, body))
}

/// A logs request of records in one scope.
pub(crate) fn logs(records: &[Vec<u8>]) -> Bytes {
    let records: Vec<u8> = records.iter().flat_map(|record| field(2, record)).collect();
    field(1, &field(2, &records)).into()
}

/// A logs request of one record with this body.
pub(crate) fn log(body: &str) -> Bytes {
    logs(&[log_record(body.as_bytes())])
}

/// A logs request whose only body is `depth` lists in each other.
pub(crate) fn nested(depth: usize) -> Bytes {
    let mut value = field(1, b"core");
    for _ in 0..depth {
        value = field(5, &field(1, &value));
    }
    logs(&[field(5, &value)])
}

/// A traces request of one span with this name: the same nesting, and a span's name has a body's number.
pub(crate) fn span(name: &str) -> Bytes {
    logs(&[field(5, name.as_bytes())])
}
