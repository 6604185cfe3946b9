//! A browser that a test drives: Chromium without a window, by the DevTools protocol over a pipe.
//!
//! Owns the process, its profile and the messages to it. It is started in the test's own network (see
//! [`alone`](crate::alone())), so nothing that it loads or asks for comes from elsewhere.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PATIENCE;

const PROGRAM: &str = "chromium";

/// Starts a program whose descriptors 3 and 4 are the pipes that the protocol has there.
const WITH_PIPES: &str = r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>&2"#;

/// A browser with one page; ended with the test.
pub struct Browser {
    child: Child,
    requests: ChildStdin,
    messages: Receiver<Value>,
    /// The page that calls are about; none until it is there.
    session: Option<String>,
    calls: u64,
    _profile: TempDir,
}

impl Browser {
    /// Says why there is no browser on this machine, if so.
    pub fn is_there() -> Result<(), String> {
        let tried = Command::new(PROGRAM).arg("--version").stdin(Stdio::null()).output();
        let tried = tried.map_err(|error| format!("`{PROGRAM}` cannot be started: {error}"))?;
        if tried.status.success() {
            Ok(())
        } else {
            Err(format!("`{PROGRAM} --version` ends with {}", tried.status))
        }
    }

    /// Starts a browser with a profile of its own.
    ///
    /// # Panics
    /// If it does not start in time.
    pub fn start() -> Self {
        let profile = TempDir::new().expect("a folder for the profile");
        let mut command = Command::new("sh");
        command.args(["-c", WITH_PIPES, PROGRAM, "--headless", "--remote-debugging-pipe"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
        command.args(["--disable-sync", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio"]);
        command.args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]);
        command.args(["--autoplay-policy=no-user-gesture-required", "--window-size=800,900"]);
        if rustix::process::geteuid().is_root() {
            // Chromium refuses to set up its own sandbox then. It loads nothing but the test's pages.
            command.arg("--no-sandbox");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().expect("a shell starts");
        let requests = child.stdin.take().expect("its standard input is piped");
        let answers = BufReader::new(child.stdout.take().expect("its standard output is piped"));
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let texts = answers.split(b'\0').map_while(Result::ok);
            for message in texts.map_while(|text| serde_json::from_slice(&text).ok()) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self { child, requests, messages, session: None, calls: 0, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].take();
        let attach = json!({ "targetId": target, "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        browser
    }

    /// Loads a page.
    ///
    /// # Panics
    /// If it cannot be loaded in time.
    pub fn open(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({ "url": url }));
        assert!(answer["errorText"].is_null(), "{url} cannot be loaded: {answer}");
        self.wait_for("document.readyState === 'complete'");
    }

    /// Loads the page again, as its reader would.
    ///
    /// # Panics
    /// If that is not done in time.
    pub fn reload(&mut self) {
        self.evaluate("window.isOfBefore = true");
        self.call("Page.reload", json!({}));
        self.wait_for("!window.isOfBefore && document.readyState === 'complete'");
    }

    /// The value of an expression on the page; of what it promises, if it is a promise.
    ///
    /// # Panics
    /// If it throws, or has no value in time.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        self.try_evaluate(expression).unwrap_or_else(|error| panic!("{expression}\nthrows {error}"))
    }

    fn try_evaluate(&mut self, expression: &str) -> Result<Value, String> {
        let ask = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.try_call("Runtime.evaluate", ask)?;
        match answer.get("exceptionDetails") {
            Some(exception) => Err(exception.to_string()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Waits until an expression on the page is true.
    ///
    /// # Panics
    /// If it is not in time.
    pub fn wait_for(&mut self, expression: &str) {
        let began = Instant::now();
        // A page that is being left answers with an error.
        while self.try_evaluate(expression) != Ok(Value::Bool(true)) {
            if began.elapsed() > PATIENCE {
                let page = self.try_evaluate("document.documentElement.outerHTML");
                panic!("waited in vain for `{expression}` on the page:\n{page:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Writes a picture of the page, as PNG.
    ///
    /// # Panics
    /// If it cannot be had or written.
    pub fn write_picture(&mut self, file: &Path) {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let picture = bytes_of_base64(answer["data"].as_str().expect("a picture is text"));
        std::fs::write(file, picture).expect("a test can write to its folder");
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.try_call(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_call(&mut self, method: &str, parameters: Value) -> Result<Value, String> {
        self.send(method, parameters).expect("the browser takes messages");
        let began = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(began.elapsed());
            let message = self.messages.recv_timeout(left);
            let mut message = message.unwrap_or_else(|error| panic!("{method} has no answer: {error}"));
            if message["id"] != self.calls {
                continue;
            }
            let error = &message["error"];
            return if error.is_null() { Ok(message["result"].take()) } else { Err(error.to_string()) };
        }
    }

    fn send(&mut self, method: &str, parameters: Value) -> std::io::Result<()> {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.requests.write_all(format!("{message}\0").as_bytes())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        let _ = self.send("Browser.close", json!({}));
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > Duration::from_secs(5) {
                // The group of the browser's own processes, which this test has started.
                let group = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
                let _ =
                    group.map(|id| rustix::process::kill_process_group(id, rustix::process::Signal::KILL));
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The bytes that a text in base64 (RFC 4648 §4) stands for.
///
/// # Panics
/// If it has other characters.
pub fn bytes_of_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = ALPHABET.iter().position(|known| *known == letter).expect("it is base64");
        bits = bits << 6 | u32::try_from(value).expect("it is below 64");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    bytes
}
