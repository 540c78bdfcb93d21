//! The scanner: anchors in one pass, then a closer look at each.

use throughline_otlp::steps;

use crate::anchors::{Anchors, Literal};
use crate::keys::Keys;
use crate::rules::{self, Found, KEY_STEMS, Probe, Probing, Rule, Userinfo};
use crate::tag::{TagKey, replacement};
use crate::{Counts, allow, json};

/// What to leave out and what to add.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Rules that are not applied.
    pub disable: Vec<Rule>,
    /// Names whose values are secret too, in any spelling; longer names that end in them count.
    pub extra_keys: Vec<String>,
    /// Names whose values are not secret. Secrets with a shape of their own are found there all the same.
    pub allowed_keys: Vec<String>,
}

/// Finds secrets and masks them. Cheap to ask whether there are any.
#[derive(Debug)]
pub struct Scanner {
    anchors: Anchors,
    probes: Vec<Probe>,
    /// By [`Rule`].
    enabled: [bool; Rule::ALL.len()],
    keys: Keys,
    tag_key: TagKey,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

/// How often what was masked is looked at again. Each round needs secrets glued to those of the round before.
const ROUNDS: usize = 8;

impl Scanner {
    /// Makes a scanner.
    #[must_use]
    pub fn new(settings: &Settings, tag_key: TagKey) -> Self {
        let mut enabled = [true; Rule::ALL.len()];
        settings.disable.iter().for_each(|rule| enabled[*rule as usize] = false);
        let on = |rules: &[Rule]| rules.iter().any(|rule| enabled[*rule as usize]);
        let mut list: Vec<(Literal, Probe)> = rules::anchors()
            .filter(|(_, rules, _)| on(rules))
            .map(|(literal, _, probe)| (Literal::exact(literal), probe))
            .collect();
        if on(&[Rule::Key, Rule::Pair, Rule::Signature, Rule::Pagerduty]) {
            let extra = settings.extra_keys.iter().map(|key| last_word(key)).filter(|word| !word.is_empty());
            let stems = KEY_STEMS.into_iter().chain(extra);
            list.extend(stems.map(|stem| (Literal::any_case(stem), Probe::Name)));
        }
        let (literals, probes) = list.into_iter().unzip();
        Self {
            anchors: Anchors::new(literals),
            probes,
            enabled,
            keys: Keys::new(&settings.extra_keys, &settings.allowed_keys),
            tag_key,
        }
    }

    /// Where in undivided bytes (a whole request, say) secrets may be, in ascending order. What [`Self::mask`] finds in any
    /// part of the bytes is among them, and so is every name that [`Self::is_sensitive`].
    #[must_use]
    pub fn hits(&self, bytes: &[u8]) -> Vec<usize> {
        let (mut hits, mut probing) = (Vec::new(), Probing::default());
        self.anchors.each(bytes, &mut |hit| {
            if probing.is_plausible(self.probes[hit.literal], bytes, hit.start..hit.end) {
                hits.push(hit.start);
            }
        });
        let mut userinfo = Userinfo::default();
        hits.extend(memchr::memchr_iter(b'@', bytes).filter(|at| userinfo.start(bytes, *at).is_some()));
        hits.sort_unstable();
        hits
    }

    /// Whether there can be no secret in the bytes.
    #[must_use]
    pub fn is_clean(&self, bytes: &[u8]) -> bool {
        self.hits(bytes).is_empty()
    }

    /// Whether what stands under this name is secret as a whole.
    #[must_use]
    pub fn is_sensitive(&self, key: &[u8]) -> bool {
        self.is_on(Rule::Key) && self.keys.is_sensitive(key)
    }

    /// The text with the secrets in it masked; `None` if there are none. Text outside of them stays as it is, valid UTF-8 stays
    /// valid. To mask again changes nothing: what shows only once the secret glued to it is gone is masked too.
    #[must_use]
    pub fn mask(&self, text: &[u8], counts: &mut Counts) -> Option<Vec<u8>> {
        let mut round =
            |text: &[u8]| self.rewrite(text, counts, |found, secret, out| self.put(found, secret, out));
        let mut masked = round(text)?;
        for _ in 0..ROUNDS {
            match round(&masked) {
                Some(more) => masked = more,
                None => break,
            }
        }
        Some(masked)
    }

    /// The bytes with each byte of a secret overwritten by `*`; `None` if there are none. For what is framed in a way nobody here
    /// knows: nothing changes its place.
    #[must_use]
    pub fn overwrite(&self, bytes: &[u8], counts: &mut Counts) -> Option<Vec<u8>> {
        self.rewrite(bytes, counts, |_, secret, out| out.resize(out.len() + secret.len(), b'*'))
    }

    fn rewrite(
        &self,
        text: &[u8],
        counts: &mut Counts,
        mut put: impl FnMut(&Found, &[u8], &mut Vec<u8>),
    ) -> Option<Vec<u8>> {
        let found = self.find(text);
        if found.is_empty() {
            return None;
        }
        let mut out = Vec::with_capacity(text.len() + 64);
        let mut copied = 0;
        steps::add(text.len());
        for secret in found {
            out.extend_from_slice(&text[copied..secret.range.start]);
            put(&secret, &text[secret.range.clone()], &mut out);
            counts.add(secret.rule);
            copied = secret.range.end;
        }
        out.extend_from_slice(&text[copied..]);
        Some(out)
    }

    fn put(&self, found: &Found, secret: &[u8], out: &mut Vec<u8>) {
        let quote = |out: &mut Vec<u8>| {
            let Some((mark, slashes)) = found.quote else { return };
            out.resize(out.len() + slashes, b'\\');
            out.push(mark);
        };
        quote(out);
        self.tag_key.replace(found.rule, secret, out);
        quote(out);
    }

    /// The mask of a value that is secret as a whole; `None` if it only stands in for one.
    #[must_use]
    pub fn mask_whole(&self, value: &[u8], counts: &mut Counts) -> Option<Vec<u8>> {
        if allow::is_stand_in(value) {
            return None;
        }
        let mut out = Vec::with_capacity(48);
        self.tag_key.replace(Rule::Key, value, &mut out);
        counts.add(Rule::Key);
        Some(out)
    }

    /// Secrets in ascending order; what overlaps is one. In JSON none goes beyond its string.
    fn find(&self, text: &[u8]) -> Vec<Found> {
        let (mut found, mut probing) = (Vec::new(), Probing::default());
        // A value can hold the start of something longer, a token cannot.
        let mut token = 0..0;
        // Names inside a value that goes anyway need no look.
        let mut names_from = 0;
        self.anchors.each(text, &mut |hit| {
            let probe = self.probes[hit.literal];
            let is_name = matches!(probe, Probe::Name);
            if token.contains(&hit.start) || is_name && hit.start < names_from {
                return;
            }
            let secret = probing.find(probe, text, hit.start..hit.end, &self.keys, |rule| self.is_on(rule));
            if let Some(secret) = secret.filter(|secret| self.is_on(secret.rule)) {
                match is_name {
                    true => names_from = secret.range.end,
                    false => token = secret.range.clone(),
                }
                found.push(secret);
            }
        });
        rules::passwords(text, &mut found);
        found.retain(|secret| self.is_on(secret.rule));
        join(&mut found);
        if let Some(inside) = json::inside_strings(text, &found) {
            found = inside;
            join(&mut found);
        }
        found.retain(|secret| replacement(&text[secret.range.clone()]) != Some(secret.range.len()));
        found
    }

    fn is_on(&self, rule: Rule) -> bool {
        self.enabled[rule as usize]
    }
}

/// Sorts secrets, and makes one of what overlaps.
fn join(found: &mut Vec<Found>) {
    if found.len() < 2 {
        return;
    }
    found.sort_by_key(|secret| (secret.range.start, std::cmp::Reverse(secret.range.end)));
    found.dedup_by(|next, last| {
        let overlaps = next.range.start < last.range.end;
        if overlaps {
            last.range.end = last.range.end.max(next.range.end);
        }
        overlaps
    });
}

/// The last word of a name.
fn last_word(key: &str) -> &str {
    let is_word = |c: char| c.is_alphanumeric();
    let key = key.trim_end_matches(|c| !is_word(c));
    let cut = key.rfind(|c: char| !is_word(c) || c.is_uppercase());
    cut.map_or(key, |at| key[at..].trim_start_matches(|c| !is_word(c)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::PHRASES;

    /// The spellings of a phrase, alone and behind another word, and before one that says nothing.
    fn spellings(phrase: &str) -> Vec<String> {
        let capital = |word: &str| {
            let (first, rest) = word.split_at(1);
            first.to_uppercase() + rest
        };
        let mut all = Vec::new();
        for phrase in
            [phrase.to_owned(), format!("db {phrase}"), format!("{phrase} value"), format!("my {phrase} 2")]
        {
            let words: Vec<&str> = phrase.split(' ').collect();
            for glue in ["_", "-", ".", " "] {
                let name = words.join(glue);
                all.extend([
                    name.to_uppercase(),
                    words.iter().map(|w| capital(w)).collect::<Vec<_>>().join(glue),
                    name,
                ]);
            }
            let pascal: String = words.iter().map(|word| capital(word)).collect();
            let (first, rest) = pascal.split_at(1);
            all.extend([first.to_lowercase() + rest, pascal]);
        }
        all
    }

    #[test]
    fn every_secret_name_in_every_spelling_is_seen_in_undivided_bytes_and_masked_in_a_pair() {
        let scanner = Scanner::new(&Settings::default(), TagKey::new(b"key"));
        let mut missed = Vec::new();
        for name in PHRASES.iter().flat_map(|phrase| spellings(phrase)) {
            if !scanner.is_sensitive(name.as_bytes()) {
                // The shell's working directory, and names whose words cannot be told apart in capitals.
                continue;
            }
            // As an attribute: the key, then a string.
            let length = u8::try_from(name.len()).expect("it is short");
            let record = [&[0x0a, length][..], name.as_bytes(), &[0x12, 9, 0x0a, 7], b"hunter2"].concat();
            let hits = scanner.hits(&record);
            if !hits.iter().any(|at| (2..2 + name.len()).contains(at)) {
                missed.push(format!("attribute `{name}`"));
            }
            let pair = format!("{name}=hunter2secret");
            let masked = scanner.mask(pair.as_bytes(), &mut Counts::default());
            let masked = masked.map(|masked| String::from_utf8_lossy(&masked).into_owned());
            if !name.contains(' ') && masked.as_ref().is_none_or(|masked| masked.contains("hunter2")) {
                missed.push(format!("pair `{pair}`: {masked:?}"));
            }
        }
        assert!(missed.is_empty(), "{} missed: {missed:#?}", missed.len());
    }

    #[test]
    fn the_spellings_are_secret() {
        let scanner = Scanner::new(&Settings::default(), TagKey::new(b"key"));
        let all: Vec<_> = PHRASES.iter().flat_map(|phrase| spellings(phrase)).collect();
        let secret = all.iter().filter(|name| scanner.is_sensitive(name.as_bytes())).count();
        assert!(secret * 10 > all.len() * 9, "{secret} of {}", all.len());
    }
}
