//! Counts what crosses a socket, below TLS, and reads it in large pieces.
//!
//! The handshake's bytes are counted apart, and exactly: while it lasts, TLS is fed record by record, so that a message
//! that the peer sent right behind its handshake is not counted with it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::cpu::{Cpu, CpuSeconds, Stage};

/// Bytes of one connection, as an observer of its socket would count them. Shared with whoever reports them.
#[derive(Debug, Default)]
pub struct Counters {
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    handshake_in: AtomicU64,
    handshake_out: AtomicU64,
    cpu: Cpu,
}

impl Counters {
    /// All bytes read, the handshake's included.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.load(Relaxed)
    }

    /// All bytes written, the handshake's included.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out.load(Relaxed)
    }

    /// CPU seconds since the connection was made, by stage.
    pub fn cpu_seconds(&self) -> CpuSeconds {
        self.cpu.seconds()
    }

    /// The clocks behind that.
    pub(crate) fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// Bytes read that belong to the TLS handshake; zero until it ended.
    pub fn handshake_in(&self) -> u64 {
        self.handshake_in.load(Relaxed)
    }

    /// Bytes written that belong to the TLS handshake; zero until it ended.
    pub fn handshake_out(&self) -> u64 {
        self.handshake_out.load(Relaxed)
    }
}

/// A stream that counts, with a large read buffer.
#[derive(Debug)]
pub struct CountingStream<S> {
    inner: S,
    counters: Arc<Counters>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    handshake: Option<Records>,
}

impl<S> CountingStream<S> {
    /// Wraps a fresh connection whose first bytes are a TLS handshake.
    pub fn new(inner: S, read_buffer_bytes: usize) -> Self {
        let buffer = vec![0; read_buffer_bytes].into_boxed_slice();
        Self { inner, counters: Arc::default(), buffer, start: 0, end: 0, handshake: Some(Records::default()) }
    }

    /// The counters, which go on counting.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// The TLS handshake is done; `took_data` when TLS has already decrypted the first data record behind it.
    pub(crate) fn end_handshake(&mut self, took_data: bool) {
        let records = self.handshake.take().expect("a handshake ends once");
        self.counters.handshake_in.store(records.before_data(took_data), Relaxed);
        // Everything written so far: data is written only after this call.
        self.counters.handshake_out.store(self.counters.bytes_out(), Relaxed);
    }

    fn serve(&mut self, out: &mut ReadBuf<'_>) {
        let limit = self.handshake.as_ref().map_or(usize::MAX, Records::rest);
        let count = (self.end - self.start).min(out.remaining()).min(limit);
        let served = &self.buffer[self.start..self.start + count];
        out.put_slice(served);
        if let Some(records) = &mut self.handshake {
            records.pass(served);
        }
        self.start += count;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CountingStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.start == this.end {
            let mut buffer = ReadBuf::new(&mut this.buffer);
            ready!(this.counters.cpu.measure(Stage::Socket, || Pin::new(&mut this.inner).poll_read(cx, &mut buffer)))?;
            (this.start, this.end) = (0, buffer.filled().len());
            this.counters.bytes_in.fetch_add(this.end as u64, Relaxed);
        }
        this.serve(out);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> CountingStream<S> {
    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = result {
            self.counters.bytes_out.fetch_add(count as u64, Relaxed);
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CountingStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { inner, counters, .. } = &mut *self;
        let result = counters.cpu.measure(Stage::Socket, || Pin::new(inner).poll_write(cx, bytes));
        self.wrote(result)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Self { inner, counters, .. } = &mut *self;
        let result = counters.cpu.measure(Stage::Socket, || Pin::new(inner).poll_write_vectored(cx, parts));
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Length of a TLS record's header: type, version, and the length of what follows (RFC 8446 §5.1).
const HEADER_BYTES: usize = 5;

/// Follows the borders of TLS records in the bytes that pass.
#[derive(Debug, Default)]
struct Records {
    passed: u64,
    header: [u8; HEADER_BYTES],
    in_record: usize,
    last_record: usize,
}

impl Records {
    /// Bytes up to the end of the current record, or of its header while that is not complete.
    fn rest(&self) -> usize {
        if self.in_record < HEADER_BYTES { HEADER_BYTES - self.in_record } else { self.record_bytes() - self.in_record }
    }

    fn record_bytes(&self) -> usize {
        HEADER_BYTES + usize::from(u16::from_be_bytes([self.header[3], self.header[4]]))
    }

    /// Takes note of bytes, at most [`Records::rest`] of them.
    fn pass(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.rest());
        if self.in_record < HEADER_BYTES {
            self.header[self.in_record..self.in_record + bytes.len()].copy_from_slice(bytes);
        }
        self.passed += bytes.len() as u64;
        self.in_record += bytes.len();
        if self.in_record >= HEADER_BYTES && self.in_record == self.record_bytes() {
            self.last_record = self.in_record;
            self.in_record = 0;
        }
    }

    /// Bytes of the records before the first data record. TLS stops at the first one that it decrypts (`took_data`);
    /// one that has come in part is data too, since the handshake was complete without it.
    fn before_data(&self, took_data: bool) -> u64 {
        self.passed - self.in_record as u64 - if took_data { self.last_record as u64 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_followed_however_they_are_cut() {
        let stream = [&[22, 3, 3, 0, 4, 1, 2, 3, 4][..], &[20, 3, 3, 0, 1, 1], &[23, 3, 3, 0, 2, 8, 8], &[23, 3, 3, 0]].concat();
        for step in 1..stream.len() {
            let mut records = Records::default();
            let mut left = &stream[..];
            while !left.is_empty() {
                let count = step.min(records.rest()).min(left.len());
                records.pass(&left[..count]);
                left = &left[count..];
            }
            assert_eq!((records.before_data(true), records.before_data(false)), (15, 22), "step {step}");
        }
    }
}
