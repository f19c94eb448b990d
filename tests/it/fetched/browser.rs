//! Catches a browser that fails or hangs without saying why. Mostly a helper, though: a client of the Chrome
//! `DevTools` protocol, as much as the test of the report needs, for one Chromium with one page.
//!
//! With `--remote-debugging-pipe`, Chromium reads messages (JSON that ends in a NUL) from file descriptor 3
//! and writes them to 4. They are the standard input and output of a shell that gives them these numbers and
//! becomes Chromium: there is nothing to open that could block, and the pipes end with either process.
//!
//! **Invariant:** nothing waits for ever. A call has a deadline, a browser that exits ends its pipe, one
//! whose test exits ends itself; and whatever fails reports what the page complained of and what Chromium
//! wrote to stderr.

use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long Chromium may take to answer.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long to wait for what the page does at once.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often to look.
const POLL: Duration = Duration::from_millis(15);
/// Bytes that fit into an empty pipe: only a longer message could block its writer.
const PIPE: usize = 64 << 10;

/// The flags that are not about where things are.
const FLAGS: [&str; 13] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    // A page that is not visible runs at full speed, and takes input before its first picture is drawn.
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--disable-background-timer-throttling",
    "--allow-pre-commit-input",
];

/// The point at which a click hits an element, as `[x, y]`, or why none does.
const PLACE: &str = "((selector) => {
    const element = document.querySelector(selector);
    if (!element) return 'there is none';
    element.scrollIntoView({ block: 'center', inline: 'nearest', behavior: 'instant' });
    const box = element.getClientRects()[0];
    if (!box) return 'it is not shown';
    const x = box.left + box.width / 2, y = box.top + box.height / 2;
    return element.contains(document.elementFromPoint(x, y)) ? [x, y] : 'it is covered, or not on the screen';
})";

/// A running Chromium and its page. It ends, and its files go, when this is dropped.
pub(crate) struct Browser {
    process: Child,
    input: ChildStdin,
    /// Answers and events, in the order in which Chromium wrote them.
    messages: Receiver<Value>,
    /// The number of the last call.
    last: Cell<u64>,
    /// The page; none before there is one.
    session: Option<String>,
    complaints: RefCell<Vec<String>>,
    /// Profile, temporary files and stderr of Chromium.
    folder: tempfile::TempDir,
}

/// The browser of the distribution, or the one that `EVOL_CHROMIUM` names.
///
/// # Panics
/// There is none: a test that skips itself is a test that passes for nothing.
fn chromium() -> PathBuf {
    if let Some(path) = std::env::var_os("EVOL_CHROMIUM").filter(|path| !path.is_empty()) {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut files =
        names.iter().flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    files.find(|file| file.is_file()).expect(
        "no browser for the test of the report: install the package `chromium` (apt-get install chromium), \
         or name one with EVOL_CHROMIUM",
    )
}

/// Hands over what Chromium writes, until it writes no more.
fn read(output: impl Read, messages: &Sender<Value>) {
    let mut output = BufReader::new(output);
    let mut message = Vec::new();
    while output.read_until(0, &mut message).is_ok_and(|length| length > 0) && message.pop() == Some(0) {
        let value = serde_json::from_slice(&message).expect("Chromium writes JSON");
        if messages.send(value).is_err() {
            return;
        }
        message.clear();
    }
}

impl Browser {
    /// Starts one, with an empty page that is `width` by `height`.
    pub(crate) fn start(width: u32, height: u32) -> Self {
        let mut browser = Self::run(&chromium());
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", &attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Inspector"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser.call("Emulation.setFocusEmulationEnabled", &json!({ "enabled": true }));
        browser.screen(width, height, false, false);
        browser
    }

    /// Starts the program at `path`, without sending it anything.
    fn run(path: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let errors = File::create(folder.path().join("stderr")).unwrap();
        // Chromium refuses its sandbox to root, who is the user in a container.
        let root = fs::metadata("/proc/self").is_ok_and(|of| of.uid() == 0);
        let mut process = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >&2"])
            .arg(path)
            .args(FLAGS)
            .args(root.then_some("--no-sandbox"))
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            // A socket lies there, which a killed browser does not take with it.
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .process_group(0)
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let output = process.stdout.take().unwrap();
        let (sender, messages) = channel();
        std::thread::spawn(move || read(output, &sender));
        let (last, complaints) = (Cell::new(0), RefCell::default());
        Self { process, input, messages, last, session: None, complaints, folder }
    }

    /// Gives up, with all that is known.
    #[track_caller]
    fn fail(&self, why: &str) -> ! {
        let errors = fs::read(self.folder.path().join("stderr")).unwrap_or_default();
        let end = String::from_utf8_lossy(&errors[errors.len().saturating_sub(4000)..]);
        let complaints = self.complaints.borrow();
        panic!("{why}\ncomplaints of the page: {complaints:#?}\nstderr of Chromium, its end:\n{end}")
    }

    /// Asks for something and waits for no answer; the number of the question.
    #[track_caller]
    fn send(&self, method: &str, params: &Value) -> u64 {
        let id = self.last.get() + 1;
        self.last.set(id);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let bytes = format!("{message}\0").into_bytes();
        assert!(bytes.len() < PIPE, "{method} is too long: {} bytes", bytes.len());
        if let Err(error) = (&self.input).write_all(&bytes) {
            self.fail(&format!("{method}: Chromium does not listen: {error}"));
        }
        id
    }

    /// Chromium's answer.
    #[track_caller]
    fn call(&self, method: &str, params: &Value) -> Value {
        let id = self.send(method, params);
        let end = Instant::now() + DEADLINE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut message = match self.messages.recv_timeout(left) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("{method}: no answer in {DEADLINE:?}")),
                Err(RecvTimeoutError::Disconnected) => self.fail(&format!("{method}: Chromium went away")),
            };
            if message["id"] != id {
                self.hear(&message);
            } else if let Some(error) = message.get("error") {
                self.fail(&format!("{method}: {error}"));
            } else {
                return message["result"].take();
            }
        }
    }

    /// Keeps the events that are complaints. Violations of the content security policy are entries of the
    /// log.
    fn hear(&self, event: &Value) {
        let (method, params) = (event["method"].as_str().unwrap_or_default(), &event["params"]);
        let complaint = match method {
            "Log.entryAdded" => &params["entry"],
            "Runtime.exceptionThrown" => &params["exceptionDetails"],
            "Runtime.consoleAPICalled" if params["type"] == "error" || params["type"] == "assert" => {
                &params["args"]
            }
            "Page.javascriptDialogOpening" => {
                // The page stands still until it is answered.
                self.send("Page.handleJavaScriptDialog", &json!({ "accept": false }));
                params
            }
            "Inspector.targetCrashed" => self.fail("the page crashed"),
            _ => return,
        };
        self.complaints.borrow_mut().push(format!("{method}: {complaint}"));
    }

    /// All that went wrong in the page so far.
    pub(crate) fn complaints(&self) -> Vec<String> {
        // What the page said before it answers this comes before the answer.
        let _ = self.evaluate("0");
        self.complaints.borrow().clone()
    }

    /// Opens an address.
    pub(crate) fn go(&self, address: &str) {
        let result = self.call("Page.navigate", &json!({ "url": address }));
        assert_eq!(result.get("errorText"), None, "{address}");
        self.wait("document.readyState === 'complete'");
    }

    /// The value of an expression, or the error that it threw.
    #[track_caller]
    pub(crate) fn evaluate(&self, expression: &str) -> Result<Value, String> {
        let params = json!({ "expression": expression, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", &params);
        match result.get("exceptionDetails") {
            Some(thrown) => Err(thrown.pointer("/exception/description").unwrap_or(thrown).to_string()),
            None => Ok(result["result"]["value"].take()),
        }
    }

    /// The value that there is at some time soon, or else the reason why there was none.
    #[track_caller]
    fn soon<T>(&self, what: &str, value: impl Fn() -> Result<T, String>) -> T {
        let start = Instant::now();
        loop {
            match value() {
                Ok(value) => return value,
                Err(why) if start.elapsed() > PATIENCE => self.fail(&format!("{what}: {why}")),
                Err(_) => sleep(POLL),
            }
        }
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn wait(&self, expression: &str) {
        self.soon(expression, || match self.evaluate(expression)? {
            Value::Bool(true) => Ok(()),
            value => Err(format!("still not true, but {value}")),
        });
    }

    /// A click with the mouse, where the element is.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        let place = format!("{PLACE}({})", json!(selector));
        let place = self.soon(selector, || match self.evaluate(&place)? {
            Value::Array(place) => Ok(place),
            why => Err(format!("cannot be clicked on: {why}")),
        });
        let mouse = |kind: &str, button: &str, buttons: u32| {
            let params = json!({
                "type": kind, "x": place[0], "y": place[1],
                "button": button, "buttons": buttons, "clickCount": 1,
            });
            self.call("Input.dispatchMouseEvent", &params);
        };
        mouse("mouseMoved", "none", 0);
        mouse("mousePressed", "left", 1);
        mouse("mouseReleased", "left", 0);
    }

    /// A key that is no letter, by its name in JavaScript.
    pub(crate) fn press(&self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => panic!("what is the code of {key}?"),
        };
        let mut event =
            json!({ "type": "rawKeyDown", "key": key, "code": key, "windowsVirtualKeyCode": code });
        if key == "Enter" {
            event["type"] = json!("keyDown");
            event["text"] = json!("\r");
        }
        self.call("Input.dispatchKeyEvent", &event);
        event["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", &event);
    }

    /// Text for the element that has the focus.
    pub(crate) fn insert(&self, text: &str) {
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Another size of the page, and the scheme of colours that its reader prefers.
    pub(crate) fn screen(&self, width: u32, height: u32, mobile: bool, dark: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if dark { "dark" } else { "light" };
        // Without motion: a click would miss what still slides to its place.
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call("Emulation.setEmulatedMedia", &json!({ "features": features }));
        self.wait(&format!(
            "matchMedia('(prefers-color-scheme: {scheme})').matches && innerWidth === {width}"
        ));
    }

    /// A picture of what is on the screen, as PNG.
    pub(crate) fn picture(&self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", &json!({ "format": "png" }));
        decode_base64(picture["data"].as_str().unwrap())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have been dropped for a failure: nothing here may fail once more. Its helpers are in its
        // group.
        let kill = ["-c", "kill -s KILL -- \"-$0\"", &self.process.id().to_string()];
        let _ = Command::new("sh").args(kill).stderr(Stdio::null()).status();
        let _ = self.process.kill();
        let _ = self.process.wait();
        // A helper may write its last file just now.
        let start = Instant::now();
        while fs::remove_dir_all(self.folder.path()).is_err() && start.elapsed() < Duration::from_secs(2) {
            sleep(POLL);
        }
    }
}

fn decode_base64(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => panic!("not base64: {letter}"),
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

#[test]
fn a_page_that_misbehaves_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let html = "<!doctype html><meta http-equiv=Content-Security-Policy content=\"script-src \
                'unsafe-inline'; img-src 'none'\"><script>console.error('spoken'); alert('asked'); \
                throw Error('thrown')</script><img src=barred.png>";
    fs::write(&page, html).unwrap();
    let browser = Browser::start(300, 200);
    browser.go(&format!("file://{}", page.display()));
    let complaints = browser.complaints().join("\n");
    for word in ["spoken", "asked", "thrown", "Content Security Policy"] {
        assert!(complaints.contains(word), "{word}: {complaints}");
    }
    assert!(browser.evaluate("nothing.such").unwrap_err().contains("ReferenceError"));
    assert!(browser.picture().starts_with(b"\x89PNG\r\n\x1a\n"));
}

#[test]
#[should_panic(expected = "no-such-browser")]
fn a_browser_that_does_not_start_says_why() {
    Browser::run(Path::new("/no-such-browser")).call("Browser.getVersion", &json!({}));
}
