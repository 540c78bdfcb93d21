//! One place in a JSON schema with its `$ref`s followed.

use serde_json::Value as Json;

/// How many `$ref`s may lead to one another.
const MAX_REFS: usize = 16;

/// A schema as it applies to a value, flags that stand beside a `$ref` included.
#[derive(Clone, Copy)]
pub(crate) struct View<'s> {
    /// The whole document, which `$ref` refers into.
    pub(crate) root: &'s Json,
    /// The schema itself.
    pub(crate) schema: &'s Json,
    /// `x-optional`: null turns the block on, `enabled: false` turns it off.
    pub(crate) optional: bool,
    /// `x-secret`: the value is never printed.
    pub(crate) secret: bool,
}

impl<'s> View<'s> {
    pub(crate) fn root(schema: &'s Json) -> Self {
        Self { root: schema, schema, optional: false, secret: false }.at(schema)
    }

    /// The view of a schema inside the same document.
    pub(crate) fn at(&self, schema: &'s Json) -> Self {
        let flag = |schema: &Json, name: &str| schema.get(name).and_then(Json::as_bool).unwrap_or(false);
        let mut view = Self { root: self.root, schema, optional: false, secret: false };
        for _ in 0..MAX_REFS {
            view.optional |= flag(view.schema, "x-optional");
            view.secret |= flag(view.schema, "x-secret");
            let target = view
                .schema
                .get("$ref")
                .and_then(Json::as_str)
                .and_then(|reference| view.root.pointer(reference.trim_start_matches('#')));
            // `allOf` around one schema is how a flag is put beside a reference.
            let only = match view.schema.get("allOf").and_then(Json::as_array).map(Vec::as_slice) {
                Some([only]) => Some(only),
                _ => None,
            };
            match target.or(only) {
                Some(next) => view.schema = next,
                None => break,
            }
        }
        view
    }

    /// Whether what stands here is or may hold a secret, so that no message may repeat it.
    pub(crate) fn hides(&self) -> bool {
        let items = self.schema.get("items").map(|schema| self.at(schema));
        self.secret
            || self.free_values().into_iter().chain(items).any(|view| view.secret)
            || self.properties().any(|(_, view)| view.secret)
            || self.branches().iter().any(View::hides)
    }

    pub(crate) fn text(&self, keyword: &str) -> Option<&'s str> {
        self.schema.get(keyword).and_then(Json::as_str)
    }

    /// The options of an object.
    pub(crate) fn properties(&self) -> impl Iterator<Item = (&'s str, View<'s>)> + use<'s> {
        let view = *self;
        let properties = view.schema.get("properties").and_then(Json::as_object);
        properties.into_iter().flatten().map(move |(key, schema)| (key.as_str(), view.at(schema)))
    }

    pub(crate) fn property(&self, key: &str) -> Option<View<'s>> {
        self.schema.get("properties")?.get(key).map(|schema| self.at(schema))
    }

    /// What the values of a free map must be, if this is one.
    pub(crate) fn free_values(&self) -> Option<View<'s>> {
        match self.schema.get("additionalProperties") {
            Some(Json::Object(_)) => self.schema.get("additionalProperties").map(|schema| self.at(schema)),
            _ => None,
        }
    }

    /// Whether keys beyond `properties` are allowed, whatever they hold.
    pub(crate) fn is_open(&self) -> bool {
        match self.schema.get("additionalProperties") {
            Some(Json::Bool(open)) => *open,
            Some(_) => false,
            // A derived struct without `deny_unknown_fields` is closed all the same: unknown keys are errors.
            None => self.schema.get("properties").is_none() && self.branches().is_empty(),
        }
    }

    /// What a keyword that maps names to reasons (`x-not-supported`, `x-without-meaning`) has to say.
    pub(crate) fn reasons(&self, keyword: &str) -> impl Iterator<Item = (&'s str, &'s str)> + use<'s> {
        let map = self.schema.get(keyword).and_then(Json::as_object);
        map.into_iter().flatten().map(|(name, reason)| (name.as_str(), reason.as_str().unwrap_or_default()))
    }

    /// The reason that such a keyword gives for one name.
    pub(crate) fn reason(&self, keyword: &str, name: &str) -> Option<&'s str> {
        self.reasons(keyword).find(|(known, _)| *known == name).map(|(_, reason)| reason)
    }

    /// The texts of a list-valued keyword such as `required`.
    pub(crate) fn names(&self, keyword: &str) -> impl Iterator<Item = &'s str> + use<'s> {
        let names = self.schema.get(keyword).and_then(Json::as_array);
        names.into_iter().flatten().filter_map(Json::as_str)
    }

    /// The alternatives of `oneOf` or `anyOf`, without that of null.
    pub(crate) fn branches(&self) -> Vec<View<'s>> {
        let branches = self.schema.get("oneOf").or_else(|| self.schema.get("anyOf")).and_then(Json::as_array);
        let all = branches.into_iter().flatten().map(|schema| self.at(schema));
        all.filter(|view| view.text("type") != Some("null")).collect()
    }

    /// Whether null is a value of its own.
    pub(crate) fn nullable(&self) -> bool {
        let branches = self.schema.get("oneOf").or_else(|| self.schema.get("anyOf")).and_then(Json::as_array);
        self.types().any(|name| name == "null")
            || branches.into_iter().flatten().any(|schema| schema["type"] == "null")
    }

    /// The JSON types that are allowed; none if the schema does not say.
    pub(crate) fn types(&self) -> impl Iterator<Item = &'s str> + use<'s> {
        self.text("type").into_iter().chain(self.names("type"))
    }

    pub(crate) fn has_type(&self, wanted: &str) -> bool {
        self.types().any(|name| name == wanted)
    }

    /// The fixed texts a value may be, if that is all it may be.
    pub(crate) fn choices(&self) -> Option<Vec<&'s str>> {
        if let Some(text) = self.text("const") {
            return Some(vec![text]);
        }
        if self.schema.get("enum").is_some() {
            return Some(self.names("enum").collect());
        }
        let branches = self.branches();
        if branches.is_empty() {
            return None;
        }
        branches.iter().map(View::choices).collect::<Option<Vec<_>>>().map(|all| all.concat())
    }

    /// What is expected, in words.
    pub(crate) fn words(&self) -> String {
        if let Some(choices) = self.choices() {
            return one_of(choices);
        }
        match self.text("format") {
            Some("duration") => return "a duration such as `300ms` or `1h30m`".to_owned(),
            Some("byte-size") => return "a size such as `1048576`, `64MiB` or `10MB`".to_owned(),
            _ => {}
        }
        let branches = self.branches();
        if !branches.is_empty() {
            let mut words: Vec<_> = branches.iter().map(View::words).collect();
            words.dedup();
            return words.join(" or ");
        }
        let words: Vec<_> = self.types().filter_map(|name| self.type_words(name)).collect();
        if words.is_empty() { "something else".to_owned() } else { words.join(" or ") }
    }

    fn type_words(&self, name: &str) -> Option<String> {
        Some(match name {
            "string" => "text".to_owned(),
            "boolean" => "`true` or `false`".to_owned(),
            "array" => "a list".to_owned(),
            "object" => "a map".to_owned(),
            "integer" => format!("a whole number{}", self.bounds()),
            "number" => format!("a number{}", self.bounds()),
            _ => return None,
        })
    }

    /// The least and the greatest number allowed, by keyword or by the format that `schemars` names after the type.
    pub(crate) fn limits(&self) -> (Option<f64>, Option<f64>) {
        let bound = |keyword| self.schema.get(keyword).and_then(Json::as_f64);
        let (least, most) = match self.text("format") {
            Some("int8") => (Some(f64::from(i8::MIN)), Some(f64::from(i8::MAX))),
            Some("int16") => (Some(f64::from(i16::MIN)), Some(f64::from(i16::MAX))),
            Some("int32") => (Some(f64::from(i32::MIN)), Some(f64::from(i32::MAX))),
            Some("uint8") => (Some(0.0), Some(f64::from(u8::MAX))),
            Some("uint16") => (Some(0.0), Some(f64::from(u16::MAX))),
            Some("uint32") => (Some(0.0), Some(f64::from(u32::MAX))),
            _ => (None, None),
        };
        (bound("minimum").or(least), bound("maximum").or(most))
    }

    fn bounds(&self) -> String {
        match self.limits() {
            (Some(least), Some(most)) => format!(" from {least} to {most}"),
            (Some(0.0), None) => ", not negative".to_owned(),
            (Some(least), None) => format!(", at least {least}"),
            (None, Some(most)) => format!(", at most {most}"),
            (None, None) => String::new(),
        }
    }
}

/// ``one of `a`, `b` or `c` ``, or just the one.
pub(crate) fn one_of<S: std::fmt::Display>(names: Vec<S>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}
