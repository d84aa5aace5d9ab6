//! What clients send, for the fuzzers: requests in pieces, tokens, patterns and numbers.

use super::cluster::Token;
use super::parser::{Parsed, Parser};
use super::{glob, inline, long_double, number};

type Commands = Vec<Vec<Vec<u8>>>;

/// Size of the pieces that arrive (1), then what a client sends. The commands do not depend on the pieces.
pub(crate) fn requests(bytes: &[u8]) {
    let Some((&piece, sent)) = bytes.split_first() else { return };
    let (in_pieces, was_refused) = commands(sent.chunks(usize::from(piece) + 1));
    let (whole, refused) = commands(std::iter::once(sent));
    assert_eq!(was_refused, refused);
    assert_eq!(in_pieces, whole);
}

/// The commands up to the first refusal, and whether there was one.
fn commands<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Commands, bool) {
    let (mut parser, mut buffer, mut found) = (Parser::default(), Vec::new(), Commands::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut at = 0;
        loop {
            let parsed = match parser.read(&buffer[at..]) {
                Ok(parsed) => parsed,
                Err(error) => {
                    assert_eq!(error.code(), "resp.protocol");
                    return (found, true);
                }
            };
            let (consumed, from) = match parsed {
                Parsed::Partial => break,
                Parsed::Array { consumed } => (consumed, &buffer[at..]),
                Parsed::Inline { consumed } => (consumed, parser.inline_bytes()),
            };
            found.push(parser.spans().iter().map(|span| span.of(from).to_vec()).collect());
            at += consumed;
        }
        buffer.drain(..at);
    }
    (found, false)
}

pub(crate) fn streams() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 5] = [
        b"\x07*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"\x01ping 'a b' \"\\x41\\n\"\r\n*0\r\n*-1\r\n\r\nPING\r\n",
        b"\xFF*1048576\r\n$536870912\r\n",
        b"\x02*2\r\n$4\r\nECHO\r\n$0\r\n\r\n*1\r\n$4\r\nQUIT\r\n",
        b"\x40*1\r\n:1\r\n",
    ];
    texts.map(<[u8]>::to_vec).to_vec()
}

/// A causal token.
pub(crate) fn token(text: &[u8]) {
    let Ok(token) = Token::parse(text) else { return };
    assert_eq!(Token::parse(token.to_string().as_bytes()).ok(), Some(token), "what was read is what is said");
}

pub(crate) fn tokens() -> Vec<Vec<u8>> {
    ["l1:", "l1:0.3.128,5.2.77", "l1:4294967295.4294967295.18446744073709551615"].map(|text| text.as_bytes().to_vec()).to_vec()
}

/// which (1) | a word of a command: a pattern and a key behind a zero byte, a number, an inline command.
pub(crate) fn words(bytes: &[u8]) {
    let Some((&which, word)) = bytes.split_first() else { return };
    match which {
        0 => {
            let at = word.iter().position(|&byte| byte == 0).unwrap_or(word.len());
            let (pattern, key) = word.split_at(at);
            let _ = glob::matches(pattern, key);
        }
        1 => {
            let Some(number) = number::parse_i64(word) else { return };
            assert_eq!(number.to_string().as_bytes(), word, "a number has one text");
        }
        2 => drop(long_double::LongDouble::parse(word).is_some()),
        3 => {
            let (mut out, mut spans) = (Vec::new(), Vec::new());
            if inline::split(word, &mut out, &mut spans).is_ok() {
                assert!(spans.iter().map(|span| span.of(&out).len()).sum::<usize>() <= word.len());
            }
        }
        _ => {}
    }
}

pub(crate) fn sound_words() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 6] =
        [b"\0user:*[a-z]?\\*\0user:1a*", b"\x01-9223372036854775808", b"\x02-12.5e-3", b"\x02inf", b"\x03set k 'a b'", b"\x03\"\\x00\" x"];
    texts.map(<[u8]>::to_vec).to_vec()
}
