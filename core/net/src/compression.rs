//! gzip, deflate, zstd, Snappy and LZ4, counted as they come out.

use std::io::{Read, Write};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_config::reasons;

use crate::{BodyError, Rope};

/// A codec for bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("x-aliases" = reasons(&[("zlib", "deflate"), ("", "none")])))]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 1950, which HTTP calls so (RFC 9110, section 8.4.1.2).
    #[serde(alias = "zlib")]
    Deflate,
    /// RFC 8878.
    Zstd,
    /// Google's Snappy, as one block; in frames over gRPC, as the Collector sends it there.
    Snappy,
    /// Google's Snappy, in frames.
    #[serde(rename = "x-snappy-framed")]
    SnappyFramed,
    /// LZ4, in frames.
    Lz4,
    /// As it is.
    #[default]
    #[serde(alias = "")]
    None,
}

/// How the codec compresses.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CompressionSettings {
    /// The compression level. Unset: 1.
    pub level: Option<i32>,
}

impl Compression {
    /// The codec that a `content-encoding` or `grpc-encoding` header names; an empty one names none.
    ///
    /// # Errors
    /// [`BodyError::UnknownEncoding`].
    pub fn named(header: Option<&[u8]>) -> Result<Self, BodyError> {
        match header.unwrap_or_default() {
            b"" | b"identity" => Ok(Self::None),
            b"gzip" | b"x-gzip" => Ok(Self::Gzip),
            // The Collector takes zlib for the same.
            b"deflate" | b"zlib" => Ok(Self::Deflate),
            b"zstd" => Ok(Self::Zstd),
            b"snappy" => Ok(Self::Snappy),
            b"x-snappy-framed" => Ok(Self::SnappyFramed),
            b"lz4" => Ok(Self::Lz4),
            other => Err(BodyError::UnknownEncoding(String::from_utf8_lossy(other).into_owned())),
        }
    }

    /// The header's value; `None` for no codec.
    pub fn as_header(self) -> Option<&'static str> {
        match self {
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Zstd => Some("zstd"),
            Self::Snappy => Some("snappy"),
            Self::SnappyFramed => Some("x-snappy-framed"),
            Self::Lz4 => Some("lz4"),
            Self::None => None,
        }
    }

    /// Decompresses `body`, at most `limit` bytes. `grow` is asked before each piece is kept, so that memory is
    /// charged as it is taken.
    ///
    /// # Errors
    /// Too large, corrupt, or refused by `grow`.
    pub(crate) fn decompress(
        self,
        body: Bytes,
        limit: usize,
        mut grow: impl FnMut(usize) -> Result<(), BodyError>,
    ) -> Result<Bytes, BodyError> {
        match self {
            Self::None => Ok(body),
            // MultiGzDecoder: RFC 1952 allows several members, and some senders flush that way.
            Self::Gzip => drain(flate2::bufread::MultiGzDecoder::new(&*body), "gzip", limit, &mut grow),
            Self::Deflate => drain(flate2::bufread::ZlibDecoder::new(&*body), "deflate", limit, &mut grow),
            Self::Zstd => {
                let corrupt =
                    |why: std::io::Error| BodyError::Corrupt { encoding: "zstd", why: why.to_string() };
                #[expect(clippy::disallowed_types, reason = "`drain` counts what comes out")]
                let mut decoder = zstd::stream::read::Decoder::with_buffer(&*body).map_err(corrupt)?;
                // A frame may ask for a window of 2 GiB before it yields a byte; 8 MiB is what RFC 8878 wants supported.
                decoder.window_log_max(23).map_err(corrupt)?;
                drain(decoder, "zstd", limit, &mut grow)
            }
            // Senders disagree about what the name means; no block begins like a frame's identifier.
            Self::Snappy if !body.starts_with(SNAPPY_FRAME) => block(&body, limit, &mut grow),
            Self::Snappy | Self::SnappyFramed => {
                #[expect(clippy::disallowed_types, reason = "`drain` counts what comes out")]
                let decoder = snap::read::FrameDecoder::new(&*body);
                drain(decoder, "snappy", limit, &mut grow)
            }
            // The decoder takes the end of its input for the end of a frame.
            Self::Lz4 if !whole_lz4(&body) => {
                Err(BodyError::Corrupt { encoding: "lz4", why: "it is no row of whole frames".to_owned() })
            }
            Self::Lz4 => drain(Frames::new(&body), "lz4", limit, &mut grow),
        }
    }
}

/// How a stream of Snappy frames begins.
const SNAPPY_FRAME: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// One Snappy block. It says first how much it holds; three bytes of it can stand for 64.
fn block(
    body: &[u8],
    limit: usize,
    grow: &mut dyn FnMut(usize) -> Result<(), BodyError>,
) -> Result<Bytes, BodyError> {
    let corrupt =
        |why: &dyn std::fmt::Display| BodyError::Corrupt { encoding: "snappy", why: why.to_string() };
    let length = snap::raw::decompress_len(body).map_err(|error| corrupt(&error))?;
    if length > limit {
        return Err(BodyError::TooLarge { limit });
    }
    if length / 64 > body.len() {
        return Err(corrupt(&"it claims to hold more than can be in it"));
    }
    grow(length)?;
    let mut out = vec![0; length];
    let read = snap::raw::Decoder::new().decompress(body, &mut out).map_err(|error| corrupt(&error))?;
    out.truncate(read);
    Ok(out.into())
}

/// Whether these are LZ4 frames from first to last byte ("LZ4 Frame Format Description" 1.6.4).
fn whole_lz4(mut rest: &[u8]) -> bool {
    fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
        let (taken, left) = rest.split_at_checked(count)?;
        *rest = left;
        Some(taken)
    }
    fn word(rest: &mut &[u8]) -> Option<u32> {
        take(rest, 4)?.try_into().ok().map(u32::from_le_bytes)
    }
    fn frame(rest: &mut &[u8]) -> Option<()> {
        if word(rest)? != 0x184d_2204 {
            return None;
        }
        let [flags, _] = take(rest, 2)? else { return None };
        let has = |bit: u8| flags & (1 << bit) != 0;
        // The content's size, a dictionary's id, and the header's checksum.
        take(rest, if has(3) { 8 } else { 0 } + if has(0) { 4 } else { 0 } + 1)?;
        loop {
            let size = word(rest)? & 0x7fff_ffff;
            if size == 0 {
                break;
            }
            take(rest, size as usize + if has(4) { 4 } else { 0 })?;
        }
        take(rest, if has(2) { 4 } else { 0 }).map(drop)
    }
    while !rest.is_empty() {
        if frame(&mut rest).is_none() {
            return false;
        }
    }
    true
}

/// LZ4 frames, one after the other. The decoder says at the end of each that there is no more.
struct Frames<'a> {
    #[expect(clippy::disallowed_types, reason = "`drain` counts what comes out")]
    decoder: lz4_flex::frame::FrameDecoder<&'a [u8]>,
}

impl<'a> Frames<'a> {
    fn new(body: &'a [u8]) -> Self {
        #[expect(clippy::disallowed_types, reason = "`drain` counts what comes out")]
        Self { decoder: lz4_flex::frame::FrameDecoder::new(body) }
    }
}

impl Read for Frames<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        loop {
            let before = self.decoder.get_ref().len();
            match self.decoder.read(into)? {
                // Each turn takes something in, so that this ends.
                0 if !self.decoder.get_ref().is_empty() && self.decoder.get_ref().len() < before => {}
                0 if !self.decoder.get_ref().is_empty() => {
                    return Err(std::io::Error::other("something else follows a frame"));
                }
                count => return Ok(count),
            }
        }
    }
}

fn drain(
    mut from: impl Read,
    encoding: &'static str,
    limit: usize,
    grow: &mut dyn FnMut(usize) -> Result<(), BodyError>,
) -> Result<Bytes, BodyError> {
    let mut out = Vec::new();
    loop {
        if out.len() == out.capacity() {
            // Twice as much each time, so that a large body is copied a few times only; but one byte beyond the limit is all
            // that is needed to know that it is too large.
            let room = limit.saturating_add(1) - out.len();
            let more = out.capacity().max(16 * 1024).min(room);
            grow(more)?;
            out.reserve_exact(more);
        }
        let filled = out.len();
        out.resize(out.capacity(), 0);
        let read = from.read(&mut out[filled..]);
        let count = *read.as_ref().unwrap_or(&0);
        out.truncate(filled + count);
        match read {
            Ok(0) => return Ok(out.into()),
            Ok(_) if out.len() > limit => return Err(BodyError::TooLarge { limit }),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(BodyError::Corrupt { encoding, why: error.to_string() }),
        }
    }
}

/// Compresses what goes out.
///
/// # Errors
/// What the codec said; in-memory compression does not fail otherwise.
pub(crate) fn compress(body: Rope, with: Compression, level: Option<i32>) -> std::io::Result<Rope> {
    let body = match with {
        Compression::None => return Ok(body),
        _ => body.into_bytes(),
    };
    let out = match with {
        Compression::Zstd => zstd::bulk::compress(&body, level.unwrap_or(1))?,
        Compression::Snappy => snap::raw::Encoder::new().compress_vec(&body)?,
        Compression::SnappyFramed => {
            let mut encoder = snap::write::FrameEncoder::new(Vec::new());
            encoder.write_all(&body)?;
            encoder.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?
        }
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(&body)?;
            encoder.finish().map_err(std::io::Error::other)?
        }
        Compression::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), deflate_level(level));
            encoder.write_all(&body)?;
            encoder.finish()?
        }
        _ => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), deflate_level(level));
            encoder.write_all(&body)?;
            encoder.finish()?
        }
    };
    Ok(Bytes::from(out).into())
}

/// A page in gzip; `None` if that cannot be.
pub fn gzip(page: &[u8]) -> Option<Bytes> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(page).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Whether whoever sent these headers takes gzip (RFC 9110, section 12.5.3).
pub fn accepts_gzip(headers: &http::HeaderMap) -> bool {
    let lists =
        headers.get_all(http::header::ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    let weight = |parameters: &str| {
        let given = parameters.split(';').find_map(|one| one.trim().strip_prefix("q="));
        given.map_or(1.0, |text| text.trim().parse::<f64>().unwrap_or(0.0))
    };
    let mut any = None;
    for coding in lists.flat_map(|list| list.split(',')) {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => return weight(parameters) > 0.0,
            "*" => any = Some(weight(parameters) > 0.0),
            _ => {}
        }
    }
    any.unwrap_or(false)
}

fn deflate_level(level: Option<i32>) -> flate2::Compression {
    flate2::Compression::new(u32::try_from(level.unwrap_or(1)).unwrap_or(1).min(9))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Compression; 6] = [
        Compression::Gzip,
        Compression::Deflate,
        Compression::Zstd,
        Compression::Snappy,
        Compression::SnappyFramed,
        Compression::Lz4,
    ];

    #[test]
    fn snappy_is_taken_as_a_block_and_in_frames_and_lz4_in_several_frames() {
        let framed = squeeze(Compression::SnappyFramed, b"in frames");
        let back = Compression::Snappy.decompress(framed, 100, |_| Ok(())).expect("valid");
        assert_eq!(back, "in frames");
        let one = squeeze(Compression::Lz4, b"twice ");
        let two = Bytes::from([&*one, &*one].concat());
        assert_eq!(Compression::Lz4.decompress(two, 100, |_| Ok(())).expect("valid"), "twice twice ");
        let torn = Bytes::from([&*one, b"and something else".as_slice()].concat());
        assert!(Compression::Lz4.decompress(torn, 100, |_| Ok(())).is_err());
    }

    #[test]
    fn a_snappy_block_that_claims_too_much_takes_no_memory() {
        let mut taken = 0;
        // A length of 1,000,000 in front of nothing.
        let lie = Bytes::from_static(&[0xc0, 0x84, 0x3d, 0]);
        let result = Compression::Snappy.decompress(lie, 1 << 20, |more| {
            taken += more;
            Ok(())
        });
        assert!(matches!(result, Err(BodyError::Corrupt { .. })), "{result:?}");
        assert_eq!(taken, 0);
    }

    fn squeeze(codec: Compression, body: &[u8]) -> Bytes {
        compress(Bytes::copy_from_slice(body).into(), codec, None).expect("memory").into_bytes()
    }

    #[test]
    fn what_is_compressed_comes_back() {
        let body: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        for codec in ALL.into_iter().chain([Compression::None]) {
            let back = codec.decompress(squeeze(codec, &body), 1 << 20, |_| Ok(())).expect("valid");
            assert_eq!(back, body);
        }
    }

    #[test]
    fn gzip_is_accepted_as_the_header_says() {
        let cases = [
            (&[][..], false),
            (&["gzip"], true),
            (&["br, GZIP;q=0.5"], true),
            (&["gzip;q=0"], false),
            (&["gzip; q=0.000, *"], false),
            (&["br", "*;q=0.1"], true),
            (&["identity"], false),
        ];
        for (values, expected) in cases {
            let mut headers = http::HeaderMap::new();
            for value in values {
                headers.append(http::header::ACCEPT_ENCODING, http::HeaderValue::from_static(value));
            }
            assert_eq!(accepts_gzip(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        for codec in ALL {
            let bomb = squeeze(codec, &vec![0; 50 << 20]);
            let mut taken = 0;
            let result = codec.decompress(bomb, 1 << 20, |more| {
                taken += more;
                Ok(())
            });
            assert!(matches!(result, Err(BodyError::TooLarge { limit: 1_048_576 })));
            assert!(taken <= (1 << 20) + 1, "{taken} bytes were taken for a limit of 1 MiB");
        }
    }

    #[test]
    fn truncated_and_foreign_bodies_are_corrupt_not_a_panic() {
        for codec in ALL {
            let whole = squeeze(codec, &[7; 5000]);
            // Of Snappy's frames each is whole by itself: the first of them says only what they are.
            let begin = if codec == Compression::SnappyFramed { SNAPPY_FRAME.len() + 1 } else { 1 };
            for end in begin..whole.len() {
                let result = codec.decompress(whole.slice(..end), 1 << 20, |_| Ok(()));
                assert!(matches!(result, Err(BodyError::Corrupt { .. })), "{codec:?} cut at {end}");
            }
            let result = codec.decompress(Bytes::from_static(b"not compressed"), 1 << 20, |_| Ok(()));
            assert!(matches!(result, Err(BodyError::Corrupt { .. })));
        }
    }
}
