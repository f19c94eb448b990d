//! Whether a text is JSON to Python's `json.loads`.
//!
//! It accepts what RFC 8259 does and more: `NaN`, `Infinity` and `-Infinity`, escaped halves of surrogate
//! pairs. It refuses whole numbers of more than 4300 digits (`CPython`'s limit on conversions) and a byte
//! order mark.
//!
//! **Invariant:** no recursion: nesting is as deep as the text is long. (The reference stops with an
//! exception at some thousand levels.)

/// `CPython`'s `sys.get_int_max_str_digits`.
const MAX_DIGITS: usize = 4300;

/// Whether all of the text is one value.
pub(super) fn is_json(text: &str) -> bool {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
    reader.document().is_some() && reader.at == text.len()
}

/// A place in a text.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What has been opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Array,
    Object,
}

/// Every method reads something and gives None where it is not there.
impl Reader<'_> {
    /// A value and the blanks around it.
    fn document(&mut self) -> Option<()> {
        let mut open = Vec::new();
        loop {
            self.blanks();
            // At the beginning of a value.
            if self.take(b"[") {
                self.blanks();
                if !self.take(b"]") {
                    open.push(Open::Array);
                    continue;
                }
            } else if self.take(b"{") {
                self.blanks();
                if !self.take(b"}") {
                    self.key()?;
                    open.push(Open::Object);
                    continue;
                }
            } else {
                self.scalar()?;
            }
            // Behind a value: close what ends here, then go on to the next.
            loop {
                self.blanks();
                match open.last() {
                    None => return Some(()),
                    Some(Open::Array) if self.take(b"]") => open.pop(),
                    Some(Open::Object) if self.take(b"}") => open.pop(),
                    Some(_) => break,
                };
            }
            self.take(b",").then_some(())?;
            if open.last() == Some(&Open::Object) {
                self.blanks();
                self.key()?;
            }
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Option<()> {
        self.string()?;
        self.blanks();
        self.take(b":").then_some(())
    }

    fn scalar(&mut self) -> Option<()> {
        const WORDS: [&[u8]; 6] = [b"null", b"true", b"false", b"NaN", b"Infinity", b"-Infinity"];
        match self.peek()? {
            b'"' => self.string(),
            _ if WORDS.iter().any(|word| self.take(word)) => Some(()),
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Option<()> {
        self.take(b"-");
        let digits = if self.take(b"0") { 1 } else { self.digits() };
        if digits == 0 {
            return None;
        }
        let mut is_whole = true;
        let start = self.at;
        if self.take(b".") {
            if self.digits() > 0 {
                is_whole = false;
            } else {
                self.at = start;
            }
        }
        let start = self.at;
        if self.take(b"e") || self.take(b"E") {
            if !self.take(b"+") {
                self.take(b"-");
            }
            if self.digits() > 0 {
                is_whole = false;
            } else {
                self.at = start;
            }
        }
        (!is_whole || digits <= MAX_DIGITS).then_some(())
    }

    fn string(&mut self) -> Option<()> {
        self.take(b"\"").then_some(())?;
        loop {
            let byte = self.next()?;
            match byte {
                b'"' => return Some(()),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        for _ in 0..4 {
                            self.next().filter(u8::is_ascii_hexdigit)?;
                        }
                    }
                    _ => return None,
                },
                0..=0x1f => return None,
                _ => {}
            }
        }
    }

    /// How many digits were there.
    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, word: &[u8]) -> bool {
        let is_there = self.bytes[self.at..].starts_with(word);
        self.at += if is_there { word.len() } else { 0 };
        is_there
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }
}
