//! The metrics in the format of `TensorBoard`.
//!
//! Where in the flow: a second form of `metrics.jsonl`. A resumed run rewrites the file from the lines of
//! `metrics.jsonl` that it keeps, so that no step is in it twice.
//!
//! A record is the length (u64), its checksum, the bytes, their checksum; a checksum is `CRC-32C`, rotated
//! right by 15 bits plus 0xA282EAD8. The bytes are a protocol buffer:
//!
//! ```text
//! Event { 1: wall_time (double), 2: step (int64), 3: file_version (string), 5: Summary }
//! Summary { 1: Value { 1: tag (string), 2: simple_value (float) } }
//! ```
//!
//! Source: `record_writer.cc` and `event.proto` of TensorFlow.
//!
//! **Invariant:** a function of the metrics: wall time counts the seconds of the run from 0 and reads no
//! clock.

use super::{Error, Metrics};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// `TensorBoard` looks for files with `tfevents` in their name.
const NAME: &str = "events.out.tfevents.0.evol";

/// The open file.
#[derive(Debug)]
pub(super) struct EventsFile {
    path: PathBuf,
    file: File,
    /// Seconds of the run so far.
    seconds: f64,
}

impl EventsFile {
    /// Writes a new file with the existing metrics.
    pub(super) fn create(out: &Path, metrics: &[Metrics]) -> Result<Self, Error> {
        let folder = out.join("tensorboard");
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let path = folder.join(NAME);
        let file = File::create(&path).map_err(Error::io("create", &path))?;
        let mut events = Self { path, file, seconds: 0.0 };
        let mut version = Vec::new();
        double(&mut version, 1, 0.0);
        bytes(&mut version, 3, b"brain.Event:2");
        events.write(&version)?;
        for metrics in metrics {
            events.append(metrics)?;
        }
        Ok(events)
    }

    /// Appends one line of metrics as one event.
    pub(super) fn append(&mut self, metrics: &Metrics) -> Result<(), Error> {
        let (step, seconds, values): (u64, f64, Vec<(&str, f64)>) = match metrics {
            Metrics::Step(step) => {
                let memory = step.peak_memory_bytes.map(|bytes| ("train/peak_memory_bytes", bytes as f64));
                let values = [
                    ("train/loss", step.loss),
                    ("train/learning_rate", step.learning_rate),
                    ("train/grad_norm", step.grad_norm),
                    ("train/tokens", step.tokens as f64),
                    ("train/tokens_per_second", step.tokens_per_second),
                ];
                (step.step, step.seconds, values.into_iter().chain(memory).collect())
            }
            Metrics::Eval(eval) => (eval.step, eval.seconds, vec![("eval/loss", eval.validation_loss)]),
        };
        self.seconds += seconds;
        let mut summary = Vec::new();
        for (tag, value) in values {
            let mut entry = Vec::new();
            bytes(&mut entry, 1, tag.as_bytes());
            entry.push(2 << 3 | FIXED_32);
            entry.extend((value as f32).to_le_bytes());
            bytes(&mut summary, 1, &entry);
        }
        let mut event = Vec::new();
        double(&mut event, 1, self.seconds);
        event.push(2 << 3);
        varint(&mut event, step);
        bytes(&mut event, 5, &summary);
        self.write(&event)
    }

    fn write(&mut self, event: &[u8]) -> Result<(), Error> {
        let length = (event.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(event);
        record.extend(masked_crc(event).to_le_bytes());
        self.file.write_all(&record).map_err(Error::io("write", &self.path))
    }
}

/// Wire types of protocol buffers.
const FIXED_64: u8 = 1;
const LENGTH: u8 = 2;
const FIXED_32: u8 = 5;

fn double(into: &mut Vec<u8>, field: u8, value: f64) {
    into.push(field << 3 | FIXED_64);
    into.extend(value.to_le_bytes());
}

fn bytes(into: &mut Vec<u8>, field: u8, value: &[u8]) {
    into.push(field << 3 | LENGTH);
    varint(into, value.len() as u64);
    into.extend(value);
}

fn varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xA282_EAD8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::EvalMetrics;

    /// Bytes by hand, and checksums that `TensorBoard` 2.21 accepted.
    #[test]
    fn a_record_is_length_event_and_checksums() {
        let folder = tempfile::tempdir().unwrap();
        let eval = EvalMetrics { step: 300, validation_loss: 1.5, targets: 7, seconds: 2.0 };
        EventsFile::create(folder.path(), &[Metrics::Eval(eval)]).unwrap();
        let written = std::fs::read(folder.path().join("tensorboard").join(NAME)).unwrap();
        let event: &[&[u8]] = &[
            &[0x09, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x10, 0xAC, 0x02, 0x2A, 18, 0x0A, 16, 0x0A, 9],
            b"eval/loss",
            &[0x15, 0, 0, 0xC0, 0x3F],
        ];
        let event = event.concat();
        // The first record: 9 bytes of time, 15 of version, 16 around them.
        let record = &written[9 + 15 + 16..];
        assert_eq!(record[..8], (event.len() as u64).to_le_bytes());
        assert_eq!(record[12..12 + event.len()], event);
        assert_eq!(record.len(), event.len() + 16);
        // RFC 3720, B.4: 32 bytes of zeros have the checksum 0x8A9136AA.
        assert_eq!(masked_crc(&[0; 32]), 0x8A91_36AA_u32.rotate_right(15).wrapping_add(0xA282_EAD8));
    }
}
