//! Whether Python's `json.loads` accepts a text.
//!
//! Beyond RFC 8259 it accepts `NaN`, `Infinity`, `-Infinity` and escaped lone surrogates. It refuses whole
//! numbers of more than 4300 digits (`CPython`'s conversion limit) and a byte order mark.
//!
//! **Invariant:** there is no recursion, so nesting may be as deep as the text is long. (The reference fails
//! with an exception at about a thousand levels.)

/// `CPython`'s `sys.get_int_max_str_digits`.
const MAX_DIGITS: usize = 4300;

/// Whether the whole text is one JSON value.
pub(super) fn is_json(text: &str) -> bool {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
    reader.document().is_some() && reader.at == text.len()
}

/// A position in a text.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A value whose end has not been reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Array,
    Object,
}

/// Every method reads one syntactic element and returns `None` if it is absent.
impl Reader<'_> {
    /// Reads a value and the white space around it.
    fn document(&mut self) -> Option<()> {
        let mut open = Vec::new();
        loop {
            self.blanks();
            // At the start of a value.
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
            // After a value: close the arrays and objects that end here, then continue with the next value.
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

    /// Reads a key and its colon.
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

    /// Reads digits and returns their number.
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
        let is_next = self.bytes[self.at..].starts_with(word);
        self.at += if is_next { word.len() } else { 0 };
        is_next
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
