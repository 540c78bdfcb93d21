//! The length-prefixed message: a flag byte, four bytes of length, the message.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Code, Status};
use crate::{Compression, Rope};

const PREFIX: usize = 5;

/// Frames a message for sending; its bytes are not copied.
pub fn framed(message: Rope, compressed: bool) -> Rope {
    let length = bytes::Buf::remaining(&message);
    let mut prefix = BytesMut::with_capacity(PREFIX);
    prefix.put_u8(u8::from(compressed));
    prefix.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    let mut whole = Rope::from(prefix.freeze());
    message.append_to(&mut whole);
    whole
}

/// The only message in `body`, still compressed if its flag says so.
///
/// # Errors
/// A frame that ends early or is followed by more: a unary call has exactly one message.
pub fn unframe(body: &Bytes, codec: Compression) -> Result<(Bytes, Compression), Status> {
    let invalid = |message: String| Status::new(Code::InvalidArgument, message);
    let Some((prefix, _)) = body.split_first_chunk::<PREFIX>() else {
        return Err(invalid(format!("a gRPC message starts with five bytes, the body has {}", body.len())));
    };
    let [flag, a, b, c, d] = *prefix;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let message = body.slice(PREFIX..);
    if message.len() != length {
        return Err(invalid(format!("the gRPC frame announces {length} bytes, {} follow", message.len())));
    }
    match (flag, codec) {
        (0, _) => Ok((message, Compression::None)),
        (1, Compression::None) => {
            Err(invalid("the message is flagged compressed, but no grpc-encoding is named".into()))
        }
        (1, codec) => Ok((message, codec)),
        (other, _) => Err(invalid(format!("unknown gRPC frame flag {other}"))),
    }
}
