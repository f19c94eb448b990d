//! Text to tokens and back.
//!
//! Where in the flow: the engine tokenises prompts with [`encode_list`]; the trainer uses [`Tokenizer`],
//! which loads the vocabulary without the weights, so that both sides see the same tokens.
//!
//! **Invariant:** parts are tokenised one after the other, and the tokens of a part depend on earlier tokens
//! only through the last one, so the tokens of leading parts are a prefix of the tokens of all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use super::llama::{Contents, Model};
use super::{ChatTemplate, Error, Message, Part};

/// The tokens of `parts`, with BOS first if the model adds one and the parts do not.
pub(super) fn encode(model: &Model, parts: &[Part]) -> Result<Vec<u32>, Error> {
    let mut tokens = Vec::from_iter(model.bos_to_add());
    append_all(model, &mut tokens, parts)?;
    Ok(with_one_bos(model, tokens))
}

/// [`encode`] for a list of prompts, each given as leading parts and the rest. Also returns the number of
/// tokens of the leading parts. Leading parts that repeat are tokenised once.
pub(super) fn encode_list<'p>(
    model: &Model,
    prompts: impl Iterator<Item = (&'p [Part], &'p [Part])>,
) -> Result<Vec<(Vec<u32>, usize)>, Error> {
    // For each leading parts, the tokens to append to, and their number without a doubled BOS.
    let mut heads: HashMap<&[Part], (Vec<u32>, usize)> = HashMap::new();
    let mut encoded = Vec::new();
    for (leading, rest) in prompts {
        let (head, shared) = match heads.entry(leading) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let mut tokens = Vec::from_iter(model.bos_to_add());
                append_all(model, &mut tokens, leading)?;
                let shared = with_one_bos(model, tokens.clone()).len();
                unknown.insert((tokens, shared))
            }
        };
        let mut tokens = head.clone();
        append_all(model, &mut tokens, rest)?;
        // A list may be long, and a vector that grew may have half of its memory unused.
        tokens.shrink_to_fit();
        encoded.push((with_one_bos(model, tokens), *shared));
    }
    Ok(encoded)
}

/// Drops a second BOS, for a model that adds one and a template that writes one too.
fn with_one_bos(model: &Model, mut tokens: Vec<u32>) -> Vec<u32> {
    if let (Some(bos), [first, second, ..]) = (model.bos_to_add(), tokens.as_slice())
        && *first == bos
        && *second == bos
    {
        tokens.remove(0);
    }
    tokens
}

fn append_all(model: &Model, tokens: &mut Vec<u32>, parts: &[Part]) -> Result<(), Error> {
    parts.iter().try_for_each(|part| append(model, tokens, &part.text, part.special))
}

/// Appends the tokens of `text` to `tokens`.
///
/// `SentencePiece` vocabularies put a space in front of every text, which is right only at the start and
/// after a control token. In the middle of a text it is avoided by tokenising after a line break, which never
/// merges with what follows, and dropping the tokens of the break.
pub(super) fn append(model: &Model, tokens: &mut Vec<u32>, text: &str, special: bool) -> Result<(), Error> {
    if text.is_empty() {
        return Ok(());
    }
    let continues = tokens.last().is_some_and(|&last| !model.is_control(last));
    if continues && adds_space(model)? {
        let line_break = model.tokenize("\n", false)?;
        let behind = model.tokenize(&format!("\n{text}"), special)?;
        if let Some(rest) = behind.strip_prefix(line_break.as_slice()) {
            tokens.extend_from_slice(rest);
            return Ok(());
        }
    }
    tokens.extend(model.tokenize(text, special)?);
    Ok(())
}

fn adds_space(model: &Model) -> Result<bool, Error> {
    let gguf = model.gguf();
    let sentence_piece = gguf.optional_string("tokenizer.ggml.model")? == Some("llama");
    Ok(sentence_piece && gguf.optional_bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true))
}

/// The model's chat template, if it has one.
pub(super) fn chat_template(model: &Model) -> Result<Option<ChatTemplate>, Error> {
    let Some(source) = model.gguf().optional_string("tokenizer.chat_template")? else { return Ok(None) };
    let text = |token: Option<u32>| {
        token.map(|token| String::from_utf8_lossy(&model.piece(token, true)).into_owned()).unwrap_or_default()
    };
    ChatTemplate::new(source, &text(model.bos()), &text(model.eos())).map(Some)
}

/// A vocabulary without weights, for the trainer.
#[derive(Debug)]
pub struct Tokenizer {
    model: Model,
    end_of_turn: u32,
}

impl Tokenizer {
    /// Loads the vocabulary only.
    ///
    /// # Errors
    /// The file is unusable.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let model = Model::load(path, Contents::Vocabulary)?;
        let end_of_turn = end_of_turn(&model)?;
        Ok(Self { model, end_of_turn })
    }

    /// The tokens of the parts, with BOS first if the model adds one and the template did not.
    /// The tokens of `parts[..n]` are a prefix of those of `parts`.
    ///
    /// # Errors
    /// A part cannot be tokenised.
    pub fn tokenize(&self, parts: &[Part]) -> Result<Vec<u32>, Error> {
        encode(&self.model, parts)
    }

    /// The text of tokens, including control tokens; U+FFFD for unknown tokens and invalid UTF-8.
    pub fn detokenize(&self, tokens: &[u32]) -> String {
        let known = |token: u32| (token as usize) < self.model.n_vocab();
        let bytes: Vec<u8> = tokens
            .iter()
            .flat_map(|&token| {
                if known(token) { self.model.piece(token, true) } else { "\u{FFFD}".as_bytes().to_vec() }
            })
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The chat template in the file, if any.
    ///
    /// # Errors
    /// It does not parse.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, Error> {
        chat_template(&self.model)
    }

    /// The token that ends a turn: the first end-of-generation token that the chat template writes after an
    /// answer, or else the vocabulary's end-of-sequence token.
    pub fn eos(&self) -> u32 {
        self.end_of_turn
    }

    /// Tokens in the vocabulary.
    pub fn n_vocab(&self) -> usize {
        self.model.n_vocab()
    }
}

fn end_of_turn(model: &Model) -> Result<u32, Error> {
    let default = model.eos().unwrap_or(0);
    let Some(template) = chat_template(model)? else { return Ok(default) };
    let message = |role: &str| Message { role: role.to_owned(), content: "x".to_owned() };
    // If the template fails on this, the error comes when it is used; the vocabulary is still useful.
    let Ok(parts) = template.render(&[message("user"), message("assistant")], false) else {
        return Ok(default);
    };
    let Some(after) = parts.last().filter(|part| part.special) else { return Ok(default) };
    let tokens = model.tokenize(&after.text, true)?;
    Ok(tokens.into_iter().find(|&token| model.is_end(token)).unwrap_or(default))
}
