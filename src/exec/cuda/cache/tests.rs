//! The cache under damage, rivals and folders that refuse.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

fn open(folder: &Path) -> Cache {
    Cache::open(folder, LIMIT).unwrap()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_was_stored_is_found_in_a_private_folder_made_on_demand() {
    let base = folder();
    let path = base.path().join("a/b");
    let cache = open(&path);
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o700);
    assert_eq!(cache.lookup(7), None);
    cache.store(7, b"code").unwrap();
    cache.store(8, b"").unwrap();
    assert_eq!(cache.lookup(7).as_deref(), Some(&b"code"[..]));
    assert_eq!(cache.lookup(8).as_deref(), Some(&b""[..]));
    assert_eq!(cache.size(), (2, 2 * HEADER as u64 + 4));
    cache.store(7, b"other").unwrap();
    assert_eq!(open(&path).lookup(7).as_deref(), Some(&b"other"[..]));
}

#[test]
fn an_entry_cut_anywhere_lengthened_or_with_a_flipped_bit_is_a_miss_and_is_replaced() {
    let base = folder();
    let cache = open(base.path());
    let code: Vec<u8> = (0..200).collect();
    cache.store(1, &code).unwrap();
    let whole = fs::read(cache.entry(1)).unwrap();
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(|end| whole[..end].to_vec()).collect();
    damaged.extend((0..whole.len() * 8).map(|bit| {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    }));
    damaged.push([&whole[..], &[0]].concat());
    for entry in damaged {
        fs::write(cache.entry(1), &entry).unwrap();
        assert_eq!(cache.lookup(1), None);
    }
    cache.store(1, &code).unwrap();
    assert_eq!(cache.lookup(1), Some(code));
}

#[test]
fn an_entry_under_another_name_or_a_folder_in_its_place_is_a_miss() {
    let base = folder();
    let cache = open(base.path());
    cache.store(1, b"code").unwrap();
    fs::rename(cache.entry(1), cache.entry(2)).unwrap();
    fs::create_dir(cache.entry(3)).unwrap();
    assert_eq!(cache.lookup(2), None);
    assert_eq!(cache.lookup(3), None);
    assert!(cache.store(3, b"code").is_err());
}

#[test]
fn each_ingredient_changes_the_key_and_the_order_of_options_does_not() {
    let options = ["-DA=1".to_string(), "-DB=2".to_string()];
    let base = || Ingredients {
        text: "text",
        options: &options,
        architecture: "sm_90a",
        nvrtc: (13, 5),
        version: "0.1.0",
    };
    let reversed = [options[1].clone(), options[0].clone()];
    let joined = ["-DA=1-DB=2".to_string()];
    assert_eq!(base().key(), Ingredients { options: &reversed, ..base() }.key());
    let others = [
        Ingredients { text: "Text", ..base() },
        Ingredients { text: "", ..base() },
        Ingredients { options: &options[..1], ..base() },
        Ingredients { options: &joined, ..base() },
        Ingredients { options: &[], ..base() },
        Ingredients { architecture: "sm_90", ..base() },
        Ingredients { nvrtc: (13, 4), ..base() },
        Ingredients { nvrtc: (12, 5), ..base() },
        Ingredients { version: "0.1.1", ..base() },
        base(),
    ];
    let keys: std::collections::BTreeSet<u128> = others.iter().map(Ingredients::key).collect();
    assert_eq!(keys.len(), others.len());
}

/// Eight writers and readers of the same keys, each with its own handle as another process has.
#[test]
fn rivals_see_whole_entries_or_none() {
    let base = folder();
    let code = |key: u128| vec![key as u8; 10_000];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let cache = open(base.path());
                for key in 0..50 {
                    cache.store(key, &code(key)).unwrap();
                    assert_eq!(cache.lookup(key), Some(code(key)));
                }
            });
        }
    });
    let cache = open(base.path());
    assert_eq!(cache.size().0, 50);
    assert!(cache.files(TEMPORARY_SUFFIX).is_empty());
}

#[test]
fn eviction_takes_what_was_read_the_longest_ago_and_abandoned_temporaries() {
    let base = folder();
    let entry = HEADER as u64 + 100;
    let cache = Cache::open(base.path(), 3 * entry).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(10_000);
    for key in 0..6 {
        cache.store(key, &[0; 100]).unwrap();
        let file = File::options().write(true).open(cache.entry(key)).unwrap();
        file.set_modified(long_ago + Duration::from_secs(key as u64)).unwrap();
    }
    let abandoned = base.path().join(".a.tmp");
    File::create(&abandoned).unwrap().set_modified(long_ago).unwrap();
    let fresh = base.path().join(".b.tmp");
    File::create(&fresh).unwrap();
    assert!(cache.lookup(1).is_some());
    cache.evict();
    let kept: Vec<u128> = (0..6).filter(|&key| cache.lookup(key).is_some()).collect();
    assert_eq!(kept, [1, 4, 5]);
    assert!(!abandoned.exists() && fresh.exists());
    cache.evict();
    assert_eq!(cache.size(), (3, 3 * entry));
}

#[test]
fn choices_stand_beside_the_kernels_and_are_evicted_with_them() {
    let base = folder();
    let cache = Cache::open(base.path(), HEADER as u64 + 4).unwrap();
    assert_eq!(cache.choice(1), None);
    cache.keep_choice(1, "first").unwrap();
    cache.keep_choice(1, "second").unwrap();
    assert_eq!((cache.choice(1).as_deref(), cache.lookup(1)), (Some("second"), None));
    assert_eq!(cache.size(), (0, 0), "they are no kernels");
    let long_ago = SystemTime::now() - Duration::from_secs(10_000);
    let file = File::options().write(true).open(cache.place_of_choice(1)).unwrap();
    file.set_modified(long_ago).unwrap();
    cache.store(2, b"code").unwrap();
    cache.evict();
    assert_eq!((cache.choice(1), cache.lookup(2).is_some()), (None, true));
    fs::write(cache.place_of_choice(3), [0xff, 0xfe]).unwrap();
    assert_eq!(cache.choice(3), None, "no text");
}

/// Why a folder is refused and what to do, as one text.
fn refusal(folder: &Path) -> String {
    match Cache::open(folder, LIMIT) {
        Err(NoCache::Refused { what, fix }) => format!("{what}; {fix}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_folder_that_others_may_write_to_or_that_is_no_folder_is_refused() {
    let base = folder();
    for bits in [0o777, 0o770, 0o702] {
        mode(base.path(), bits);
        assert!(refusal(base.path()).ends_with("others may write to it; run `chmod go-w` on it"));
    }
    mode(base.path(), 0o700);
    let file = base.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refusal(&file).contains("it is no folder; set IRONWARP_CACHE"));
    assert!(refusal(&file.join("inside")).contains("set IRONWARP_CACHE"));
    assert!(refusal(Path::new("/proc/none")).contains("set IRONWARP_CACHE"));
}

#[test]
fn a_read_only_cache_is_still_read() {
    let base = folder();
    let cache = open(base.path());
    cache.store(1, b"code").unwrap();
    mode(&cache.entry(1), 0o400);
    mode(base.path(), 0o500);
    let cache = open(base.path());
    assert_eq!(cache.lookup(1).as_deref(), Some(&b"code"[..]));
    // The administrator may write all the same; nobody gets a panic.
    let _ = cache.store(2, b"code");
    mode(base.path(), 0o700);
}

#[test]
fn a_cache_whose_folder_went_away_misses_and_refuses_to_store() {
    let base = folder();
    let cache = open(base.path());
    cache.store(1, b"code").unwrap();
    drop(base);
    assert_eq!(cache.lookup(1), None);
    assert!(cache.store(1, b"code").is_err());
    cache.evict();
    assert_eq!(cache.size(), (0, 0));
}

#[test]
fn the_environment_names_the_place() {
    let find = |pairs: &[(&str, &str)]| {
        place(&|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
    };
    let home = ("HOME", "/h");
    assert_eq!(find(&[home, (VARIABLE, "off")]), None);
    assert_eq!(find(&[home, (VARIABLE, "/c")]), Some("/c".into()));
    assert_eq!(find(&[home, (VARIABLE, "")]), Some("/h/.cache/ironwarp/kernels".into()));
    assert_eq!(find(&[home, ("XDG_CACHE_HOME", "/x")]), Some("/x/ironwarp/kernels".into()));
    assert_eq!(find(&[home, ("XDG_CACHE_HOME", "x")]), Some("/h/.cache/ironwarp/kernels".into()));
    assert_eq!(find(&[]), None);
}
