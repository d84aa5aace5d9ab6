//! Copies bytes over one TLS connection on loopback, sender and receiver in threads of their own, and prints what that costs.
//!
//! ```text
//! cargo run --release -p limosa-node --example tls_copy -- --bytes 1073741824 --out none
//! cargo run --release -p limosa-node --example tls_copy -- --bytes 1073741824 --out /tmp/copy
//! ```
//! `--out FILE` writes what arrives and flushes it to the disk once at the end; the time includes that. `--messages` sends live messages
//! of 256 KiB through the codec instead of bare bytes. `--plain` leaves TLS out. One line of JSON on standard output.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use limosa_core::limits::LIVE_BATCH_BYTES;
use limosa_node::pki::Pki;
use limosa_node::transport::{Connection, Tls};
use limosa_wire::{Live, Message};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

type AnyError = Box<dyn Error + Send + Sync>;

#[derive(Clone)]
struct Options {
    bytes: u64,
    out: Option<PathBuf>,
    messages: bool,
    plain: bool,
}

fn main() -> Result<(), AnyError> {
    let options = parse(std::env::args().skip(1))?;
    let folder = std::env::temp_dir().join(format!("limosa-tls-copy-{}", std::process::id()));
    let pki = Pki::create(&folder, &"copy".parse()?)?;
    let tls = Tls::new(pki.credentials());
    fs::remove_dir_all(&folder)?;
    let report = copy(&options, &tls)?;
    #[allow(clippy::print_stdout)] // the report is what this program is for
    {
        println!("{report}");
    }
    Ok(())
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, AnyError> {
    let mut options = Options { bytes: 1 << 30, out: None, messages: false, plain: false };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--bytes" => options.bytes = value()?.parse()?,
            "--out" => options.out = Some(value()?).filter(|path| path != "none").map(PathBuf::from),
            "--messages" => options.messages = true,
            "--plain" => options.plain = true,
            _ => return Err(format!("unknown option {arg}: --bytes N, --out FILE|none, --messages, --plain").into()),
        }
    }
    Ok(options)
}

/// What one end saw.
struct End {
    cpu_s: f64,
    bytes: u64,
}

fn copy(options: &Options, tls: &Tls) -> Result<String, AnyError> {
    let listener = runtime()?.block_on(TcpListener::bind("127.0.0.1:0"))?.into_std()?;
    let address = listener.local_addr()?.to_string();
    let (receiver_options, receiver_tls) = (options.clone(), tls.clone());
    let receiver = thread::spawn(move || -> Result<End, AnyError> {
        let work = async { receive(TcpListener::from_std(listener)?.accept().await?.0, &receiver_options, &receiver_tls).await };
        measured(&runtime()?, work)
    });
    let started = Instant::now();
    let sent = measured(&runtime()?, send(&address, options, tls))?;
    let received = receiver.join().map_err(|_| "the receiver panicked")??;
    let seconds = started.elapsed().as_secs_f64();
    if sent.bytes != received.bytes {
        return Err(format!("{} bytes were sent, {} arrived", sent.bytes, received.bytes).into());
    }
    let gigabytes = received.bytes as f64 / 1e9;
    Ok(format!(
        "{{\"bytes\":{},\"seconds\":{seconds:.3},\"mb_per_s\":{:.1},\"cpu_s_per_gb\":{:.3},\"sender_cpu_s_per_gb\":{:.3},\"receiver_cpu_s_per_gb\":{:.3},\"flushed_file\":{},\"messages\":{},\"tls\":{}}}",
        received.bytes,
        gigabytes * 1000.0 / seconds,
        (sent.cpu_s + received.cpu_s) / gigabytes,
        sent.cpu_s / gigabytes,
        received.cpu_s / gigabytes,
        options.out.is_some(),
        options.messages,
        !options.plain,
    ))
}

fn runtime() -> Result<Runtime, AnyError> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Runs one end on this thread and reads what the thread's CPU clock says (Linux: nanoseconds in `schedstat`).
fn measured(runtime: &Runtime, work: impl Future<Output = Result<u64, AnyError>>) -> Result<End, AnyError> {
    let before = thread_cpu_s();
    let bytes = runtime.block_on(work)?;
    Ok(End { cpu_s: thread_cpu_s() - before, bytes })
}

fn thread_cpu_s() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).map_or(f64::NAN, |nanos| nanos / 1e9)
}

async fn send(address: &str, options: &Options, tls: &Tls) -> Result<u64, AnyError> {
    if options.plain {
        return send_bytes(TcpStream::connect(address).await?, options.bytes).await;
    }
    let connection = Connection::connect(address, tls).await?;
    if options.messages {
        send_messages(connection, options.bytes).await
    } else {
        send_bytes(connection.into_stream(), options.bytes).await
    }
}

async fn send_bytes(mut stream: impl AsyncWrite + Unpin, bytes: u64) -> Result<u64, AnyError> {
    let piece = noise();
    let mut left = bytes;
    while left > 0 {
        let count = left.min(piece.len() as u64);
        stream.write_all(&piece[..usize::try_from(count)?]).await?;
        left -= count;
    }
    stream.shutdown().await?;
    Ok(bytes)
}

async fn send_messages(connection: Connection, bytes: u64) -> Result<u64, AnyError> {
    let (mut sender, mut receiver) = connection.split();
    let piece = Bytes::from(noise());
    let mut sent = 0;
    while sent < bytes {
        let count = (bytes - sent).min(piece.len() as u64);
        let records = piece.slice(..usize::try_from(count)?);
        let (epochs, checks, floors) = (Vec::new(), Vec::new(), Vec::new());
        sender.send(&Message::Live(Live { upto: sent, records, epochs, checks, floors, reframe: Bytes::new() })).await?;
        sent += count;
    }
    sender.close().await;
    let _ = receiver.receive().await; // until the other end has closed
    Ok(sent)
}

async fn receive(stream: TcpStream, options: &Options, tls: &Tls) -> Result<u64, AnyError> {
    let mut file = options.out.as_ref().map(File::create).transpose()?;
    if options.plain {
        return receive_bytes(stream, file).await;
    }
    let connection = Connection::accept(stream, tls).await?;
    if !options.messages {
        return receive_bytes(connection.into_stream(), file).await;
    }
    let (sender, mut receiver) = connection.split();
    let mut bytes = 0;
    while let Ok(received) = receiver.receive().await {
        let Message::Live(live) = received.message else { continue };
        bytes += live.records.len() as u64;
        file.as_mut().map(|file| file.write_all(&live.records)).transpose()?;
    }
    file.map(|file| file.sync_data()).transpose()?;
    sender.close().await;
    Ok(bytes)
}

async fn receive_bytes(mut stream: impl AsyncRead + Unpin, mut file: Option<File>) -> Result<u64, AnyError> {
    let mut buffer = vec![0; LIVE_BATCH_BYTES];
    let (mut bytes, mut filled) = (0, 0);
    loop {
        let count = stream.read(&mut buffer[filled..]).await?;
        filled += count;
        bytes += count as u64;
        if filled == buffer.len() || count == 0 {
            file.as_mut().map(|file| file.write_all(&buffer[..filled])).transpose()?;
            filled = 0;
        }
        if count == 0 {
            break;
        }
    }
    file.map(|file| file.sync_data()).transpose()?;
    Ok(bytes)
}

/// Bytes that don't compress: xorshift.
fn noise() -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..LIVE_BATCH_BYTES / 8).flat_map(|_| next()).collect()
}
