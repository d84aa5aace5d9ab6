//! What the parser accepts and refuses, and that neither splits nor hostile bytes change it.

use super::*;
use proptest::prelude::*;

type Command = Vec<Vec<u8>>;

/// Feeds `pieces` one after another and collects every command.
fn commands<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Command>, ProtocolError> {
    let (mut parser, mut buffer, mut commands) = (Parser::default(), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let (consumed, command): (usize, Command) = match parser.read(&buffer)? {
                Parsed::Partial => break,
                Parsed::Array { consumed } => (consumed, parser.spans().iter().map(|span| span.of(&buffer).to_vec()).collect()),
                Parsed::Inline { consumed } => {
                    (consumed, parser.spans().iter().map(|span| span.of(parser.inline_bytes()).to_vec()).collect())
                }
            };
            commands.push(command);
            buffer.drain(..consumed);
        }
    }
    Ok(commands)
}

fn encode(command: &Command) -> Vec<u8> {
    let mut out = format!("*{}\r\n", command.len()).into_bytes();
    for arg in command {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[test]
fn broken_requests_are_refused_in_the_words_of_redis() {
    let long = vec![b'a'; LINE_BYTES_MAX + 1];
    let long_count = [b"*".as_slice(), &vec![b'1'; LINE_BYTES_MAX + 1]].concat();
    let long_bulk = [b"*1\r\n$".as_slice(), &vec![b'1'; LINE_BYTES_MAX + 1]].concat();
    let cases: [(&[u8], &str); 14] = [
        (b"*a\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n$a\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n\r\n", "expected '$', got '\r'"),
        (b"set \"a\r\n", "unbalanced quotes in request"),
        (b"set \"a\"b\r\n", "unbalanced quotes in request"),
        (&long, "too big inline request"),
        (&long_count, "too big mbulk count string"),
        (&long_bulk, "too big bulk count string"),
        (b"*3\r\n$3\r\nSET\r\nx\r\n", "expected '$', got 'x'"),
    ];
    for (bytes, text) in cases {
        assert_eq!(commands([bytes]).map_err(|error| error.to_string()), Err(text.to_owned()));
    }
}

#[test]
fn a_declared_length_allocates_nothing() {
    let mut parser = Parser::default();
    assert_eq!(parser.read(b"*1048576\r\n$536870912\r\n"), Ok(Parsed::Partial));
    assert_eq!(parser.spans.capacity(), 0);
}

#[test]
fn a_command_of_too_many_bytes_is_refused_before_they_arrive() {
    let mut parser = Parser::default();
    let head = b"*3\r\n$536870912\r\n";
    let mut bytes = head.to_vec();
    bytes.resize(head.len() + (512 << 20) + 2, 0);
    bytes.extend_from_slice(b"$536870912\r\n");
    assert_eq!(parser.read(&bytes), Err(ProtocolError::BulkLength));
}

#[test]
fn empty_commands_are_read_over() {
    assert_eq!(commands([&b"*0\r\n*-1\r\n\r\nPING\r\n"[..]]), Ok(vec![vec![], vec![], vec![], vec![b"PING".to_vec()]]));
}

fn any_command() -> impl Strategy<Value = Command> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 1..5)
}

proptest! {
    #[test]
    fn a_split_at_every_byte_gives_the_same_commands(sent in proptest::collection::vec(any_command(), 0..4)) {
        let bytes: Vec<u8> = sent.iter().flat_map(encode).chain(*b"ping 'a b'\r\n").collect();
        let whole = commands([&bytes[..]]);
        let mut expected = sent;
        expected.push(vec![b"ping".to_vec(), b"a b".to_vec()]);
        prop_assert_eq!(&whole, &Ok(expected));
        prop_assert_eq!(&commands(bytes.chunks(1)), &whole);
        for at in 0..bytes.len() {
            prop_assert_eq!(&commands([&bytes[..at], &bytes[at..]]), &whole);
        }
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let whole = commands([&bytes[..]]);
        prop_assert_eq!(commands(bytes.chunks(1)), whole);
    }

    #[test]
    fn bytes_of_the_protocols_alphabet_never_panic(bytes in proptest::collection::vec(proptest::sample::select(b"*$123-\r\n \"'\\xa".to_vec()), 0..64)) {
        let whole = commands([&bytes[..]]);
        prop_assert_eq!(commands(bytes.chunks(1)), whole);
    }
}
