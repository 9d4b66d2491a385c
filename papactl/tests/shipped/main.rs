//! What is shipped beside the program and made from its definitions: manual pages, and what shells
//! need to complete. Each file is what these say now; `PAPACTL_SHIP=1 cargo test -p papactl --test
//! shipped` writes them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod completions;
mod files;
mod json_page;
mod pages;
