//! The configuration file: TOML, read strictly, with everything that is wrong with it at once.
//!
//! Unknown fields, wrong types, values out of range and secrets written out are refused, each with
//! its line and full name, none with its value. Paths are taken relative to the file's directory.

#[cfg(feature = "vault")]
mod vault;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{AuditConfig, BackendConfig, Config, HostConfig, ObjectsConfig, Profile};
use crate::audit::Release;
#[cfg(feature = "local")]
use crate::backend::local::{Anchor, LocalConfig, RootKey};
use crate::backend::source::KeySource;
use crate::backend::static_key::StaticConfig;
use crate::error::{ConfigErrors, ConfigProblem, Error, KeystoreError, KeystoreProblem};
use crate::key::KeyId;
use crate::limits::{CONFIG_BYTES_MAX, OBJECT_THREADS_MAX};

impl Config {
    /// The configuration in the file at `path`.
    ///
    /// # Errors
    /// [`ConfigErrors`] with everything that is wrong with it, [`KeystoreError`] with the path if
    /// it cannot be read.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let text = read(path)?;
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        Self::from_toml(&text, base).map_err(|errors| {
            let file = Some(path.to_owned());
            ConfigErrors { file, ..errors }.into()
        })
    }

    /// The configuration in `text`, whose paths are relative to `base`.
    ///
    /// # Errors
    /// [`ConfigErrors`] with everything that is wrong with it.
    pub fn from_toml(text: &str, base: &Path) -> Result<Self, ConfigErrors> {
        let mut walk = Walk { text, base, problems: Vec::new() };
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            // Its message only: its display repeats the line, which may hold anything.
            let at = error.span().map(|span| span.start);
            walk.problem(at, "", error.message());
        }
        if !walk.problems.is_empty() {
            return Err(walk.into_errors());
        }
        let config = walk.config(document.get_ref());
        match config {
            Some(config) if walk.problems.is_empty() => {
                config.check()?;
                Ok(config)
            }
            Some(_) | None => Err(walk.into_errors()),
        }
    }
}

fn read(path: &Path) -> Result<String, KeystoreError> {
    use std::io::Read;
    let failed = |error: std::io::Error| {
        let problem = match error.kind() {
            std::io::ErrorKind::NotFound => KeystoreProblem::Missing,
            kind => KeystoreProblem::Io { operation: "reading it", kind },
        };
        KeystoreError::new(path, problem)
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    let limit = u64::try_from(CONFIG_BYTES_MAX).unwrap_or(u64::MAX);
    file.take(limit.saturating_add(1)).read_to_string(&mut text).map_err(failed)?;
    if text.len() > CONFIG_BYTES_MAX {
        return Err(KeystoreError::new(path, KeystoreProblem::TooLarge));
    }
    Ok(text)
}

/// A document that is being read.
struct Walk<'t> {
    text: &'t str,
    base: &'t Path,
    problems: Vec<ConfigProblem>,
}

/// One table of it, with its full name.
#[derive(Clone, Copy)]
struct Section<'s> {
    name: &'s str,
    table: &'s DeTable<'s>,
}

impl<'s> Section<'s> {
    fn find(&self, field: &str) -> Option<&'s Spanned<DeValue<'s>>> {
        let mut entries = self.table.iter();
        entries.find(|(name, _)| name.get_ref() == field).map(|(_, value)| value)
    }

    fn full(&self, field: &str) -> String {
        if self.name.is_empty() { field.to_owned() } else { format!("{}.{field}", self.name) }
    }
}

impl Walk<'_> {
    fn config(&mut self, document: &DeTable<'_>) -> Option<Config> {
        let root = Section { name: "", table: document };
        self.only(root, &["audit", "backend", "default_key", "host", "objects", "profile"]);
        let profile = self.word(
            root,
            "profile",
            &[("development", Profile::Development), ("production", Profile::Production)],
        );
        let default_key = self.parsed::<KeyId>(root, "default_key");
        let audit = self.audit(root);
        let host = self.host(root);
        let objects = self.objects(root);
        let backend = self.backend(root)?;
        let mut config = Config::new(backend);
        config.profile = profile.unwrap_or_default();
        match (default_key, &config.backend) {
            (Some(key), _) => config.default_key = Some(key),
            (None, BackendConfig::Static(only)) => config.default_key = Some(only.key.clone()),
            #[cfg(feature = "local")]
            (None, BackendConfig::Local(_)) => {}
            #[cfg(feature = "vault")]
            (None, BackendConfig::VaultKv2(_) | BackendConfig::VaultTransit(_)) => {}
        }
        config.audit = audit;
        config.host = host;
        config.objects = objects;
        Some(config)
    }

    fn audit(&mut self, root: Section<'_>) -> AuditConfig {
        let mut audit = AuditConfig::default();
        if let Some(section) = self.section(root, "audit", "audit") {
            self.only(section, &["release"]);
            let words = [
                ("accepted", Release::Accepted),
                ("durable", Release::Durable),
                ("unaudited", Release::Unaudited),
            ];
            audit.release = self.word(section, "release", &words).unwrap_or_default();
        }
        audit
    }

    fn host(&mut self, root: Section<'_>) -> HostConfig {
        let mut host = HostConfig::default();
        if let Some(section) = self.section(root, "host", "host") {
            self.only(section, &["cloned_host", "harden_process", "require_locked_memory"]);
            let mut flag = |name| self.boolean(section, name).unwrap_or_default();
            host.cloned_host = flag("cloned_host");
            host.harden_process = flag("harden_process");
            host.require_locked_memory = flag("require_locked_memory");
        }
        host
    }

    fn objects(&mut self, root: Section<'_>) -> ObjectsConfig {
        let mut objects = ObjectsConfig::default();
        if let Some(section) = self.section(root, "objects", "objects") {
            self.only(section, &["threads"]);
            objects.threads = self.number(section, "threads", OBJECT_THREADS_MAX);
        }
        objects
    }

    fn backend(&mut self, root: Section<'_>) -> Option<BackendConfig> {
        let Some(section) = self.section(root, "backend", "backend") else {
            self.problem(
                None,
                "backend",
                "is missing: name a kind, `local`, `static`, `vault-kv2` or `vault-transit`",
            );
            return None;
        };
        self.only(section, &["kind", "local", "static", "vault"]);
        let kind = section.find("kind");
        let at = kind.map(|kind| kind.span().start);
        match self.string(section, "kind").as_deref() {
            Some("local") => self.local(section),
            Some("static") => self.fixed(section),
            #[cfg(feature = "vault")]
            Some("vault-kv2") => self.vault(section).map(BackendConfig::VaultKv2),
            #[cfg(feature = "vault")]
            Some("vault-transit") => self.vault(section).map(BackendConfig::VaultTransit),
            #[cfg(not(feature = "vault"))]
            Some("vault-kv2" | "vault-transit") => {
                self.problem(at, "backend.kind", "`vault-..` is not in this build");
                None
            }
            Some(_) => {
                self.problem(at, "backend.kind", &format!("is not a backend: use {KINDS}"));
                None
            }
            None if kind.is_none() => {
                self.problem(None, "backend.kind", &format!("is missing: use {KINDS}"));
                None
            }
            None => None,
        }
    }

    #[cfg(feature = "local")]
    fn local(&mut self, backend: Section<'_>) -> Option<BackendConfig> {
        let Some(section) = self.section(backend, "local", "backend.local") else {
            self.problem(None, "backend.local", "is missing: it names directory and root_key");
            return None;
        };
        self.only(section, &["anchor", "directory", "root_key"]);
        let directory = self.required(section, "directory");
        let root_key = self.source(section, "root_key", ROOT_KEY_SOURCES);
        let anchor = match section.find("anchor") {
            Some(_) => self.source(section, "anchor", &["file"]),
            None => Some((String::new(), String::new())),
        };
        let root_key = match root_key? {
            (kind, file) if kind == "file" => RootKey::File(self.path(&file)),
            (kind, name) if kind == "env" => RootKey::Env(name),
            (kind, name) if kind == "passphrase_env" => RootKey::PassphraseEnv(name),
            (_, name) => RootKey::Credential(name),
        };
        let anchor = match anchor? {
            (kind, file) if kind == "file" => Anchor::File(self.path(&file)),
            (_, _) => Anchor::None,
        };
        let directory = self.path(&directory?);
        Some(LocalConfig::new(directory, root_key, anchor).into())
    }

    #[cfg(not(feature = "local"))]
    fn local(&mut self, _: Section<'_>) -> Option<BackendConfig> {
        self.problem(None, "backend.kind", "`local` is not in this build");
        None
    }

    fn fixed(&mut self, backend: Section<'_>) -> Option<BackendConfig> {
        let Some(section) = self.section(backend, "static", "backend.static") else {
            self.problem(None, "backend.static", "is missing: it names key and source");
            return None;
        };
        self.only(section, &["key", "source"]);
        let key = self.parsed::<KeyId>(section, "key");
        if section.find("key").is_none() {
            self.problem(None, "backend.static.key", "is missing");
        }
        let source = match self.source(section, "source", &["file", "env", "credential"])? {
            (kind, file) if kind == "file" => KeySource::File(self.path(&file)),
            (kind, name) if kind == "env" => KeySource::Env(name),
            (_, name) => KeySource::Credential(name),
        };
        Some(StaticConfig::new(key?, source).into())
    }

    /// Where a secret comes from: a table of exactly one of `kinds`, and its name there.
    fn source(
        &mut self,
        section: Section<'_>,
        field: &str,
        kinds: &[&str],
    ) -> Option<(String, String)> {
        let full = section.full(field);
        let forms: Vec<_> = kinds.iter().map(|kind| format!("{{ {kind} = \"..\" }}")).collect();
        let forms = forms.join(" or ");
        let Some(value) = section.find(field) else {
            self.problem(None, &full, &format!("is missing: {forms}"));
            return None;
        };
        let at = value.span().start;
        let DeValue::Table(table) = value.get_ref() else {
            let problem = format!("is not written out here, but where it comes from: {forms}");
            self.problem(Some(at), &full, &problem);
            return None;
        };
        let source = Section { name: &full, table };
        self.only(source, kinds);
        let named: Vec<_> = kinds.iter().filter(|kind| source.find(kind).is_some()).collect();
        match named.as_slice() {
            [kind] => self.string(source, kind).map(|name| ((**kind).to_owned(), name)),
            _ => {
                self.problem(Some(at), &full, &format!("takes exactly one of {forms}"));
                None
            }
        }
    }

    /// Refuses fields that are not `known`.
    fn only(&mut self, section: Section<'_>, known: &[&str]) {
        for (name, _) in section.table {
            let field = name.get_ref().as_ref();
            if known.contains(&field) {
                continue;
            }
            let looks_secret = ["key", "pass", "secret", "token"]
                .iter()
                .any(|word| field.to_ascii_lowercase().contains(word));
            let nearest = known.iter().min_by_key(|known| distance(known, field));
            let problem = match nearest.filter(|nearest| distance(nearest, field) <= 3) {
                Some(nearest) => format!("is not a field; did you mean `{nearest}`?"),
                None if looks_secret => {
                    "is not a field, and a secret is never written into this file".to_owned()
                }
                None => format!("is not a field; there are {}", known.join(", ")),
            };
            self.problem(Some(name.span().start), &section.full(field), &problem);
        }
    }

    fn section<'s>(
        &mut self,
        parent: Section<'s>,
        field: &str,
        name: &'s str,
    ) -> Option<Section<'s>> {
        let value = parent.find(field)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(Section { name, table }),
            other => self.wrong_type(value.span().start, name, "a table", other),
        }
    }

    fn string(&mut self, section: Section<'_>, field: &str) -> Option<String> {
        let value = section.find(field)?;
        match value.get_ref() {
            DeValue::String(text) => Some(text.clone().into_owned()),
            other => self.wrong_type(value.span().start, &section.full(field), "a string", other),
        }
    }

    fn boolean(&mut self, section: Section<'_>, field: &str) -> Option<bool> {
        let value = section.find(field)?;
        match value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            other => {
                self.wrong_type(value.span().start, &section.full(field), "true or false", other)
            }
        }
    }

    /// A number from zero to `most`.
    fn number(&mut self, section: Section<'_>, field: &str, most: usize) -> Option<usize> {
        let value = section.find(field)?;
        let (at, name) = (value.span().start, section.full(field));
        let DeValue::Integer(number) = value.get_ref() else {
            return self.wrong_type(at, &name, "a number", value.get_ref());
        };
        let parsed = usize::from_str_radix(number.as_str(), number.radix()).ok();
        let number = parsed.filter(|&number| number <= most);
        if number.is_none() {
            self.problem(Some(at), &name, &format!("is not a number from 0 to {most}"));
        }
        number
    }

    fn required(&mut self, section: Section<'_>, field: &str) -> Option<String> {
        if section.find(field).is_none() {
            self.problem(None, &section.full(field), "is missing");
        }
        self.string(section, field)
    }

    fn parsed<T: FromStr<Err: core::fmt::Display>>(
        &mut self,
        section: Section<'_>,
        field: &str,
    ) -> Option<T> {
        let text = self.string(section, field)?;
        let at = section.find(field).map(|value| value.span().start);
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                // Errors of parsing name what is wrong and never repeat the text.
                let problem = error.to_string();
                self.problem(at, &section.full(field), &problem);
                None
            }
        }
    }

    fn word<T: Copy>(
        &mut self,
        section: Section<'_>,
        field: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let text = self.string(section, field)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let at = section.find(field).map(|value| value.span().start);
            let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            let problem = format!("is not one of {}", words.join(", "));
            self.problem(at, &section.full(field), &problem);
        }
        found.map(|(_, value)| *value)
    }

    fn wrong_type<T>(
        &mut self,
        at: usize,
        field: &str,
        wants: &str,
        is: &DeValue<'_>,
    ) -> Option<T> {
        let is = match is {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.problem(Some(at), field, &format!("is {is}, not {wants}"));
        None
    }

    fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }

    fn problem(&mut self, at: Option<usize>, field: &str, problem: &str) {
        let line = at.and_then(|at| self.text.get(..at)).map(|before| 1 + count_lines(before));
        let (field, problem) = (field.to_owned(), problem.to_owned());
        self.problems.push(ConfigProblem { line, field, problem });
    }

    fn into_errors(mut self) -> ConfigErrors {
        self.problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        ConfigErrors { file: None, problems: self.problems }
    }
}

fn count_lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// How many characters have to change to make one name the other (Levenshtein), up to the length of
/// names worth comparing.
fn distance(known: &str, given: &str) -> usize {
    if given.len() > 2 * known.len() + 3 {
        return given.len();
    }
    let mut row: Vec<usize> = (0..=given.chars().count()).collect();
    for (i, a) in known.chars().enumerate() {
        let mut before = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(given.chars()) {
            let cost = (before + usize::from(a != b)).min(*cell + 1).min(left + 1);
            before = *cell;
            *cell = cost;
            left = cost;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

const KINDS: &str = "`local`, `static`, `vault-kv2` or `vault-transit`";

#[cfg(feature = "local")]
const ROOT_KEY_SOURCES: &[&str] = &["file", "env", "passphrase_env", "credential"];

#[cfg(test)]
mod tests;
