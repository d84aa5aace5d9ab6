//! PEM sections (RFC 7468): reads all of a file by label, writes one.

use std::fmt::Write as _;
use std::path::Path;

use x509_parser::pem::Pem;

use crate::error::PkiError;

/// Label of a certificate.
pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
/// Label of a private key in PKCS #8.
pub(crate) const PRIVATE_KEY: &str = "PRIVATE KEY";
/// Label of the cluster's id, secret and check value.
pub(crate) const CLUSTER_SECRET: &str = "LIMOSA CLUSTER SECRET";
/// No file of ours is longer; nothing longer is parsed.
pub(crate) const PEM_BYTES_MAX: usize = 256 << 10;

/// The sections of one file, in order, and where they came from for errors.
pub(crate) struct Sections<'a> {
    origin: &'a Path,
    sections: Vec<Pem>,
}

impl<'a> Sections<'a> {
    /// Parses every section of `text`.
    pub(crate) fn parse(origin: &'a Path, text: &[u8]) -> Result<Self, PkiError> {
        if text.len() > PEM_BYTES_MAX {
            return Err(damaged(origin, "it is longer than any file of this kind"));
        }
        let parsed: Result<Vec<Pem>, _> = Pem::iter_from_buffer(text).collect();
        let sections = parsed.map_err(|_| damaged(origin, "a PEM section is cut off or not base64"))?;
        Ok(Self { origin, sections })
    }

    /// All sections called `label`.
    pub(crate) fn all(&self, label: &str) -> Vec<&[u8]> {
        self.sections.iter().filter(|section| section.label == label).map(|section| &section.contents[..]).collect()
    }

    /// The only section called `label`.
    pub(crate) fn one(&self, label: &str, missing: &'static str) -> Result<&[u8], PkiError> {
        match self.all(label)[..] {
            [only] => Ok(only),
            _ => Err(self.damaged(missing)),
        }
    }

    /// An error about this file.
    pub(crate) fn damaged(&self, why: &'static str) -> PkiError {
        damaged(self.origin, why)
    }
}

fn damaged(origin: &Path, why: &'static str) -> PkiError {
    PkiError::Damaged { path: origin.to_owned(), why }
}

/// One section as text.
pub(crate) fn section(label: &str, contents: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64(contents).as_bytes().chunks(64) {
        text.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        text.push('\n');
    }
    writeln!(text, "-----END {label}-----").expect("a String takes all text");
    text
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let six = ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize];
            text.push(if digit <= group.len() { char::from(six) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_agrees_with_the_vectors_of_rfc_4648() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn sections_of_any_length_are_read_back() {
        for length in [0usize, 1, 2, 3, 47, 48, 49, 500] {
            let contents: Vec<u8> = (0..length).map(|index| (index * 37 % 251) as u8).collect();
            let text = format!("# a comment\n{}{}", section("A B", &contents), section("OTHER", b"x"));
            let sections = Sections::parse(Path::new("f"), text.as_bytes()).expect("our own text");
            assert_eq!(sections.one("A B", "missing").expect("it is there"), contents);
        }
    }
}
