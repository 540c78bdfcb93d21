//! How many files and sockets the process may have open, and what that means for connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use throughline_net::ASIDE;

/// What the agent needs beside its connections: log files, connections to backends, listeners, the runtime.
const OTHERS: u64 = 192;
/// What a busy gateway may want.
const WANTED: u64 = 4096;

/// Raises the limit as far as the process may by itself, and says how many connections it leaves room for. What is told the
/// operator where that is little.
pub(crate) fn connections() -> (usize, Option<String>) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    // No limit at all is more than anybody has.
    let open = if raised { maximum } else { current }.unwrap_or(u64::MAX);
    let left = room(open);
    let told = (left < WANTED).then(|| {
        format!(
            "the process may have {open} files open (nofile), so that at most {left} connections are served at once; more wait. \
             Raise it with `LimitNOFILE` or `ulimit -n`"
        )
    });
    (usize::try_from(left).unwrap_or(usize::MAX), told)
}

/// Some descriptors are kept for health and self-telemetry, and for everything that is no connection.
fn room(open: u64) -> u64 {
    open.saturating_sub(OTHERS + ASIDE as u64).max(open / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_stay_for_health_and_backends_however_few_there_are() {
        for open in [1024, 4096, 1 << 20] {
            assert_eq!(room(open), open - OTHERS - ASIDE as u64);
        }
        assert_eq!(room(256), 64);
        assert_eq!(room(0), 1);
    }
}
