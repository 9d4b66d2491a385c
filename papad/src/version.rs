//! Which papad this is.

/// The release, as protocol 2 and Cargo.toml have it.
pub(crate) const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from; none where the sources came without their history.
pub(crate) const COMMIT: Option<&str> = option_env!("PAPAD_COMMIT");

/// Both, for people: `papad 0.1.0 (commit 0123456789ab)`.
pub(crate) fn full() -> String {
    match COMMIT {
        Some(commit) => format!("papad {RELEASE} (commit {commit})"),
        None => format!("papad {RELEASE}"),
    }
}
