//! What a stream keeps of a chunk.

use std::collections::BTreeMap;

use bytes::Bytes;
use throughline_component::{ComponentId, Metadata};
use throughline_otlp::Signal;

use crate::frame::{HEAD, Head, Kind};

/// One record of a stream: a chunk without those who wait for it. There is no place in it for `auth`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What the payload is a request of.
    pub signal: Signal,
    /// Items in the payload.
    pub items: u32,
    /// When the request was accepted, in nanoseconds since the Unix epoch.
    pub received_at: u64,
    /// The receiver it came through.
    pub source: ComponentId,
    /// Of the request's metadata that which a sink asked for.
    pub metadata: Metadata,
    /// The chunk's bytes.
    pub payload: Bytes,
}

impl Record {
    /// How many bytes it takes up in a segment, if its metadata is short.
    pub(crate) fn size(&self) -> usize {
        HEAD + self.payload.len() + self.metadata_bytes().len()
    }

    /// Appends its frame without the payload, which follows as it is.
    pub(crate) fn write_head(&self, sequence: u64, salt: u32, out: &mut Vec<u8>) {
        let metadata = self.metadata_bytes();
        let head = Head {
            signal: self.signal as u8,
            items: self.items,
            sequence,
            received_at: self.received_at,
            metadata: metadata.len().try_into().unwrap_or(u32::MAX),
            ..Head::of(Kind::Record)
        };
        head.write_head(out, salt, &[&metadata, &self.payload]);
        out.extend_from_slice(&metadata);
    }

    /// Reads it back. `None`: its checksum is right, but it was not written by us.
    pub(crate) fn read(head: &Head, body: &Bytes) -> Option<Self> {
        let metadata = usize::try_from(head.metadata).ok()?;
        let mut rest = Texts(body.get(..metadata)?);
        let source = ComponentId::new(rest.text()?);
        let mut map = BTreeMap::<String, Vec<String>>::new();
        while !rest.0.is_empty() {
            map.entry(rest.text()?.to_owned()).or_default().push(rest.text()?.to_owned());
        }
        Some(Self {
            signal: *Signal::ALL.get(usize::from(head.signal))?,
            items: head.items,
            received_at: head.received_at,
            source,
            metadata: Metadata(map),
            payload: body.slice(metadata..),
        })
    }

    /// Texts with their lengths in front: the source, then a name and a value for every value.
    fn metadata_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + self.source.as_str().len());
        put(&mut out, self.source.as_str());
        for (name, values) in &self.metadata.0 {
            for value in values {
                put(&mut out, name);
                put(&mut out, value);
            }
        }
        out
    }
}

/// Appends a text with its length in front.
pub(crate) fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Reads what [`put`] wrote.
pub(crate) struct Texts<'a>(pub(crate) &'a [u8]);

impl<'a> Texts<'a> {
    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let (length, rest) = self.0.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (text, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let metadata = BTreeMap::from([("x-tenant".to_owned(), vec!["a".to_owned(), "b".to_owned()])]);
        let record = Record {
            signal: Signal::Metrics,
            items: 3,
            received_at: 9,
            source: ComponentId::new("otlp/in"),
            metadata: Metadata(metadata),
            payload: Bytes::from_static(b"payload"),
        };
        let mut out = Vec::new();
        record.write_head(5, 77, &mut out);
        out.extend_from_slice(&record.payload);
        assert_eq!(record.size(), out.len());
        let head = Head::read(&out, 77).expect("its own salt");
        let body = Bytes::copy_from_slice(&out[HEAD..]);
        assert!(head.fits(&body, 77));
        assert_eq!((head.sequence, Record::read(&head, &body)), (5, Some(record)));
        assert_eq!(Head::read(&out, 78), None, "a frame of another file is none");
    }
}
