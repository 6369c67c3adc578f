//! The name of a process for operators: the name of its machine (in Kubernetes, of its pod) and its id there.

/// For example `relay-7d4f/1`. Other processes show it as the holder of a lease.
pub fn process_name() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = machine.trim();
    format!("{}/{}", if machine.is_empty() { "unknown" } else { machine }, std::process::id())
}
