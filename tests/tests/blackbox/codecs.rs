//! Bodies in every codec that the agent takes, bombs among them.

use std::io::Write;

use flate2::{Compress, Compression, FlushCompress};

/// A codec, as `content-encoding` and `grpc-encoding` name it.
pub(crate) const ALL: [&str; 3] = ["gzip", "deflate", "zstd"];

/// Compresses as well as the codec can.
pub(crate) fn squeeze(codec: &str, bytes: &[u8]) -> Vec<u8> {
    match codec {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(bytes).expect("memory takes it");
            encoder.finish().expect("memory takes it")
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(bytes).expect("memory takes it");
            encoder.finish().expect("memory takes it")
        }
        "zstd" => zstd::encode_all(bytes, 19).expect("memory takes it"),
        other => panic!("{other} is no codec of these tests"),
    }
}

/// What decompresses to `times` pieces of 16 MiB of zeros. Each codec allows its pieces in a row, so that gigabytes need not
/// be compressed here.
pub(crate) fn bomb(codec: &str, times: usize) -> Vec<u8> {
    let zeros = vec![0; 16 << 20];
    if codec != "deflate" {
        return squeeze(codec, &zeros).repeat(times);
    }
    // A zlib stream is one; but what was flushed in full stands on a byte's border and knows nothing of what was before.
    let mut compress = Compress::new(Compression::best(), false);
    let mut piece = Vec::with_capacity(64 << 10);
    compress.compress_vec(&zeros, &mut piece, FlushCompress::Full).expect("memory takes it");
    assert_eq!(compress.total_in(), zeros.len() as u64, "the piece is whole");
    [&[0x78, 0xda][..], &piece.repeat(times)].concat()
}
