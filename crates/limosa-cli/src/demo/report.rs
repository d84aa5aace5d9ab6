//! What a demo measured: the report for programs, the table and the scene lines for people.

use std::path::Path;

use comfy_table::CellAlignment;
use limosa_core::limits::CREDIT_WINDOW_BYTES;
use limosa_server::http::api::CpuSeconds;
use serde::Serialize;

use super::error::DemoError;
use super::trio::{CLIENTS, ClientSeen};
use crate::format::{bytes, count, seconds};
use crate::output;

/// What a transfer cost at both ends.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct CpuByEnd {
    pub(super) owner: CpuSeconds,
    pub(super) standby: CpuSeconds,
}

/// One scene, measured.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Row {
    /// Its number.
    pub(super) scene: u8,
    /// What happened.
    pub(super) name: String,
    /// The dearest method of its last transfer.
    pub(super) method: String,
    /// Entries that differed before.
    pub(super) changed_entries: u64,
    /// Their keys and values; of deletes the key.
    pub(super) changed_bytes: u64,
    /// Socket bytes, both directions, all sessions, handshakes apart.
    pub(super) moved_bytes: u64,
    /// Socket bytes of handshakes.
    pub(super) handshake_bytes: u64,
    /// Key and value bytes of entries that were sent more than once at the same version.
    pub(super) sent_again_bytes: u64,
    /// The same after each cut; only where there were some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sent_again_bytes_by_cut: Option<Vec<u64>>,
    /// Moved / changed; none where nothing changed.
    pub(super) ratio: Option<f64>,
    /// Time to consistency.
    pub(super) seconds: f64,
    /// CPU of the last session's transfer at owner and standby, by stage; none where the standby was started again since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_seconds: Option<CpuByEnd>,
    /// Keys and values of everything.
    pub(super) full_copy_bytes: u64,
    /// Both ends hold what was written, as read over RESP.
    pub(super) digests_equal: bool,
    /// What clients saw meanwhile; only of the scenes in which some work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<ClientSeen>,
}

impl Row {
    #[allow(clippy::cast_precision_loss)] // byte counts as a ratio
    pub(super) fn ratio(moved: u64, changed: u64) -> Option<f64> {
        (changed > 0).then(|| moved as f64 / changed as f64)
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let equal = if self.digests_equal { "equal" } else { "DIFFERENT" };
        format!(
            "{}  {:<26} {:<9}  {} changed ({}), {} moved in {}, ends {equal}",
            self.scene,
            self.name,
            self.method,
            count(self.changed_entries),
            bytes(self.changed_bytes),
            bytes(self.moved_bytes),
            time(self.seconds),
        )
    }

    #[allow(clippy::cast_precision_loss)] // byte counts as a ratio
    fn times_cheaper(&self) -> String {
        match self.full_copy_bytes as f64 / self.moved_bytes.max(1) as f64 {
            _ if self.method == "copy" => "-".to_owned(),
            times if times >= 10.0 => format!("{} ×", count(times as u64)),
            times => format!("{times:.1} ×"),
        }
    }
}

/// A demo, measured.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(super) struct Report {
    /// Of the program.
    pub(super) version: &'static str,
    /// System, architecture, processors, memory.
    pub(super) machine: String,
    /// To begin with.
    pub(super) entries: u64,
    /// Of each value; with --input the mean.
    pub(super) value_bytes: u64,
    /// Decides keys, values and changes.
    pub(super) seed: u64,
    /// Most bytes on their way.
    pub(super) credit_window_bytes: u64,
    /// What was played.
    pub(super) scenes: Vec<Row>,
}

impl Report {
    pub(super) fn new(entries: u64, value_bytes: u64, seed: u64, scenes: Vec<Row>) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self { version, machine: machine(), entries, value_bytes, seed, credit_window_bytes: CREDIT_WINDOW_BYTES, scenes }
    }

    /// Whether every comparison agreed, and nothing that was acknowledged to a client is lost.
    pub(super) fn agrees(&self) -> bool {
        let is_kept = |row: &Row| row.client.as_ref().is_none_or(|client| client.lost_writes == 0);
        self.scenes.iter().all(|row| row.digests_equal && is_kept(row))
    }

    /// Writes it as JSON.
    pub(super) fn write(&self, path: &Path) -> Result<(), DemoError> {
        let text = serde_json::to_string_pretty(self).expect("numbers and strings become JSON") + "\n";
        std::fs::write(path, text).map_err(|source| DemoError::File { path: path.to_owned(), source })
    }

    /// The table at the end.
    pub(super) fn table(&self) -> String {
        let mut table =
            output::table(["#", "SCENE", "METHOD", "CHANGED", "BYTES", "MOVED", "RATIO", "FULL COPY", "CHEAPER", "TIME", "ENDS"]);
        for row in &self.scenes {
            table.add_row([
                row.scene.to_string(),
                row.name.clone(),
                row.method.clone(),
                count(row.changed_entries),
                bytes(row.changed_bytes),
                bytes(row.moved_bytes),
                row.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}")),
                bytes(row.full_copy_bytes),
                row.times_cheaper(),
                time(row.seconds),
                if row.digests_equal { "equal" } else { "DIFFERENT" }.to_owned(),
            ]);
        }
        for index in 3..10 {
            table.column_mut(index).expect("there are eleven").set_cell_alignment(CellAlignment::Right);
        }
        output::text(&table)
    }

    /// What clients saw, where they did.
    pub(super) fn clients(&self) -> String {
        let seen: Vec<(&Row, &ClientSeen)> = self.scenes.iter().filter_map(|row| Some((row, row.client.as_ref()?))).collect();
        if seen.is_empty() {
            return String::new();
        }
        let mut table = output::table(["#", "SCENE", "REQUESTS", "PAUSE", "P50", "P99", "P99.9", "MAX", "ERRORS", "LOST WRITES"]);
        for (row, client) in seen {
            let ms = |ms: f64| format!("{ms:.1} ms");
            table.add_row([
                row.scene.to_string(),
                row.name.clone(),
                count(client.requests),
                ms(client.pause_ms),
                ms(client.p50_ms),
                ms(client.p99_ms),
                ms(client.p999_ms),
                ms(client.max_ms),
                count(client.errors),
                count(client.lost_writes),
            ]);
        }
        for index in 2..10 {
            table.column_mut(index).expect("there are ten").set_cell_alignment(CellAlignment::Right);
        }
        format!(
            "\n{}\nseen by {CLIENTS} clients, one request at a time each, half of them writes. pause: longest time in which no write of anybody was\n\
             acknowledged; percentiles: of single requests. errors: answers that an application sees; lost writes: acknowledged, and not there.\n\
             8: bytes of all the state and of what was written meanwhile. 9: of what was written to the third until it was back, and what came\n\
             from its owner. 10, 11: of what was written from the kill on, each write counted.\n",
            output::text(&table)
        )
    }

    /// What the table's words mean, and what it has no room for.
    pub(super) fn legend(&self) -> String {
        let mut text = "\nchanged: keys whose value or expiry differed, by the demo's own book; bytes: of their keys and values. moved: bytes over the socket, both directions, \
                        TLS handshakes apart.\nequal: every entry of both ends was read over RESP and hashed, and both are what was written.\n"
            .to_owned();
        let cut = self.scenes.iter().find_map(|row| Some((row, row.sent_again_bytes_by_cut.as_ref()?)));
        if let Some((row, cuts)) = cut {
            let cuts: Vec<String> = cuts.iter().map(|again| bytes(*again)).collect();
            text += &format!(
                "scene {}: after the cuts {} were sent again (the window is {}); its time includes both restarts.\n",
                row.scene,
                cuts.join(", "),
                bytes(self.credit_window_bytes)
            );
        }
        text
    }
}

/// Times below a second in milliseconds: transfers are that short.
fn time(taken: f64) -> String {
    if taken < 1.0 { format!("{:.0} ms", taken * 1000.0) } else { seconds(taken) }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?.to_owned();
        line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    });
    let memory = memory.map_or_else(String::new, |kib| format!(", {} of memory", bytes(kib << 10)));
    format!("{} {}, {cores} cores{memory}", std::env::consts::OS, std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scene: u8, changed: u64, equal: bool) -> Row {
        Row {
            scene,
            name: "a scene".to_owned(),
            method: "delta".to_owned(),
            changed_entries: changed / 100,
            changed_bytes: changed,
            moved_bytes: 1050,
            handshake_bytes: 3000,
            sent_again_bytes: 0,
            sent_again_bytes_by_cut: None,
            ratio: Row::ratio(1050, changed),
            seconds: 0.05,
            cpu_seconds: None,
            full_copy_bytes: 1_000_000,
            digests_equal: equal,
            client: None,
        }
    }

    #[test]
    fn an_acknowledged_write_that_is_lost_is_told_and_no_success() {
        let client = |lost_writes| ClientSeen {
            requests: 5000,
            pause_ms: 12.0,
            p50_ms: 1.0,
            p99_ms: 2.0,
            p999_ms: 3.25,
            max_ms: 11.5,
            errors: 0,
            lost_writes,
        };
        let report = |lost| Report::new(10, 100, 1, vec![Row { client: Some(client(lost)), ..row(9, 1000, true) }]);
        assert!(report(0).agrees() && !report(1).agrees());
        let text = report(0).clients();
        assert!(text.contains("11.5 ms") && text.contains("5,000"), "{text}");
        assert_eq!(Report::new(1, 1, 1, vec![row(2, 0, true)]).clients(), "");
    }

    #[test]
    fn the_report_has_the_fields_that_it_promises() {
        let report = Report::new(10, 100, 1, vec![row(4, 1000, true), row(2, 0, true)]);
        let json = serde_json::to_value(&report).expect("JSON");
        let fields =
            |value: &serde_json::Value| value.as_object().expect("an object").keys().cloned().collect::<std::collections::BTreeSet<_>>();
        let set = |names: &str| names.split_whitespace().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(fields(&json), set("version machine entries value_bytes seed credit_window_bytes scenes"));
        let scene = "scene name method changed_entries changed_bytes moved_bytes handshake_bytes sent_again_bytes ratio seconds \
                     full_copy_bytes digests_equal";
        assert_eq!(fields(&json["scenes"][0]), set(scene));
        assert_eq!(json["scenes"][0]["ratio"], 1.05);
        assert_eq!(json["scenes"][1]["ratio"], serde_json::Value::Null, "nothing changed");
        assert!(report.agrees());
        assert!(!Report::new(10, 100, 1, vec![row(1, 9, true), row(4, 1000, false)]).agrees());
    }

    #[test]
    fn the_table_says_how_much_cheaper_it_was() {
        let cut = Row { sent_again_bytes_by_cut: Some(vec![0, 4 << 20, 1024]), ..row(6, 1000, false) };
        let report = Report::new(10, 100, 1, vec![row(2, 0, true), cut]);
        let table = report.table();
        assert!(table.contains("952 ×") && table.contains("DIFFERENT") && table.contains("50 ms") && table.contains("1.050"), "{table}");
        assert!(report.legend().contains("0 B, 4.0 MiB, 1.0 KiB were sent again"), "{}", report.legend());
        assert!(!Report::new(1, 1, 1, vec![row(2, 0, true)]).legend().contains("sent again"));
    }
}
