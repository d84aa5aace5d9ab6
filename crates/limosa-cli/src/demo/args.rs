//! The flags of `limosa demo`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::RangedU64ValueParser;

/// Scenes, in the order in which they are played.
#[cfg(test)]
pub(super) const SCENES: [(u8, &str); 11] = [
    (1, "first copy"),
    (2, "unchanged"),
    (3, "short absence"),
    (4, "long absence"),
    (5, "diverged"),
    (6, "cut off"),
    (7, "large values"),
    (8, "scale out"),
    (9, "move back"),
    (10, "kill -9 of the owner"),
    (11, "the killed node returns"),
];

/// `limosa demo`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// Entries to begin with; with --input, the records of the file
    #[arg(long, value_name = "N", default_value_t = 200_000, conflicts_with = "input", value_parser = RangedU64ValueParser::<u64>::new().range(100..=100_000_000))]
    pub(crate) entries: u64,
    /// Bytes of each value, random, so that they don't compress
    #[arg(long, value_name = "BYTES", default_value_t = 1024, conflicts_with = "input", value_parser = RangedU64ValueParser::<u64>::new().range(8..=1 << 20))]
    pub(crate) value_bytes: u64,
    /// Share of the keys that change in scene 4
    #[arg(long, value_name = "SHARE", default_value_t = 0.01, conflicts_with = "changed", value_parser = share)]
    pub(crate) change: f64,
    /// Scenes to play, such as 1,4,5; those that one needs are played before it. 8 to 11: three nodes with a quarter of the entries
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2,3,4,5,6,7,8,9,10,11", hide_default_value = true, value_parser = RangedU64ValueParser::<u8>::new().range(1..=11))]
    pub(crate) scenes: Vec<u8>,
    /// Real state instead of random values: JSON Lines, a record a line
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) input: Option<PathBuf>,
    /// The field of a record that is its key
    #[arg(long, value_name = "FIELD", requires = "input")]
    pub(crate) key: Option<String>,
    /// The same records as a later release has them: the change of scene 4
    #[arg(long, value_name = "FILE", requires = "input")]
    pub(crate) changed: Option<PathBuf>,
    /// Write what was measured into a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// First of 53 free ports; by default free ones are looked for from 7700 on
    #[arg(long, value_name = "BASE", value_parser = RangedU64ValueParser::<u16>::new().range(1024..=65_483))]
    pub(crate) ports: Option<u16>,
    /// Leave both nodes running, and say how to reach and how to stop them
    #[arg(long)]
    pub(crate) keep: bool,
    /// Same seed, same keys, values and changes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print the report as JSON instead of the table
    #[arg(long)]
    pub(crate) json: bool,
}

impl DemoArgs {
    /// Whether a scene was asked for.
    pub(super) fn plays(&self, scene: u8) -> bool {
        self.scenes.contains(&scene)
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok();
    share
        .filter(|share| (0.0001..=0.5).contains(share))
        .ok_or_else(|| "not a share from 0.0001 to 0.5, such as 0.01 for one in a hundred".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Alone {
        #[command(flatten)]
        demo: DemoArgs,
    }

    fn parse(line: &str) -> Result<DemoArgs, clap::Error> {
        Alone::try_parse_from(std::iter::once("demo").chain(line.split_whitespace())).map(|alone| alone.demo)
    }

    #[test]
    fn no_flags_play_every_scene_at_the_default_size() {
        let args = parse("").expect("no flag is needed");
        assert_eq!((args.entries, args.value_bytes, args.seed, args.change), (200_000, 1024, 1, 0.01));
        assert!(SCENES.iter().all(|(scene, _)| args.plays(*scene)));
        assert!(!args.keep && !args.json && args.ports.is_none() && args.report.is_none());
    }

    #[test]
    fn scenes_are_a_list_in_any_order() {
        let args = parse("--scenes 5,1,4").expect("three scenes");
        let played: Vec<u8> = SCENES.iter().map(|(scene, _)| *scene).filter(|scene| args.plays(*scene)).collect();
        assert_eq!(played, [1, 4, 5]);
    }

    #[test]
    fn what_can_not_be_meant_is_a_usage_error() {
        for line in [
            "--scenes 12",
            "--scenes 0",
            "--scenes one",
            "--entries 5",
            "--entries many",
            "--value-bytes 1",
            "--change 0",
            "--change 0.9",
            "--change NaN",
            "--ports 80",
            "--ports 65530",
            "--input a.jsonl",
            "--key Package",
            "--changed b.jsonl",
            "--input a.jsonl --key k --entries 1000",
            "--input a.jsonl --key k --changed b.jsonl --change 0.1",
        ] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
        let args = parse("--input a.jsonl --key k --changed b.jsonl").expect("a real input");
        assert_eq!((args.key.as_deref(), args.changed), (Some("k"), Some(PathBuf::from("b.jsonl"))));
    }
}
