//! The decoders of this crate for the fuzzers (see [`limosa_core::fuzzing`]): requests, tokens, patterns, configuration, bodies, files.

use std::path::Path;

use limosa_core::fuzzing::Target;
use serde::de::DeserializeOwned;

use crate::config::{HostPort, Settings};
use crate::http::api;
use crate::resp::fuzzing as resp;
use crate::server::fuzzing as files;

/// Every target of this crate.
pub const TARGETS: &[Target] = &[
    Target::new("server_resp", resp::requests, resp::streams),
    Target::new("server_token", resp::token, resp::tokens),
    Target::new("server_words", resp::words, resp::sound_words),
    // A parser of TOML that keeps where everything stands, for its errors.
    Target::new("server_config", config, configs).allowed(256 << 10, 2 << 10),
    Target::new("server_address", address, addresses),
    Target::new("server_body", body, bodies).allowed(64 << 10, 512),
    Target::new("server_quarantine", files::quarantined, files::quarantine_files).allowed(256 << 10, 1 << 10),
    Target::new("server_frames", files::frames, files::frames_files),
];

fn config(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let Ok(settings) = Settings::from_toml(Path::new("limosa.toml"), text) else { return };
    if let Err(error) = settings.validate() {
        assert!(error.code().starts_with("config."));
    }
}

fn configs() -> Vec<Vec<u8>> {
    let texts = [
        "node = \"a\"\ndata = \"/var/lib/limosa\"\nfragments = 64\nmemory_max = \"4GiB\"\n",
        "resp = \"127.0.0.1:7600\"\npeer = \"[::1]:7601\"\nfollow = \"db1.example.org:7601\"\n",
    ];
    texts.map(|text| text.as_bytes().to_vec()).to_vec()
}

fn address(text: &[u8]) {
    let Some(address) = std::str::from_utf8(text).ok().and_then(|text| HostPort::parse(text).ok()) else { return };
    assert_eq!(HostPort::parse(&address.to_string()).as_ref(), Ok(&address));
}

fn addresses() -> Vec<Vec<u8>> {
    ["example.org:7601", "10.0.0.1:7601", "[::1]:7601", "a_b.c-d:1"].map(|text| text.as_bytes().to_vec()).to_vec()
}

/// which (1) | the JSON of a body.
fn body(bytes: &[u8]) {
    let Some((&which, json)) = bytes.split_first() else { return };
    match which {
        0 => read::<api::Follow>(json),
        1 => read::<api::Reapply>(json),
        2 => read::<api::MoveTo>(json),
        3 => read::<api::Operation>(json),
        4 => read::<api::Failover>(json),
        5 => read::<api::SplitAt>(json),
        6 => read::<api::MergeWith>(json),
        7 => read::<api::Init>(json),
        8 => read::<api::NodeOrder>(json),
        9 => read::<api::ClusterNode>(json),
        _ => {}
    }
}

fn read<T: DeserializeOwned>(json: &[u8]) {
    let _ = serde_json::from_slice::<T>(json).is_ok();
}

fn bodies() -> Vec<Vec<u8>> {
    let of = |which: u8, json: &str| [&[which], json.as_bytes()].concat();
    vec![
        of(0, r#"{"owner":"db1.example.org:7601"}"#),
        of(1, r#"{"records":[{"key":"k","value":"v","kind":"string","version":"2.17","deleted":false}]}"#),
        of(2, r#"{"fragment":7,"to":"b"}"#),
        of(3, r#"{"operation":"move","fragments":[7],"slots":[{"first":0,"last":9}],"to":"b"}"#),
        of(4, r#"{"fragments":[7],"accept_loss":false}"#),
        of(5, r#"{"at_slot":7000}"#),
        of(6, r#"{"right":8}"#),
        of(7, r"{}"),
        of(8, r#"{"node":"a"}"#),
        of(9, r#"{"name":"a","peer":"a:1","resp":"a:2","http":"a:3"}"#),
    ]
}
