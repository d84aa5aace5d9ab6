//! The bytes of version 1: what was written once is read for ever, and what is written today is what was written then.
//!
//! `LIMOSA_WRITE_GOLDEN=1 cargo test -p limosa-wire --test golden` writes the files of a *new* format; a change of these files breaks old peers.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use common::session::{self, End};
use common::{compressed_samples, samples};
use limosa_wire::{Compression, Context, Decoder, Message, decode, encode, encode_with};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The file's bytes; writes them first when asked to.
fn golden(name: &str, fresh: &[u8]) -> Vec<u8> {
    if std::env::var_os("LIMOSA_WRITE_GOLDEN").is_some() {
        fs::write(path(name), fresh).expect("the golden folder is writable");
    }
    fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_message_is_written_as_it_was_and_read_back() {
    for (name, message, context) in samples() {
        let fresh = encode(&message, &context).expect("within limits").to_bytes();
        let stored = golden(&format!("{name}.bin"), &fresh);
        assert_eq!(fresh, stored, "{name} is written differently");
        assert_eq!(decode(Bytes::from(stored)), Ok((message, context)), "{name} is read differently");
    }
}

#[test]
fn compressed_messages_are_read_back() {
    for (name, message, context) in compressed_samples() {
        let fresh = encode(&message, &context).expect("within limits");
        let raw = encode_with(&message, &context, Compression::Never).expect("within limits");
        assert!(fresh.len() < raw.len() * 3 / 4, "{name} did not shrink: {} of {}", fresh.len(), raw.len());
        let stored = golden(&format!("{name}.bin"), &fresh.to_bytes());
        let expected = Ok((message, context));
        for bytes in [Bytes::from(stored), fresh.to_bytes(), raw.to_bytes()] {
            assert_eq!(decode(bytes), expected, "{name}");
        }
    }
}

#[test]
fn no_golden_file_is_forgotten() {
    let mut known: Vec<String> = samples().iter().chain(&compressed_samples()).map(|(name, ..)| format!("{name}.bin")).collect();
    known.push("conversation.txt".to_owned());
    for file in fs::read_dir(path("")).expect("the golden folder is there") {
        let name = file.expect("it is readable").file_name().into_string().expect("names are ASCII");
        assert!(known.contains(&name), "{name} is in no test");
    }
}

/// `> ` target to source, `< ` source to target; one message a line, its bytes in hexadecimal.
fn conversation_text() -> String {
    let mut text = String::from(
        "# One session, version 1 of the wire. > is target to source, < is source to target; one message a line.\n\
         # Cluster secret: 32 bytes of 07. Space: default. The digests are true.\n",
    );
    for (end, message) in session::conversation() {
        text.push_str(if end == End::Target { "> " } else { "< " });
        for byte in encode(&message, &Context::default()).expect("within limits").to_bytes() {
            write!(text, "{byte:02x}").expect("a string takes everything");
        }
        text.push('\n');
    }
    text
}

fn parse(text: &str) -> Vec<(End, Vec<u8>)> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (end, hex) = line.split_once(' ').expect("a direction and bytes");
            let bytes = hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).expect("ASCII"), 16).expect("hex"));
            (if end == ">" { End::Target } else { End::Source }, bytes.collect())
        })
        .collect()
}

#[test]
fn the_golden_conversation_is_spoken_and_understood() {
    let fresh = conversation_text();
    let stored = String::from_utf8(golden("conversation.txt", fresh.as_bytes())).expect("text");
    assert_eq!(fresh, stored);
    let (mut to_source, mut to_target) = (Decoder::default(), Decoder::default());
    let mut heard = Vec::new();
    for (end, bytes) in parse(&stored) {
        let decoder = if end == End::Target { &mut to_source } else { &mut to_target };
        for piece in bytes.chunks(7) {
            decoder.push(piece);
        }
        let (message, _, length) = decoder.next().expect("valid").expect("whole");
        assert_eq!(length, bytes.len());
        heard.push((end, message));
    }
    assert_eq!(heard, session::conversation());
    assert_eq!((to_source.finish(), to_target.finish()), (Ok(()), Ok(())));
}

#[test]
fn the_golden_frame_brings_the_target_to_the_sealed_digest() {
    let mut state = session::before();
    let frame = session::frame();
    for entry in frame.entries.iter() {
        state.retain(|key, _| *key != entry.key);
        if let Some(live) = entry.live {
            state.insert(entry.key.to_vec().leak(), (entry.version, live.value.to_vec().leak()));
        }
    }
    assert_eq!(session::digest(&state), frame.digest);
    let sealed = session::conversation().into_iter().find_map(|(_, message)| match message {
        Message::Seal(seal) => Some(seal.fragments[0].state),
        _ => None,
    });
    assert_eq!(sealed, Some(frame.digest));
}
