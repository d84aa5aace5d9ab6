//! How much memory this process may take: the least limit of its control groups, else what the machine has.
//!
//! Control groups of version 2 (`memory.max`) and 1 (`memory.limit_in_bytes`) are asked, with every group above the process' own: the
//! tightest holds. Inside a container the group's path is often not to be seen; its root then is the group.

/// The share of it that a node takes when nobody says how much, in hundredths: the rest is for connections, the allocator, the page cache.
const SHARE_PERCENT: u64 = 60;
/// Where no limit can be found out (not Linux).
const UNKNOWN_BYTES: u64 = 1 << 30;

/// The default of `--memory-max`, bytes.
pub(super) fn memory_max_default() -> u64 {
    let found = memory_bytes(&|path| std::fs::read_to_string(path).ok());
    found.unwrap_or(UNKNOWN_BYTES) / 100 * SHARE_PERCENT
}

/// What the files of the system, read by `read`, say.
fn memory_bytes(read: &dyn Fn(&str) -> Option<String>) -> Option<u64> {
    let machine = read("/proc/meminfo").as_deref().and_then(total_of_meminfo);
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(files_of).flatten().filter_map(|path| limit_in(&read(&path)?));
    limits.chain(machine).min()
}

/// The files that may hold a limit for a line of `/proc/self/cgroup`, innermost group first.
fn files_of(line: &str) -> Option<Vec<String>> {
    let (_, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return None,
    };
    let mut files = Vec::new();
    let mut path = path.trim_end_matches('/');
    loop {
        files.push(format!("{root}{path}/{file}"));
        match path.rsplit_once('/') {
            Some((above, _)) => path = above,
            None => return Some(files),
        }
    }
}

/// A limit; `max` is none. (Version 1 says "none" with a number that no machine has: the machine's own decides then.)
fn limit_in(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes > 0)
}

fn total_of_meminfo(text: &str) -> Option<u64> {
    let kib: u64 = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24684000 kB\nMemFree:        10007000 kB\n";
    const MACHINE: u64 = 24_684_000 * 1024;

    fn found(files: &[(&str, &str)]) -> Option<u64> {
        memory_bytes(&|path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn the_tightest_limit_of_all_groups_and_the_machine_holds() {
        let meminfo = ("/proc/meminfo", MEMINFO);
        let v2 = ("/proc/self/cgroup", "0::/user.slice/limosa.service\n");
        let v1 = ("/proc/self/cgroup", "12:cpu,cpuacct:/a\n5:memory:/docker/abc\n1:name=systemd:/a\n");
        type Case<'a> = (&'a str, Vec<(&'a str, &'a str)>, Option<u64>);
        let cases: [Case<'_>; 8] = [
            ("no groups", vec![meminfo], Some(MACHINE)),
            ("none is limited", vec![meminfo, v2, ("/sys/fs/cgroup/user.slice/limosa.service/memory.max", "max\n")], Some(MACHINE)),
            ("its own", vec![meminfo, v2, ("/sys/fs/cgroup/user.slice/limosa.service/memory.max", "1073741824\n")], Some(1 << 30)),
            (
                "one above",
                vec![
                    meminfo,
                    v2,
                    ("/sys/fs/cgroup/user.slice/limosa.service/memory.max", "1073741824\n"),
                    ("/sys/fs/cgroup/user.slice/memory.max", "536870912\n"),
                ],
                Some(1 << 29),
            ),
            ("in a container", vec![meminfo, ("/proc/self/cgroup", "0::/\n"), ("/sys/fs/cgroup/memory.max", "4096\n")], Some(4096)),
            ("version 1", vec![meminfo, v1, ("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "268435456\n")], Some(1 << 28)),
            (
                "version 1 in a container, and without a limit",
                vec![meminfo, v1, ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")],
                Some(MACHINE),
            ),
            ("nothing can be read, or it is nonsense", vec![("/proc/meminfo", "MemTotal: lots"), ("/proc/self/cgroup", "::\nx")], None),
        ];
        for (name, files, expected) in cases {
            assert_eq!(found(&files), expected, "{name}");
        }
    }

    #[test]
    fn this_machine_has_a_default() {
        assert!(memory_max_default() >= 64 << 20, "{}", memory_max_default());
    }
}
