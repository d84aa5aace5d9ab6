//! Extent files: where blocks and their patches lie. Each is written once, by one checkpoint, front to back, and never changed.
//!
//! ```text
//! header (64)   magic "LIMOEXTN" | version 4 | features 4 | cluster 16 | incarnation 8 | number 8 | zero 12 | CRC-32 of 0..60
//! record..      magic "LREC" | body bytes 4 | CRC-32 of the body | CRC-32 of number 8, offset 8 and 0..12 of this | body
//! index         the same with magic "LIDX": count | { fragment | first key (bytes) | offset of the body | body bytes }
//! ```
//! The file's name carries its number, which no two files of a folder have at a time. A file counts once a commit of the checkpoint names
//! it; before that it is flushed, and its name too. What no commit names is removed when the folder is opened.
//!
//! # Not here
//! - Which records are still needed: rows of the checkpoint say so ([`super::place`]). What a body is: `limosa-tree`.

mod file;
mod layout;
mod writer;

pub(super) use file::{ExtentFile, ReadFault};
pub(super) use layout::{Indexed, RECORD_BYTES, file_name, header_is, number_of, put_indexed, read_index, sample_header};
pub(super) use writer::{ExtentWriter, Failure, Finished};
