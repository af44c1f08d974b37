//! How many connections the system lets this process have: each is a descriptor.

use tracing::warn;

use crate::settings::Settings;

/// Raises the soft limit, which container runtimes and shells often set to 1,024 for the sake of programs that use `select`,
/// to the hard one, and says so where even that is too low for what the flags allow.
pub fn raise(settings: &Settings) {
    let wanted = 2 * settings.connections + settings.car_connections;
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(allowed) if usize::try_from(allowed).is_ok_and(|allowed| allowed < wanted) => warn!(
            "{allowed} files may be open at a time, and --connections and --car-connections allow {wanted} connections; \
             raise the hard limit (ulimit -Hn), or lower them"
        ),
        Ok(_) => {}
        Err(error) => warn!("the limit of open files cannot be raised: {error}; start with a higher one (ulimit -n)"),
    }
}
