//! The model's own chat template, rendered with its own text kept apart from the content of messages.
//!
//! Where in the flow: the engine renders prompts with it; the trainer renders whole conversations and puts
//! the loss on the answers.
//!
//! A template is a Jinja program in the model file, written for Hugging Face's environment, which is rebuilt
//! here: block trimming, loop controls, `raise_exception`, and the string methods in use (`methods.rs`).
//! `strftime_now` is not defined, so templates that use the date fall back to a fixed one, and a prompt does
//! not depend on the day on which it is rendered.
//!
//! The template does not see the contents of messages. It gets a mark for each, and the output is split at
//! the marks. What is between them is the template's own text, the only text that may become control tokens.
//! A user who writes `<|im_end|>` gets its ten characters as plain text.
//!
//! **Invariant:** each message with text occurs exactly once in the output, as one part of its own, in the
//! template's order; and rendering never reads a clock.

mod methods;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};

use super::{Error, Message, Part};

/// Private-use characters around the index of a message: no template and no tokenizer gives them a meaning.
const MARK_START: char = '\u{E0F1}';
const MARK_END: char = '\u{E0F2}';

/// Surrounds a mark. It counts as white space, so it disappears exactly if the template trims contents, in
/// which case the real content is trimmed too.
const PAD: char = '\u{2003}';

const NAME: &str = "chat_template";

/// A part of a rendered conversation, and the message whose content it is (`None`: the template's own text).
pub(super) type SourcedPart = (Part, Option<usize>);

/// A chat template that parses.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

impl ChatTemplate {
    /// Parses a template. It may use the tokens as `bos_token` and `eos_token`.
    ///
    /// # Errors
    /// It is not valid Jinja.
    pub fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<Self, Error> {
        if source.contains([MARK_START, MARK_END, PAD]) {
            let reason = "it contains characters that evol reserves for marking messages".to_owned();
            return Err(Error::Template { reason });
        }
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| Error::template(&error))?);
        environment.set_unknown_method_callback(methods::call);
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| Error::template(&error))?;
        Ok(Self { environment, bos_token: bos_token.to_owned(), eos_token: eos_token.to_owned() })
    }

    /// Renders a conversation; `add_generation_prompt` as in Hugging Face: end where the assistant's answer
    /// starts.
    ///
    /// Contents are parts of their own and not `special`; the template's text is `special`. If the template
    /// renders the first messages the same way whatever follows, as all common ones do, the parts of
    /// `messages[..n]` with a generation prompt are a prefix of the parts of the whole conversation, and the
    /// next part is the content of the assistant's `messages[n]`.
    ///
    /// # Errors
    /// The template fails, drops or repeats a message, or a role is not one of the three.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<Part>, Error> {
        let parts = self.render_sourced(messages, add_generation_prompt)?;
        Ok(parts.into_iter().map(|(part, _)| part).collect())
    }

    pub(super) fn render_sourced(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<Vec<SourcedPart>, Error> {
        if let Some(bad) =
            messages.iter().find(|m| !["system", "user", "assistant"].contains(&m.role.as_str()))
        {
            return Err(Error::Role { role: bad.role.clone() });
        }
        let marked: Vec<Value> = messages.iter().enumerate().map(|(i, m)| marked(i, m)).collect();
        let context = context! {
            messages => marked,
            add_generation_prompt,
            bos_token => self.bos_token.as_str(),
            eos_token => self.eos_token.as_str(),
        };
        let template = self.environment.get_template(NAME).expect("added when this was made");
        let output = template.render(context).map_err(|error| Error::template(&error))?;
        let parts = split(&output, messages)?;
        check_once(&output, messages)?;
        Ok(parts)
    }
}

/// The message with a mark in place of its content. Empty content stays empty, because templates leave out
/// blocks for it.
fn marked(index: usize, message: &Message) -> Value {
    let content = if message.content.is_empty() {
        String::new()
    } else {
        format!("{PAD}{MARK_START}{index}{MARK_END}{PAD}")
    };
    context! { role => message.role.as_str(), content }
}

fn mark(index: usize) -> String {
    format!("{MARK_START}{index}{MARK_END}")
}

fn check_once(output: &str, messages: &[Message]) -> Result<(), Error> {
    for (index, message) in messages.iter().enumerate().filter(|(_, m)| !m.content.is_empty()) {
        let times = output.matches(&mark(index)).count();
        if times != 1 {
            return Err(Error::TemplateMessage { message: index + 1, role: message.role.clone(), times });
        }
    }
    Ok(())
}

/// Splits the template's output at the marks and puts the contents in their place.
fn split(output: &str, messages: &[Message]) -> Result<Vec<SourcedPart>, Error> {
    let mut parts = Vec::new();
    let mut push = |text: &str, source: Option<usize>| {
        if !text.is_empty() {
            parts.push((Part { text: text.to_owned(), special: source.is_none() }, source));
        }
    };
    let mut rest = output;
    while let Some((before, after)) = rest.split_once(MARK_START) {
        let broken = || Error::Template { reason: "it splits or changes the content of messages".to_owned() };
        let (index, after) = after.split_once(MARK_END).ok_or_else(broken)?;
        let index: usize = index.parse().map_err(|_| broken())?;
        let content = messages.get(index).ok_or_else(broken)?.content.as_str();
        let (before, content) = match before.strip_suffix(PAD) {
            Some(kept) => (kept, content),
            None => (before, content.trim_start()),
        };
        let (after, content) = match after.strip_prefix(PAD) {
            Some(kept) => (kept, content),
            None => (after, content.trim_end()),
        };
        push(before, None);
        push(content, Some(index));
        rest = after;
    }
    push(rest, None);
    Ok(parts)
}
