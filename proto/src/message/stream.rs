//! Messages of a stream: a connection that carries the HTTP requests of COMMAND, one after the other.
//!
//! The client does not read these requests: it passes on the bytes that COMMAND's tools sent to an origin. The bridge
//! parses them.

use minicbor::Encoder;
use minicbor::decode::Decoder;
use minicbor::encode::Write;

use super::field::{origin, up_to};
use super::number;
use crate::cbor::{self, Canonical, Unreadable, Written};
use crate::error::WireError;
use crate::escape::Untrusted;
use crate::http::Origin;
use crate::limits::{MAX_DETAIL, MAX_SIGNED_URL, STREAM_CHUNK};

/// An array of two, its number, and the longest form of a length.
const MAX_BYTES_HEAD: usize = 1 + 2 + 5;

/// A message on a stream from client to bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamRequest<'b> {
    /// `[5, origin]`: what follows comes from a new connection of a tool, to `origin`. At the beginning of a stream, and
    /// after an `idle` for all bytes that were sent.
    Connect { origin: Origin },
    /// `[6, bytes]`: bytes of requests.
    Bytes {
        /// 1 to [`STREAM_CHUNK`] bytes.
        bytes: &'b [u8],
    },
}

/// A message on a stream from bridge to client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamAnswer<'b> {
    /// `[27, bytes]`: bytes of an answer.
    Bytes {
        /// 1 to [`STREAM_CHUNK`] bytes.
        bytes: &'b [u8],
    },
    /// `[28, received]`: the answer is complete, and the bridge has nothing left of the bytes that it received.
    Idle {
        /// How many bytes of requests the bridge has received on this stream. If the client has sent more, these are the
        /// beginning of the next request, and the stream is not idle.
        received: u64,
    },
    /// `[29]`: the answer is complete, and its tool's connection ends with it. The bridge closes the stream.
    Finished,
    /// `[30, text]`: the bridge refused a request, and why, for people. The tool gets an answer of its own.
    Refusal {
        /// At most [`MAX_DETAIL`] bytes.
        text: Untrusted,
    },
    /// `[31, url]`: the answer redirects to a URL that may give access by itself.
    SignedUrl {
        /// 1 to [`MAX_SIGNED_URL`] bytes, as the server wrote it.
        url: &'b [u8],
    },
}

impl<'b> StreamRequest<'b> {
    /// Number and name of every message, as in `docs/PROTOCOL.md`.
    pub const NUMBERS: [(u8, &'static str); 2] =
        [(number::CONNECT, "connect"), (number::REQUEST_BYTES, "request-bytes")];

    /// The payload of one binary frame.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes the payload of one binary frame.
    ///
    /// # Errors
    /// After a [`WireError`] the connection must be closed.
    pub fn decode(payload: &'b [u8]) -> Result<Self, WireError> {
        cbor::decode(payload)
    }
}

impl<'b> StreamAnswer<'b> {
    /// Number and name of every message, as in `docs/PROTOCOL.md`.
    pub const NUMBERS: [(u8, &'static str); 5] = [
        (number::ANSWER_BYTES, "answer-bytes"),
        (number::IDLE, "idle"),
        (number::FINISHED, "finished"),
        (number::REFUSAL, "refusal"),
        (number::SIGNED_URL, "signed-url"),
    ];

    /// The payload of one binary frame.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// What precedes the bytes in the encoding of [`Self::Bytes`] with `length` of them, so that a sender needs no copy.
    pub fn bytes_head(length: usize) -> Vec<u8> {
        let mut head = Vec::with_capacity(MAX_BYTES_HEAD);
        let write = |encoder: &mut Encoder<&mut Vec<u8>>| -> Written<&mut Vec<u8>> {
            encoder.array(2)?.u8(number::ANSWER_BYTES)?.bytes_len(length as u64)?.ok()
        };
        // Writing to a Vec cannot fail.
        let _ = write(&mut Encoder::new(&mut head));
        head
    }

    /// Decodes the payload of one binary frame.
    ///
    /// # Errors
    /// After a [`WireError`] the connection must be closed.
    pub fn decode(payload: &'b [u8]) -> Result<Self, WireError> {
        cbor::decode(payload)
    }
}

/// 1 to [`STREAM_CHUNK`] bytes.
fn chunk<'b>(decoder: &mut Decoder<'b>) -> Result<&'b [u8], Unreadable> {
    bounded(decoder, ("bytes", STREAM_CHUNK))
}

fn bounded<'b>(
    decoder: &mut Decoder<'b>,
    (what, limit): (&'static str, usize),
) -> Result<&'b [u8], Unreadable> {
    let bytes = decoder.bytes()?;
    up_to(bytes.len() as u64, (what, limit as u64))?;
    if bytes.is_empty() { Err(Unreadable::Shape) } else { Ok(bytes) }
}

impl<'b> Canonical<'b> for StreamRequest<'b> {
    const NAME: &'static str = "a client message of a stream";

    fn read(decoder: &mut Decoder<'b>) -> Result<Self, Unreadable> {
        let items = cbor::array(decoder)?;
        match (decoder.u8()?, items) {
            (number::CONNECT, 2) => Ok(Self::Connect { origin: origin(decoder)? }),
            (number::REQUEST_BYTES, 2) => Ok(Self::Bytes { bytes: chunk(decoder)? }),
            _ => Err(Unreadable::Shape),
        }
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Written<W> {
        match self {
            Self::Connect { origin } => encoder.array(2)?.u8(number::CONNECT)?.str(&origin.to_string())?.ok(),
            Self::Bytes { bytes } => encoder.array(2)?.u8(number::REQUEST_BYTES)?.bytes(bytes)?.ok(),
        }
    }
}

impl<'b> Canonical<'b> for StreamAnswer<'b> {
    const NAME: &'static str = "a bridge message of a stream";

    fn read(decoder: &mut Decoder<'b>) -> Result<Self, Unreadable> {
        let items = cbor::array(decoder)?;
        match (decoder.u8()?, items) {
            (number::ANSWER_BYTES, 2) => Ok(Self::Bytes { bytes: chunk(decoder)? }),
            (number::IDLE, 2) => Ok(Self::Idle { received: decoder.u64()? }),
            (number::FINISHED, 1) => Ok(Self::Finished),
            (number::REFUSAL, 2) => {
                let text = decoder.str()?;
                up_to(text.len() as u64, ("refusal", MAX_DETAIL as u64))?;
                Ok(Self::Refusal { text: Untrusted::new(text) })
            }
            (number::SIGNED_URL, 2) => {
                Ok(Self::SignedUrl { url: bounded(decoder, ("URL", MAX_SIGNED_URL))? })
            }
            _ => Err(Unreadable::Shape),
        }
    }

    fn write<W: Write>(&self, encoder: &mut Encoder<W>) -> Written<W> {
        match self {
            Self::Bytes { bytes } => encoder.array(2)?.u8(number::ANSWER_BYTES)?.bytes(bytes)?.ok(),
            Self::Idle { received } => encoder.array(2)?.u8(number::IDLE)?.u64(*received)?.ok(),
            Self::Finished => encoder.array(1)?.u8(number::FINISHED)?.ok(),
            Self::Refusal { text } => {
                encoder.array(2)?.u8(number::REFUSAL)?.str(super::field::cut(text.raw()))?.ok()
            }
            Self::SignedUrl { url } => encoder.array(2)?.u8(number::SIGNED_URL)?.bytes(url)?.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn origin() -> Origin {
        "npm.example:443".parse().unwrap()
    }

    #[test]
    fn every_message_survives_a_round_trip_and_no_prefix_of_it_does() {
        let requests = [StreamRequest::Connect { origin: origin() }, StreamRequest::Bytes { bytes: b"GET" }];
        for message in requests {
            let bytes = message.encode();
            assert_eq!(StreamRequest::decode(&bytes), Ok(message));
            assert!((0..bytes.len()).all(|end| StreamRequest::decode(&bytes[..end]).is_err()));
        }
        let answers = [
            StreamAnswer::Bytes { bytes: b"HTTP/1.1" },
            StreamAnswer::Idle { received: 70_000 },
            StreamAnswer::Finished,
            StreamAnswer::Refusal { text: Untrusted::new("method POST is not permitted") },
            StreamAnswer::SignedUrl { url: b"https://store.example/a?sig=1" },
        ];
        for message in answers {
            let bytes = message.encode();
            assert_eq!(StreamAnswer::decode(&bytes), Ok(message));
            assert!((0..bytes.len()).all(|end| StreamAnswer::decode(&bytes[..end]).is_err()));
        }
    }

    #[test]
    fn the_head_of_bytes_and_the_bytes_are_the_message() {
        for length in [1, 23, 24, 256, STREAM_CHUNK] {
            let bytes = vec![7; length];
            let message = StreamAnswer::Bytes { bytes: &bytes }.encode();
            assert_eq!([StreamAnswer::bytes_head(length), bytes].concat(), message);
        }
    }

    #[test]
    fn what_is_empty_or_over_its_limit_is_refused() {
        let long = vec![b'a'; STREAM_CHUNK + 1];
        assert!(StreamRequest::decode(&StreamRequest::Bytes { bytes: &long }.encode()).is_err());
        assert!(StreamAnswer::decode(&StreamAnswer::Bytes { bytes: &long }.encode()).is_err());
        assert!(StreamAnswer::decode(&StreamAnswer::SignedUrl { url: &long }.encode()).is_err());
        assert!(StreamRequest::decode(&StreamRequest::Bytes { bytes: b"" }.encode()).is_err());
        // An origin in another form than its one.
        assert!(StreamRequest::decode(&[&[0x82, 0x05, 0x67][..], b"A.b:443"].concat()).is_err());
        assert!(StreamRequest::decode(&[&[0x82, 0x05, 0x67][..], b"a.b:443"].concat()).is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_have_one_meaning(bytes: Vec<u8>) {
            if let Ok(message) = StreamRequest::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes.clone());
            }
            if let Ok(message) = StreamAnswer::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }
    }
}
