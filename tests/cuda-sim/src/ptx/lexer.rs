//! Text to tokens.

use super::Error;

/// A piece of the text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    /// Name, directive, opcode, register: everything of letters, digits, `_ $ % .` and `::`.
    Word(&'a str),
    /// Whole number.
    Integer(u64),
    /// A number with a point, as it stands.
    Decimal(&'a str),
    /// `0f` and eight digits.
    Float(u32),
    /// `0d` and sixteen digits.
    Double(u64),
    /// Between quotes.
    Text(&'a str),
    /// Anything else.
    Punct(char),
    /// Behind the last token.
    End,
}

/// All tokens with their lines.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token<'_>, u32)>, Error> {
    let mut lexer = Lexer { text, at: 0, line: 1 };
    let mut tokens = Vec::with_capacity(text.len() / 4);
    loop {
        lexer.skip_blank()?;
        let line = lexer.line;
        let token = lexer.token()?;
        tokens.push((token, line));
        if token == Token::End {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(Error { line: self.line, message: message.into() })
    }

    /// The next bytes for which `is_part` holds; all of them are ASCII.
    fn take(&mut self, is_part: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.bytes().take_while(|&byte| byte.is_ascii() && is_part(byte)).count();
        self.at += len;
        &rest[..len]
    }

    /// Skips white space, comments, and the zero byte that ends a C string.
    fn skip_blank(&mut self) -> Result<(), Error> {
        loop {
            let blank = self.take(|byte| byte.is_ascii_whitespace() || byte == 0);
            self.line += blank.bytes().filter(|&byte| byte == b'\n').count() as u32;
            if self.rest().starts_with("//") {
                let rest = self.rest();
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(comment) = self.rest().strip_prefix("/*") {
                let Some(len) = comment.find("*/") else { return self.fail("a comment has no end") };
                self.line += comment[..len].bytes().filter(|&byte| byte == b'\n').count() as u32;
                self.at += len + 4;
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Token<'a>, Error> {
        let Some(first) = self.rest().chars().next() else { return Ok(Token::End) };
        if first == '"' {
            return self.string();
        }
        if first.is_ascii_digit() {
            return self.number();
        }
        if is_word(first as u32) {
            return Ok(Token::Word(self.word()));
        }
        self.at += first.len_utf8();
        Ok(Token::Punct(first))
    }

    fn string(&mut self) -> Result<Token<'a>, Error> {
        let text = &self.rest()[1..];
        let Some(len) = text.find('"') else { return self.fail("a string has no end") };
        self.at += len + 2;
        Ok(Token::Text(&text[..len]))
    }

    /// `::` belongs to words: `shared::cta`.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let mut len = 0;
        loop {
            len += rest[len..].bytes().take_while(|&byte| is_word(u32::from(byte))).count();
            match rest[len..].strip_prefix("::") {
                Some(more) if more.bytes().next().is_some_and(|byte| is_word(u32::from(byte))) => len += 2,
                _ => break,
            }
        }
        self.at += len;
        &rest[..len]
    }

    fn number(&mut self) -> Result<Token<'a>, Error> {
        let text = self.take(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
        let token = match text.get(..2) {
            Some("0f" | "0F") if text.len() == 10 => hex(&text[2..]).map(|bits| Token::Float(bits as u32)),
            Some("0d" | "0D") if text.len() == 18 => hex(&text[2..]).map(Token::Double),
            _ if text.contains('.') => Some(Token::Decimal(text)),
            Some("0x" | "0X") => hex(text[2..].trim_end_matches('U')).map(Token::Integer),
            _ => text.trim_end_matches(['U', 'u']).parse().ok().map(Token::Integer),
        };
        token.map_or_else(|| self.fail(format!("`{text}` is no number")), Ok)
    }
}

fn is_word(character: u32) -> bool {
    u8::try_from(character)
        .is_ok_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.' | b'%'))
}
