//! `printf` and `assert` of kernels.

#![expect(unsafe_code, reason = "device memory is raw memory")]

use super::Fault;
use super::access::{How, window};
use super::block::Worker;
use super::warp::{Warp, lanes};
use crate::finding::FindingKind;
use crate::lower::Inst;

/// Characters of a text at most, so that one without an end does not run for ever.
const MAX_TEXT: u64 = 1 << 16;

impl Worker<'_, '_> {
    /// A byte of a lane's memory at a generic address.
    fn bytes(
        &mut self,
        warp: &mut Warp,
        lane: usize,
        address: u64,
        len: u64,
        pc: usize,
    ) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::with_capacity(len as usize);
        for i in 0..len {
            let mut addresses = [address + i; 32];
            let (space, mask, start) = window(&addresses, 1 << lane);
            addresses[lane] -= start;
            let region = self.region(warp, space, &addresses, mask, 1, pc, How::Read)?;
            // SAFETY: the region was checked.
            bytes.push(unsafe { region.at(addresses[lane], lane).read() });
        }
        Ok(bytes)
    }

    fn text(&mut self, warp: &mut Warp, lane: usize, address: u64, pc: usize) -> Result<String, Fault> {
        let mut text = Vec::new();
        for i in 0..MAX_TEXT {
            match self.bytes(warp, lane, address + i, 1, pc)?[0] {
                0 => break,
                byte => text.push(byte),
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    pub(super) fn print(
        &mut self,
        warp: &mut Warp,
        inst: &Inst,
        pc: usize,
        active: u32,
    ) -> Result<(), Fault> {
        let list = inst.list as usize;
        let (formats, values) =
            (warp.double(self.launch.kernel.lists[list]), warp.double(self.launch.kernel.lists[list + 1]));
        for lane in lanes(active) {
            let format = self.text(warp, lane, formats[lane], pc)?;
            let mut at = values[lane];
            let mut rest = format.as_str();
            while let Some((before, after)) = rest.split_once('%') {
                self.outcome.printed.push_str(before);
                if let Some(after) = after.strip_prefix('%') {
                    self.outcome.printed.push('%');
                    rest = after;
                    continue;
                }
                let end =
                    after.find(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'l' | 'h' | 'z' | 'j'));
                let Some(end) = end else { break };
                let (flags, conversion) = (&after[..end], after.as_bytes()[end]);
                let is_long = flags.contains('l') || flags.contains('z') || flags.contains('j');
                let size = if is_long
                    || matches!(conversion, b'f' | b'e' | b'g' | b's' | b'p' | b'F' | b'E' | b'G')
                {
                    8
                } else {
                    4
                };
                at = at.next_multiple_of(size);
                let bytes = self.bytes(warp, lane, at, size, pc)?;
                at += size;
                let value = bytes.iter().rev().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
                let text = if conversion == b's' {
                    self.text(warp, lane, value, pc)?
                } else {
                    formatted(flags, conversion, value, size)
                };
                self.outcome.printed.push_str(&text);
                rest = &after[end + 1..];
            }
            self.outcome.printed.push_str(rest);
        }
        Ok(())
    }

    pub(super) fn assertion(&mut self, warp: &mut Warp, inst: &Inst, pc: usize, active: u32) -> Fault {
        let lists: Vec<u32> = self.launch.kernel.lists[inst.list as usize..][..4].to_vec();
        let lane = active.trailing_zeros() as usize;
        let mut read = |row: u32| {
            let address = warp.double(row)[lane];
            self.text(warp, lane, address, pc)
        };
        let texts = [read(lists[0]), read(lists[1]), read(lists[3])];
        let line = warp.word(lists[2])[lane];
        let [Ok(message), Ok(file), Ok(function)] = texts else {
            return self.fault(warp, pc, active, FindingKind::Assert, "an assertion failed".into());
        };
        let message = format!("{file}:{line}: {function}: Assertion `{message}` failed");
        self.fault(warp, pc, active, FindingKind::Assert, message)
    }
}

/// C's conversions, with width and precision.
fn formatted(flags: &str, conversion: u8, value: u64, size: u64) -> String {
    let flags = flags.trim_end_matches(['l', 'h', 'z', 'j']);
    let left = flags.contains('-');
    let numbers = flags.trim_start_matches(['-', '+', ' ', '#']);
    let zeros = numbers.starts_with('0') && !left;
    let (width, precision) = numbers.split_once('.').unwrap_or((numbers, ""));
    let width = width.parse::<usize>().unwrap_or(0).min(1 << 10);
    let precision = precision.parse::<usize>().ok().map(|digits| digits.min(1 << 10));
    let signed = if size == 8 { value as i64 } else { i64::from(value as u32 as i32) };
    let float = f64::from_bits(value);
    let mut text = match conversion {
        b'd' | b'i' => signed.to_string(),
        b'u' => value.to_string(),
        b'x' => format!("{value:x}"),
        b'X' => format!("{value:X}"),
        b'o' => format!("{value:o}"),
        b'p' => format!("{value:#x}"),
        b'c' => char::from(value as u8).to_string(),
        b'f' | b'F' => format!("{float:.*}", precision.unwrap_or(6)),
        b'e' | b'E' => scientific(float, precision.unwrap_or(6)),
        _ => general(float, precision.unwrap_or(6)),
    };
    if flags.contains('+') && !text.starts_with('-') {
        text.insert(0, '+');
    }
    let missing = width.saturating_sub(text.len());
    if left {
        text.push_str(&" ".repeat(missing));
    } else if zeros {
        let at = usize::from(text.starts_with(['-', '+']));
        text.insert_str(at, &"0".repeat(missing));
    } else {
        text.insert_str(0, &" ".repeat(missing));
    }
    text
}

/// C writes at least two digits of the exponent, and its sign.
fn scientific(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let Some((digits, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// `%g`: the shorter of both forms, without zeros at its end.
fn general(value: f64, precision: usize) -> String {
    if !value.is_finite() {
        return value.to_string().to_lowercase();
    }
    let precision = precision.max(1);
    let text = scientific(value, precision - 1);
    let exponent: i32 = text.split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let trim = |digits: &str| {
        if digits.contains('.') {
            digits.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            digits.to_owned()
        }
    };
    if exponent < -4 || exponent >= precision as i32 {
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{exponent}", trim(digits));
    }
    trim(&format!("{value:.*}", (precision as i32 - 1 - exponent).max(0) as usize))
}
