//! Parser for the header of a GGUF file: untrusted bytes in, checked values out.
//!
//! Where in the flow: [`super::Gguf::open`] maps a file and passes its bytes to [`parse`]; everything else
//! works on the [`Header`] that it returns. Source: `docs/gguf.md` of ggml; versions 2 and 3 have the same
//! layout.
//!
//! **Invariant:** the code is safe Rust, and no length or offset is used before it has been compared with
//! the number of bytes left. Hostile bytes produce a [`Problem`], never a panic, an out-of-bounds read or
//! an allocation far larger than the file.
//! **Invariant:** in a returned header, every tensor's range lies inside the file, starts at a multiple of
//! the alignment and overlaps no other range; keys and tensor names are unique.

use std::collections::HashSet;
use std::fmt::Display;
use std::ops::Range;

use super::{GgmlType, Problem, Value, ValueType};

/// Alignment of tensor data in bytes if the file has no `general.alignment` (`GGUF_DEFAULT_ALIGNMENT`).
pub(super) const DEFAULT_ALIGNMENT: u64 = 32;
/// llama.cpp stores a tensor name in 64 bytes, including the terminating zero.
pub(super) const MAX_NAME_BYTES: u64 = 63;
/// The specification's limit.
const MAX_KEY_BYTES: u64 = 65_535;
/// The longest strings in practice, chat templates and licences, are far below this.
const MAX_STRING_BYTES: u64 = 64 << 20;
/// The largest models have a few thousand tensors and a few hundred keys.
const MAX_TENSORS: u64 = 1 << 16;
const MAX_KEYS: u64 = 1 << 16;
/// Limit over all arrays of a file together; the largest vocabularies have 2^18 tokens and 2^19 merges.
const MAX_ARRAY_ELEMENTS: u64 = 1 << 24;

/// Everything in a file before its tensor data, in file order.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: Vec<(String, Value)>,
    pub(super) tensors: Vec<TensorInfo>,
}

/// Description of one tensor in a file.
#[derive(Debug)]
pub(super) struct TensorInfo {
    pub(super) name: String,
    /// Slowest axis first.
    pub(super) shape: Vec<usize>,
    pub(super) ggml_type: GgmlType,
    /// Byte range of its blocks in the file.
    pub(super) range: Range<usize>,
}

/// Parses and checks everything before the tensor data, and the location of the data itself.
pub(super) fn parse(file: &[u8]) -> Result<Header, Problem> {
    let mut cursor = Cursor { file, at: 0, array_elements: 0 };
    if file.is_empty() {
        return Err(Problem::Empty);
    }
    let magic = cursor.array::<4>(&"the magic number")?;
    if magic != *b"GGUF" {
        return Err(Problem::Magic { found: magic });
    }
    match cursor.u32(&"the version")? {
        2 | 3 => {}
        // A small number in the wrong byte order has an empty low half. llama.cpp uses the same test.
        version if version.trailing_zeros() >= 16 && version != 0 => {
            return Err(Problem::ByteOrder { version });
        }
        version => return Err(Problem::Version { version }),
    }
    let tensor_count = cursor.count("tensors", MAX_TENSORS)?;
    let key_count = cursor.count("metadata keys", MAX_KEYS)?;
    let metadata = cursor.metadata(key_count)?;
    let alignment = alignment(&metadata)?;
    let raw = cursor.tensors(tensor_count)?;
    let tensors = place_tensors(raw, cursor.at as u64, alignment, file.len() as u64)?;
    Ok(Header { metadata, tensors })
}

/// A tensor's description as the file states it; its location has not been checked yet.
struct RawTensor {
    name: String,
    shape: Vec<usize>,
    ggml_type: GgmlType,
    offset: u64,
    bytes: u64,
}

struct Cursor<'a> {
    file: &'a [u8],
    at: usize,
    /// Array elements read so far, over the whole file.
    array_elements: u64,
}

impl<'a> Cursor<'a> {
    fn remaining(&self) -> u64 {
        (self.file.len() - self.at) as u64
    }

    /// Reads the next `count` bytes; an error names them as `reading`.
    fn take(&mut self, count: u64, reading: &dyn Display) -> Result<&'a [u8], Problem> {
        self.require(count, reading)?;
        // The cast cannot truncate: `count` is at most the number of bytes left in the mapping.
        let bytes = &self.file[self.at..self.at + count as usize];
        self.at += count as usize;
        Ok(bytes)
    }

    fn require(&self, count: u64, reading: &dyn Display) -> Result<(), Problem> {
        if count <= self.remaining() {
            return Ok(());
        }
        Err(Problem::TruncatedHeader {
            reading: reading.to_string(),
            file_bytes: self.file.len() as u64,
            missing: count - self.remaining(),
        })
    }

    fn array<const N: usize>(&mut self, reading: &dyn Display) -> Result<[u8; N], Problem> {
        let bytes = self.take(N as u64, reading)?;
        Ok(bytes.try_into().expect("`take` returns exactly N bytes"))
    }

    fn u32(&mut self, reading: &dyn Display) -> Result<u32, Problem> {
        Ok(u32::from_le_bytes(self.array(reading)?))
    }

    fn u64(&mut self, reading: &dyn Display) -> Result<u64, Problem> {
        Ok(u64::from_le_bytes(self.array(reading)?))
    }

    fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, Problem> {
        let found = self.u64(&format_args!("the number of {what}"))?;
        if found > limit {
            return Err(Problem::Count { what, found, limit });
        }
        Ok(found)
    }

    fn string(&mut self, what: &dyn Display, limit: u64) -> Result<String, Problem> {
        let found = self.u64(what)?;
        if found > limit {
            return Err(Problem::StringLength { what: what.to_string(), found, limit });
        }
        let bytes = self.take(found, what)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Problem::NotUtf8 { what: what.to_string() })?;
        Ok(text.to_owned())
    }

    /// Reads a string that must not be empty.
    fn name(&mut self, what: &dyn Display, limit: u64) -> Result<String, Problem> {
        let name = self.string(what, limit)?;
        if name.is_empty() {
            return Err(Problem::EmptyName { what: what.to_string() });
        }
        Ok(name)
    }

    fn metadata(&mut self, count: u64) -> Result<Vec<(String, Value)>, Problem> {
        let mut seen = HashSet::new();
        let mut metadata = Vec::new();
        for index in 0..count {
            let key = self.name(&format_args!("the name of key {index}"), MAX_KEY_BYTES)?;
            if !seen.insert(key.clone()) {
                return Err(Problem::DuplicateKey { key });
            }
            let value_type = self.value_type(&key)?;
            let value = match value_type {
                ValueType::Array => self.array_value(&key)?,
                scalar => self.scalar(&key, scalar)?,
            };
            metadata.push((key, value));
        }
        Ok(metadata)
    }

    fn value_type(&mut self, key: &str) -> Result<ValueType, Problem> {
        let id = self.u32(&format_args!("the type of key `{key}`"))?;
        ValueType::from_id(id).ok_or_else(|| Problem::UnknownValueType { key: key.to_owned(), id })
    }

    fn array_value(&mut self, key: &str) -> Result<Value, Problem> {
        let element = self.value_type(key)?;
        if element == ValueType::Array {
            return Err(Problem::NestedArray { key: key.to_owned() });
        }
        let count = self.u64(&format_args!("the length of array `{key}`"))?;
        self.array_elements = self.array_elements.saturating_add(count);
        if self.array_elements > MAX_ARRAY_ELEMENTS {
            let (found, limit) = (self.array_elements, MAX_ARRAY_ELEMENTS);
            return Err(Problem::Count { what: "array elements", found, limit });
        }
        // Checked before the allocation, so that a tiny file cannot request megabytes.
        self.require(count * element.least_bytes(), &format_args!("array `{key}`"))?;
        let mut elements = Vec::with_capacity(count as usize);
        for _ in 0..count {
            elements.push(self.scalar(key, element)?);
        }
        Ok(Value::Array(elements))
    }

    fn scalar(&mut self, key: &str, value_type: ValueType) -> Result<Value, Problem> {
        let reading = format_args!("key `{key}`");
        Ok(match value_type {
            ValueType::U8 => Value::U8(u8::from_le_bytes(self.array(&reading)?)),
            ValueType::I8 => Value::I8(i8::from_le_bytes(self.array(&reading)?)),
            ValueType::U16 => Value::U16(u16::from_le_bytes(self.array(&reading)?)),
            ValueType::I16 => Value::I16(i16::from_le_bytes(self.array(&reading)?)),
            ValueType::U32 => Value::U32(u32::from_le_bytes(self.array(&reading)?)),
            ValueType::I32 => Value::I32(i32::from_le_bytes(self.array(&reading)?)),
            ValueType::F32 => Value::F32(f32::from_le_bytes(self.array(&reading)?)),
            ValueType::U64 => Value::U64(u64::from_le_bytes(self.array(&reading)?)),
            ValueType::I64 => Value::I64(i64::from_le_bytes(self.array(&reading)?)),
            ValueType::F64 => Value::F64(f64::from_le_bytes(self.array(&reading)?)),
            ValueType::String => Value::String(self.string(&reading, MAX_STRING_BYTES)?),
            ValueType::Bool => match self.array(&reading)? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [found] => return Err(Problem::Bool { key: key.to_owned(), found }),
            },
            ValueType::Array => unreachable!("arrays are read by `array_value`"),
        })
    }

    fn tensors(&mut self, count: u64) -> Result<Vec<RawTensor>, Problem> {
        let mut seen = HashSet::new();
        let mut tensors = Vec::new();
        for index in 0..count {
            let name = self.name(&format_args!("the name of tensor {index}"), MAX_NAME_BYTES)?;
            if !seen.insert(name.clone()) {
                return Err(Problem::DuplicateTensor { tensor: name });
            }
            tensors.push(self.tensor(name)?);
        }
        Ok(tensors)
    }

    fn tensor(&mut self, tensor: String) -> Result<RawTensor, Problem> {
        let axes = self.u32(&format_args!("the dimensions of tensor `{tensor}`"))?;
        if !(1..=4).contains(&axes) {
            return Err(Problem::Dimensions { tensor, found: axes });
        }
        let mut fastest_first = Vec::new();
        for _ in 0..axes {
            fastest_first.push(self.u64(&format_args!("the shape of tensor `{tensor}`"))?);
        }
        let id = self.u32(&format_args!("the type of tensor `{tensor}`"))?;
        let offset = self.u64(&format_args!("the offset of tensor `{tensor}`"))?;
        if fastest_first.contains(&0) {
            return Err(Problem::ZeroDimension { tensor, shape: fastest_first });
        }
        let Some(ggml_type) = GgmlType::from_id(id) else {
            return Err(Problem::UnknownGgmlType { tensor, id });
        };
        let row = fastest_first[0];
        if !row.is_multiple_of(ggml_type.block_weights() as u64) {
            return Err(Problem::RowLength { tensor, ggml_type, row });
        }
        match checked_size(&fastest_first, ggml_type) {
            Some((shape, bytes)) => Ok(RawTensor { name: tensor, shape, ggml_type, offset, bytes }),
            None => Err(Problem::ShapeOverflow { tensor, shape: fastest_first }),
        }
    }
}

/// Shape (slowest axis first) and size in bytes of a tensor; `None` if it is too large to address.
fn checked_size(fastest_first: &[u64], ggml_type: GgmlType) -> Option<(Vec<usize>, u64)> {
    let shape: Vec<usize> =
        fastest_first.iter().rev().map(|&n| usize::try_from(n).ok()).collect::<Option<_>>()?;
    let weights = shape.iter().try_fold(1_usize, |product, &n| product.checked_mul(n))?;
    Some((shape, ggml_type.bytes_of(weights)? as u64))
}

fn alignment(metadata: &[(String, Value)]) -> Result<u64, Problem> {
    match metadata.iter().find(|(key, _)| key == "general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some((_, Value::U32(alignment))) if alignment.is_power_of_two() => Ok((*alignment).into()),
        Some((_, other)) => Err(Problem::Alignment { found: format!("{other:?}") }),
    }
}

/// Turns tensor offsets into byte ranges of the file.
///
/// A truncated file is reported last, after all other checks, with the total number of missing bytes.
fn place_tensors(
    raw: Vec<RawTensor>,
    header_end: u64,
    alignment: u64,
    file_bytes: u64,
) -> Result<Vec<TensorInfo>, Problem> {
    // This cannot overflow: a mapping is smaller than 2^63 and the alignment is at most 2^31.
    let data_start = header_end.next_multiple_of(alignment);
    let mut expected_bytes = 0;
    let mut incomplete = None;
    let mut ranges = Vec::with_capacity(raw.len());
    for (index, tensor) in raw.iter().enumerate() {
        if !tensor.offset.is_multiple_of(alignment) {
            return Err(Problem::Misaligned {
                tensor: tensor.name.clone(),
                offset: tensor.offset,
                alignment,
            });
        }
        let start = data_start.checked_add(tensor.offset);
        let Some((start, end)) = start.and_then(|start| Some((start, start.checked_add(tensor.bytes)?)))
        else {
            let shape = tensor.shape.iter().rev().map(|&n| n as u64).collect();
            return Err(Problem::ShapeOverflow { tensor: tensor.name.clone(), shape });
        };
        if end > file_bytes && incomplete.is_none() {
            incomplete = Some(index);
        }
        expected_bytes = expected_bytes.max(end);
        ranges.push(start..end);
    }
    refuse_overlaps(&raw, &ranges)?;
    if let Some(index) = incomplete {
        let tensor = raw[index].name.clone();
        let missing = expected_bytes - file_bytes;
        return Err(Problem::TruncatedData { tensor, file_bytes, expected_bytes, missing });
    }
    let infos = raw.into_iter().zip(ranges).map(|(tensor, range)| TensorInfo {
        name: tensor.name,
        shape: tensor.shape,
        ggml_type: tensor.ggml_type,
        // The casts cannot truncate: the range lies inside the mapping.
        range: range.start as usize..range.end as usize,
    });
    Ok(infos.collect())
}

fn refuse_overlaps(raw: &[RawTensor], ranges: &[Range<u64>]) -> Result<(), Problem> {
    let mut by_start: Vec<usize> = (0..ranges.len()).collect();
    by_start.sort_by_key(|&index| ranges[index].start);
    for pair in by_start.windows(2) {
        if ranges[pair[1]].start < ranges[pair[0]].end {
            let (first, second) = (raw[pair[0]].name.clone(), raw[pair[1]].name.clone());
            return Err(Problem::Overlap { first, second });
        }
    }
    Ok(())
}
