//! The growing text of a completion: takes the bytes of tokens, finds stop strings, returns UTF-8.
//!
//! Where in the flow: the engine pushes the bytes of each generated token, and takes the text at the end, or
//! piece by piece while streaming.
//!
//! A token may end in the middle of a character, and a stop string may span tokens, so both are looked for in
//! the joined bytes.
//!
//! **Invariant:** the pieces returned by [`Text::settled`] are a prefix of the result of [`Text::finish`].

/// Bytes generated so far and the strings that end the generation.
#[derive(Debug)]
pub(super) struct Text<'r> {
    bytes: Vec<u8>,
    stop: &'r [String],
    /// Length of the longest stop string in bytes.
    longest_stop: usize,
    stopped: bool,
    /// Bytes returned by `settled` so far.
    given: usize,
}

impl<'r> Text<'r> {
    /// Empty stop strings are ignored: they would end every text at once.
    pub(super) fn new(stop: &'r [String]) -> Self {
        let longest_stop = stop.iter().map(String::len).max().unwrap_or(0);
        Self { bytes: Vec::new(), stop, longest_stop, stopped: false, given: 0 }
    }

    /// Appends the bytes of a token. Returns true if that completed a stop string, which is then cut off,
    /// with everything after it.
    pub(super) fn push(&mut self, piece: &[u8]) -> bool {
        // A stop string that was not complete before must end in the new piece.
        let from = (self.bytes.len() + 1).saturating_sub(self.longest_stop.max(1));
        self.bytes.extend_from_slice(piece);
        let stops = self.stop.iter().filter(|stop| !stop.is_empty());
        let first = stops.filter_map(|stop| find(&self.bytes[from..], stop.as_bytes())).min();
        if let Some(at) = first {
            self.bytes.truncate(from + at);
            self.stopped = true;
        }
        self.stopped
    }

    /// Text since the last call that later tokens cannot change: whole characters, without a possible start
    /// of a stop string.
    pub(super) fn settled(&mut self) -> String {
        let end = if self.stopped { self.bytes.len() } else { self.bytes.len() - self.stop_beginning() };
        self.given_up_to(self.given + whole_characters(&self.bytes[self.given..end]))
    }

    /// Text not returned yet, at the end of the completion.
    pub(super) fn rest(&mut self) -> String {
        self.given_up_to(self.bytes.len())
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn given_up_to(&mut self, end: usize) -> String {
        let text = String::from_utf8_lossy(&self.bytes[self.given..end]).into_owned();
        self.given = end;
        text
    }

    /// Length of the longest suffix of the bytes that a stop string starts with.
    fn stop_beginning(&self) -> usize {
        let begins = |length: usize| {
            let tail = &self.bytes[self.bytes.len() - length..];
            self.stop.iter().any(|stop| stop.as_bytes().starts_with(tail))
        };
        let most = self.longest_stop.saturating_sub(1).min(self.bytes.len() - self.given);
        (1..=most).rev().find(|&length| begins(length)).unwrap_or(0)
    }
}

/// Index of the first occurrence of `needle`.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// Length without an incomplete character at the end; bytes that can never be part of one count as complete.
fn whole_characters(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match std::str::from_utf8(&bytes[at..]) {
            Ok(rest) => return at + rest.len(),
            Err(error) => match error.error_len() {
                Some(bad) => at += error.valid_up_to() + bad,
                None => return at + error.valid_up_to(),
            },
        }
    }
}
