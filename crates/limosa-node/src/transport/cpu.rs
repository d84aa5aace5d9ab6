//! CPU seconds of one session by stage: where a transfer's time goes, told with each transfer that ended.
//!
//! Each stage is measured where it runs, by the CPU clock of its thread, so that waiting costs nothing and other work on the machine does
//! not count. What the process used beside them in the session's time is *other*.
//!
//! | Stage | At a source | At a target |
//! |---|---|---|
//! | socket | writing to the socket | reading from it |
//! | tls | encrypting | decrypting |
//! | codec | layout, the decision to compress, checksum | checksum, decompression, decoding |
//! | state | reading entries into frames | hashing, verifying, applying |
//! | journal | | writing and flushing |

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::Counters;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// The system's calls on the socket.
    Socket,
    /// TLS, with the socket below it.
    Tls,
    /// Messages to bytes and back.
    Codec,
    /// The session's jobs on the store.
    State,
    /// Group commits behind the target's jobs.
    Journal,
}

/// CPU seconds of one session, or of its first part, by stage.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct CpuSeconds {
    /// Reading and writing the socket.
    pub socket: f64,
    /// Encrypting and decrypting.
    pub tls: f64,
    /// Messages to bytes and back.
    pub codec: f64,
    /// The session's jobs on the store.
    pub state: f64,
    /// Writing and flushing the journal behind them.
    pub journal: f64,
    /// All else that the process did in that time.
    pub other: f64,
}

/// The clocks of one session.
#[derive(Debug)]
pub(crate) struct Cpu {
    began_nanos: u64,
    nanos: [AtomicU64; 5],
}

impl Default for Cpu {
    fn default() -> Self {
        Self { began_nanos: nanos(ClockId::ProcessCPUTime), nanos: Default::default() }
    }
}

impl Cpu {
    /// Runs `work`, which does not await, and counts what it costs.
    pub(crate) fn measure<R>(&self, stage: Stage, work: impl FnOnce() -> R) -> R {
        let before = nanos(ClockId::ThreadCPUTime);
        let result = work();
        self.nanos[stage as usize].fetch_add(nanos(ClockId::ThreadCPUTime).saturating_sub(before), Relaxed);
        result
    }

    /// So far.
    pub(crate) fn seconds(&self) -> CpuSeconds {
        #[allow(clippy::cast_precision_loss)] // nanoseconds as seconds, for people
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let of = |stage: Stage| self.nanos[stage as usize].load(Relaxed);
        let all = nanos(ClockId::ProcessCPUTime).saturating_sub(self.began_nanos);
        let known = of(Stage::Tls) + of(Stage::Codec) + of(Stage::State) + of(Stage::Journal); // the socket lies inside TLS
        CpuSeconds {
            socket: seconds(of(Stage::Socket)),
            tls: seconds(of(Stage::Tls).saturating_sub(of(Stage::Socket))),
            codec: seconds(of(Stage::Codec)),
            state: seconds(of(Stage::State)),
            journal: seconds(of(Stage::Journal)),
            other: seconds(all.saturating_sub(known)),
        }
    }
}

fn nanos(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let parts = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    let (Ok(seconds), Ok(nanos)) = parts else { unreachable!("CPU clocks count up from zero") };
    seconds * 1_000_000_000 + nanos
}

/// A stream whose reads and writes are measured as one stage.
#[derive(Debug)]
pub(crate) struct Measured<S> {
    inner: S,
    stage: Stage,
    counters: Arc<Counters>,
}

impl<S> Measured<S> {
    pub(crate) fn new(inner: S, stage: Stage, counters: Arc<Counters>) -> Self {
        Self { inner, stage, counters }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Measured<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { inner, stage, counters } = self.get_mut();
        counters.cpu().measure(*stage, || Pin::new(inner).poll_read(cx, out))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Measured<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { inner, stage, counters } = self.get_mut();
        counters.cpu().measure(*stage, || Pin::new(inner).poll_write(cx, bytes))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Self { inner, stage, counters } = self.get_mut();
        counters.cpu().measure(*stage, || Pin::new(inner).poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, stage, counters } = self.get_mut();
        counters.cpu().measure(*stage, || Pin::new(inner).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_counts_for_its_stage_and_waiting_does_not() {
        let cpu = Cpu::default();
        let sum = cpu.measure(Stage::State, || (0..20_000_000u64).fold(0, |sum, i| std::hint::black_box(sum ^ i)));
        cpu.measure(Stage::Journal, || std::thread::sleep(std::time::Duration::from_millis(30)));
        let seconds = cpu.seconds();
        assert!(sum < u64::MAX && seconds.state > 0.001, "{seconds:?}");
        assert!(seconds.journal < 0.025 && seconds.codec < 1e-9, "{seconds:?}");
    }
}
