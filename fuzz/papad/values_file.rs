//! The file of values in the state directory.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use papa_protocol::name::Patterns;

use crate::bounds::{Allowed, Bounds};
use crate::journal::{Journal, Record};
use crate::values::{Condition, Disk, Replayed, Values, lock};

/// A state directory in memory, which is this process's.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| PathBuf::from(format!("/dev/shm/papad-fuzz-{}", std::process::id())))
}

/// A file of any bytes is read; what was read of it is there again after the next start, and so is a
/// value that is set then.
///
/// # Panics
/// If that is not so.
pub fn values_file(bytes: &[u8]) {
    let open = || Disk::new(folder(), lock(folder()).expect("nobody else has this directory"));
    drop(open());
    fs::write(folder().join("values"), bytes).expect("there is room");

    let mut disk = open();
    let found = read(&mut disk);
    let said = records(&found);
    drop(disk);
    let mut disk = open();
    assert_eq!(records(&read(&mut disk)), said);

    // As a server that recovers does it.
    disk.agree_with(&found, |_| {});
    assert_eq!(records(&read(&mut disk)), said);
    let values = Values::new(journal(), bounds(), found, Some(disk));
    let set = values.set(b"set".to_vec(), bytes.to_vec(), &Condition::Any, None);
    assert_eq!(set.expect("there is room"), Ok(()));
    let all = values.find(&Patterns::new(Vec::new()));
    drop(values);

    let mut disk = open();
    let values = Values::new(journal(), bounds(), read(&mut disk), None);
    let kept = |found: Vec<(Vec<u8>, Vec<u8>, bool)>| -> Vec<_> {
        found.into_iter().filter(|(.., is_of_session)| !is_of_session).collect()
    };
    assert_eq!(kept(values.find(&Patterns::new(Vec::new()))), kept(all));
    drop(disk);
    let _ = fs::remove_dir_all(folder());
}

fn journal() -> Arc<Journal> {
    Arc::new(Journal::create().expect("memory"))
}

fn bounds() -> Arc<Bounds> {
    Arc::new(Bounds::new(Allowed::default()))
}

fn read(disk: &mut Disk) -> Replayed {
    disk.read(|_| {}).expect("the file is there")
}

fn records(replayed: &Replayed) -> Vec<Vec<u8>> {
    replayed.records().map(Record::into_bytes).collect()
}
