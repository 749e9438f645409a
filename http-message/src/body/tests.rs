use proptest::prelude::*;

use super::*;

/// Reads `input` in pieces of `size` bytes. Returns the body, the number of bytes read, and whether it has ended.
fn read(length: BodyLength, input: &[u8], size: usize) -> Result<(Vec<u8>, usize, bool), MessageError> {
    let (mut reader, mut body, mut at) = (BodyReader::new(length), Vec::new(), 0);
    let mut arrived = 0;
    loop {
        let part = reader.read(&input[at..arrived])?;
        body.extend_from_slice(part.data);
        at += part.consumed;
        if part.end {
            assert!(reader.may_close());
            return Ok((body, at, true));
        }
        if part.consumed == 0 && arrived == input.len() {
            return Ok((body, at, false));
        }
        if part.consumed == 0 {
            arrived = input.len().min(arrived + size);
        }
    }
}

fn chunked(input: &str) -> Result<(String, usize, bool), MessageError> {
    let whole = read(BodyLength::Chunked, input.as_bytes(), input.len());
    let by_byte = read(BodyLength::Chunked, input.as_bytes(), 1);
    assert_eq!(whole, by_byte, "{input:?}");
    whole.map(|(body, length, end)| (String::from_utf8(body).unwrap(), length, end))
}

#[test]
fn a_body_ends_where_its_length_says() {
    assert_eq!(read(BodyLength::None, b"next", 4), Ok((vec![], 0, true)));
    assert_eq!(read(BodyLength::Known(0), b"next", 4), Ok((vec![], 0, true)));
    assert_eq!(read(BodyLength::Known(3), b"abcnext", 2), Ok((b"abc".to_vec(), 3, true)));
    assert_eq!(read(BodyLength::Known(3), b"ab", 1), Ok((b"ab".to_vec(), 2, false)));
    assert_eq!(read(BodyLength::UntilClose, b"abc", 2), Ok((b"abc".to_vec(), 3, false)));
    assert!(BodyReader::new(BodyLength::UntilClose).may_close());
    assert!(!BodyReader::new(BodyLength::Known(1)).may_close());
    assert!(!BodyReader::new(BodyLength::Chunked).may_close());
}

#[test]
fn chunks_are_taken_apart_and_trailers_dropped() {
    for (input, body) in [
        ("0\r\n\r\n", ""),
        ("3\r\nabc\r\n0\r\n\r\n", "abc"),
        ("1\r\na\r\n02\r\n\r\n\r\n000\r\n\r\n", "a\r\n"),
        ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
        ("1;a\r\nx\r\n0;b=\"c;d\"\r\n\r\n", "x"),
        ("0\r\nX: y\r\nHost: evil\r\n\r\n", ""),
    ] {
        let whole = format!("{input}NEXT");
        assert_eq!(chunked(&whole), Ok((body.to_owned(), input.len(), true)), "{input:?}");
        for end in 0..input.len() {
            assert!(!chunked(&input[..end]).unwrap().2, "{input:?} up to {end}");
        }
    }
}

#[test]
fn a_chunk_that_could_be_read_in_two_ways_is_refused() {
    for (input, error) in [
        ("\r\n", MessageError::ChunkSize),
        (";a\r\n", MessageError::ChunkSize),
        (" 1\r\n", MessageError::ChunkSize),
        ("1 \r\n", MessageError::ChunkSize),
        ("1 ;a\r\n", MessageError::ChunkSize),
        ("0x1\r\n", MessageError::ChunkSize),
        ("+1\r\n", MessageError::ChunkSize),
        ("-1\r\n", MessageError::ChunkSize),
        ("1_0\r\n", MessageError::ChunkSize),
        ("g\r\n", MessageError::ChunkSize),
        ("1\n", MessageError::ChunkSize),
        ("1\r\r\n", MessageError::ChunkEnd),
        ("1\ra", MessageError::ChunkEnd),
        ("1;a\nb\r\n", MessageError::ChunkEnd),
        ("1;a\0\r\n", MessageError::ChunkEnd),
        ("1;a\rb\r\n", MessageError::ChunkEnd),
        ("1\r\nab", MessageError::ChunkEnd),
        ("1\r\na\n", MessageError::ChunkEnd),
        ("1\r\na\r0", MessageError::ChunkEnd),
        ("1\r\na0\r\n", MessageError::ChunkEnd),
        ("0\r\nA: b\n\r\n", MessageError::ChunkEnd),
        ("0\r\n\n", MessageError::ChunkEnd),
        ("0\r\n\rX", MessageError::ChunkEnd),
        ("0\r\nA: b\rX", MessageError::ChunkEnd),
        ("0\r\nA: \0\r\n", MessageError::ChunkEnd),
        // Sizes that overflow 32 or 64 bits, or a sign.
        ("1000000000000000\r\n", MessageError::ChunkSize),
        ("ffffffffffffffff\r\n", MessageError::ChunkSize),
        ("10000000000000001\r\n", MessageError::ChunkSize),
        ("0000000000000001\r\n", MessageError::ChunkSize),
    ] {
        assert_eq!(chunked(input), Err(error), "{input:?}");
    }
    // An error stays one.
    let mut reader = BodyReader::new(BodyLength::Chunked);
    assert_eq!(reader.read(b"x"), Err(MessageError::ChunkSize));
    assert_eq!(reader.read(b"0\r\n\r\n"), Err(MessageError::ChunkSize));
    assert!(!reader.may_close());
}

#[test]
fn extensions_and_trailers_have_a_limit() {
    let extension = |length: usize| format!("0;{}\r\n\r\n", "a".repeat(length - 1));
    assert!(chunked(&extension(MAX_LINE_OF_CHUNK)).unwrap().2);
    assert_eq!(chunked(&extension(MAX_LINE_OF_CHUNK + 1)), Err(MessageError::ChunkLine));
    let trailers =
        |length: usize| format!("0\r\n{}\r\n", format!("A: {}\r\n", "b".repeat(59)).repeat(length / 64));
    assert!(chunked(&trailers(MAX_LINE_OF_CHUNK)).unwrap().2);
    assert_eq!(chunked(&trailers(MAX_LINE_OF_CHUNK + 64)), Err(MessageError::ChunkLine));
}

proptest! {
    #[test]
    fn what_is_written_in_chunks_is_read_as_it_was(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
        size in 1usize..30,
    ) {
        let mut input = Vec::new();
        for chunk in &chunks {
            input.extend([&chunk_head(chunk.len())[..], chunk, CHUNK_END].concat());
        }
        input.extend_from_slice(LAST_CHUNK);
        let length = input.len();
        input.extend_from_slice(b"next");
        prop_assert_eq!(read(BodyLength::Chunked, &input, size), Ok((chunks.concat(), length, true)));
    }

    #[test]
    fn pieces_of_any_size_are_read_as_the_same(input in "([0-9a-f]{1,2}(;a)?|\r\n|\r|\n|[a-c: ]{1,4}|0\r\n)*", size in 1usize..9) {
        prop_assert_eq!(
            read(BodyLength::Chunked, input.as_bytes(), size),
            read(BodyLength::Chunked, input.as_bytes(), input.len().max(1))
        );
    }
}
