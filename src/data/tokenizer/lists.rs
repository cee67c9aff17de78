//! The two long lists of a `tokenizer.json`, in few pieces of memory: an entry of them may be a few
//! bytes of the file, and as a value of its own takes ten times as many.

use std::fmt::{Formatter, Result as Written};

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A length in bytes.
fn length<E: Error>(text: &str) -> Result<u32, E> {
    u32::try_from(text.len()).map_err(|_| E::custom("a token is longer than 4 GiB"))
}

/// Tokens and their numbers, sorted by text.
pub(super) struct Vocabulary {
    text: String,
    tokens: Vec<Token>,
}

struct Token {
    start: usize,
    length: u32,
    id: u32,
}

impl Token {
    fn of<'a>(&self, text: &'a str) -> &'a str {
        &text[self.start..self.start + self.length as usize]
    }
}

impl Vocabulary {
    /// The number of a token.
    pub(super) fn get(&self, token: &str) -> Option<u32> {
        let found = self.tokens.binary_search_by(|other| other.of(&self.text).cmp(token));
        found.ok().map(|place| self.tokens[place].id)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// All tokens by their text.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.tokens.iter().map(|token| (token.id, token.of(&self.text)))
    }
}

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Vocabulary, D::Error> {
        from.deserialize_map(Tokens)
    }
}

struct Tokens;

impl<'de> Visitor<'de> for Tokens {
    type Value = Vocabulary;

    fn expecting(&self, to: &mut Formatter<'_>) -> Written {
        to.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
        let (mut text, mut tokens) = (String::new(), Vec::new());
        while let Some((token, id)) = map.next_entry::<String, u32>()? {
            tokens.push(Token { start: text.len(), length: length(&token)?, id });
            text.push_str(&token);
        }
        let key = |token: &Token| (token.of(&text), token.start);
        tokens.sort_unstable_by(|a, b| key(a).cmp(&key(b)));
        // Of a token that comes several times the last number counts.
        tokens.dedup_by(|next, kept| {
            let same = next.of(&text) == kept.of(&text);
            if same {
                std::mem::swap(next, kept);
            }
            same
        });
        tokens.shrink_to_fit();
        Ok(Vocabulary { text, tokens })
    }
}

/// Pairs of tokens, by rank.
pub(super) struct Pairs {
    text: String,
    /// Of both tokens of a pair.
    lengths: Vec<(u32, u32)>,
    /// Whether what comes next is no pair.
    pub(super) broken: bool,
}

impl Pairs {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lengths.len()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest = &self.text[..];
        let mut next = move |length: u32| {
            let (token, behind) = rest.split_at(length as usize);
            rest = behind;
            token
        };
        self.lengths.iter().map(move |&(a, b)| (next(a), next(b)))
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Pairs, D::Error> {
        from.deserialize_seq(Merges)
    }
}

struct Merges;

impl<'de> Visitor<'de> for Merges {
    type Value = Pairs;

    fn expecting(&self, to: &mut Formatter<'_>) -> Written {
        to.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Pairs, A::Error> {
        let mut pairs = Pairs { text: String::new(), lengths: Vec::new(), broken: false };
        while let Some(merge) = list.next_element::<Merge>()? {
            let pair = match &merge {
                Merge::Pair([a, b]) => Some((&**a, &**b)),
                Merge::Text(text) => text.split_once(' ').filter(|(_, b)| !b.contains(' ')),
            };
            pairs.broken |= pair.is_none();
            if let (Some((a, b)), false) = (pair, pairs.broken) {
                pairs.lengths.push((length(a)?, length(b)?));
                pairs.text.extend([a, b]);
            }
        }
        Ok(pairs)
    }
}

/// A merge, as it was written before and since version 0.20 of `tokenizers`.
enum Merge {
    Text(String),
    Pair([String; 2]),
}

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Merge, D::Error> {
        from.deserialize_any(OneMerge)
    }
}

struct OneMerge;

impl<'de> Visitor<'de> for OneMerge {
    type Value = Merge;

    fn expecting(&self, to: &mut Formatter<'_>) -> Written {
        to.write_str("a text or a pair of texts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Merge, E> {
        Ok(Merge::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Merge, A::Error> {
        let (a, b) = (list.next_element()?, list.next_element()?);
        match (a, b, list.next_element::<IgnoredAny>()?) {
            (Some(a), Some(b), None) => Ok(Merge::Pair([a, b])),
            _ => Err(A::Error::custom("a merge is a text or a pair of texts")),
        }
    }
}
