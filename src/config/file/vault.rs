//! `[backend.vault]` and `[backend.vault.auth]`.

use core::time::Duration;
use std::path::Path;

use toml::de::DeValue;

use super::{Section, Walk};
use crate::backend::vault::{
    AppRole, ClientCertificate, Kubernetes, SecretId, SecretSource, VaultAuth, VaultConfig,
};

const NAME: &str = "backend.vault";
const AUTH: &str = "backend.vault.auth";

impl Walk<'_> {
    pub(super) fn vault(&mut self, backend: Section<'_>) -> Option<VaultConfig> {
        let Some(section) = self.section(backend, "vault", NAME) else {
            self.problem(None, NAME, "is missing: it names addresses and auth");
            return None;
        };
        self.only(section, FIELDS);
        let addresses = self.addresses(section);
        let auth = self.auth(section);
        let mut config = VaultConfig::new(addresses?, auth?);
        self.places(section, &mut config);
        self.trust(section, &mut config);
        self.bounds(section, &mut config);
        Some(config)
    }

    fn addresses(&mut self, section: Section<'_>) -> Option<Vec<String>> {
        let full = section.full("addresses");
        let Some(value) = section.find("addresses") else {
            self.problem(None, &full, "is missing: a list of `https://host:port`");
            return None;
        };
        let at = value.span().start;
        let DeValue::Array(array) = value.get_ref() else {
            return self.wrong_type(at, &full, "a list of strings", value.get_ref());
        };
        let mut addresses = Vec::with_capacity(array.len());
        for item in array {
            match item.get_ref() {
                DeValue::String(text) => addresses.push(text.clone().into_owned()),
                other => return self.wrong_type(item.span().start, &full, "a string", other),
            }
        }
        Some(addresses)
    }

    fn places(&mut self, section: Section<'_>, config: &mut VaultConfig) {
        config.namespace = self.string(section, "namespace");
        for (field, place) in [
            ("kv_mount", &mut config.kv_mount),
            ("transit_mount", &mut config.transit_mount),
            ("key_prefix", &mut config.key_prefix),
        ] {
            if let Some(text) = self.string(section, field) {
                *place = text;
            }
        }
    }

    fn trust(&mut self, section: Section<'_>, config: &mut VaultConfig) {
        config.skip_tls_verify = self.boolean(section, "skip_tls_verify").unwrap_or_default();
        config.ca_certificate = self.string(section, "ca_certificate").map(|path| self.path(&path));
        if let Some(shown) = self.section(section, "client_certificate", CLIENT_CERTIFICATE) {
            self.only(shown, &["certificate", "private_key"]);
            let certificate = self.required(shown, "certificate");
            let private_key = self.required(shown, "private_key");
            if let (Some(certificate), Some(private_key)) = (certificate, private_key) {
                let files =
                    ClientCertificate::new(self.path(&certificate), self.path(&private_key));
                config.client_certificate = Some(files);
            }
        }
    }

    fn bounds(&mut self, section: Section<'_>, config: &mut VaultConfig) {
        for (field, bound) in [
            ("state_refresh", &mut config.state_refresh),
            ("connect_timeout", &mut config.connect_timeout),
            ("request_timeout", &mut config.request_timeout),
            ("call_deadline", &mut config.call_deadline),
            ("retry_pause_min", &mut config.retry.pause_min),
            ("retry_pause_max", &mut config.retry.pause_max),
            ("breaker_pause_min", &mut config.breaker.pause_min),
            ("breaker_pause_max", &mut config.breaker.pause_max),
            ("login_interval", &mut config.login.interval_min),
        ] {
            if let Some(time) = self.duration(section, field) {
                *bound = time;
            }
        }
        for (field, bound) in
            [("max_in_flight", &mut config.max_in_flight), ("max_waiting", &mut config.max_waiting)]
        {
            if let Some(count) = self.count(section, field) {
                *bound = count;
            }
        }
        if let Some(failures) = self.count(section, "breaker_failures") {
            config.breaker.failures_max = u32::try_from(failures).unwrap_or(u32::MAX);
        }
        if let Some(attempts) = self.count(section, "retry_attempts") {
            config.retry.attempts_max = u32::try_from(attempts).unwrap_or(u32::MAX);
        }
        config.login.revoke_on_stop =
            self.boolean(section, "revoke_token_on_stop").unwrap_or_default();
    }

    fn auth(&mut self, section: Section<'_>) -> Option<VaultAuth> {
        let Some(auth) = self.section(section, "auth", AUTH) else {
            self.problem(None, AUTH, "is missing: it names a method");
            return None;
        };
        let method = self.required(auth, "method");
        match method?.as_str() {
            "token" => {
                self.only(auth, &["method", "token_file", "token_env"]);
                let source = self.either(auth, &["token_file", "token_env"])?;
                Some(VaultAuth::Token(self.secret(source)))
            }
            "approle" => self.approle(auth),
            "kubernetes" => {
                self.only(auth, &["method", "mount", "role", "token_file"]);
                let mut kubernetes = Kubernetes::new(self.required(auth, "role")?);
                if let Some(mount) = self.string(auth, "mount") {
                    kubernetes.mount = mount;
                }
                if let Some(file) = self.string(auth, "token_file") {
                    kubernetes.token = SecretSource::File(self.path(&file));
                }
                Some(VaultAuth::Kubernetes(kubernetes))
            }
            _ => {
                let at = auth.find("method").map(|method| method.span().start);
                let problem = "is not one of `token`, `approle`, `kubernetes`";
                self.problem(at, "backend.vault.auth.method", problem);
                None
            }
        }
    }

    fn approle(&mut self, auth: Section<'_>) -> Option<VaultAuth> {
        self.only(auth, APPROLE_FIELDS);
        let role_id = self.either(auth, &["role_id_file", "role_id_env"]);
        let secret_id = self.either(auth, SECRET_ID_FIELDS);
        let (role_id, (field, place)) = (role_id?, secret_id?);
        let is_wrapped = field.starts_with("wrapped_");
        let role_id = self.secret(role_id);
        let source = self.secret((field, place));
        let secret_id =
            if is_wrapped { SecretId::Wrapped(source) } else { SecretId::Plain(source) };
        let mut approle = AppRole::new(role_id, secret_id);
        if let Some(mount) = self.string(auth, "mount") {
            approle.mount = mount;
        }
        approle.role_name = self.string(auth, "role_name");
        Some(VaultAuth::AppRole(approle))
    }

    /// The one of `fields` that is there, and what it says.
    fn either<'f>(
        &mut self,
        section: Section<'_>,
        fields: &[&'f str],
    ) -> Option<(&'f str, String)> {
        let named: Vec<_> = fields.iter().filter(|field| section.find(field).is_some()).collect();
        let [field] = named.as_slice() else {
            let fields: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
            let problem = format!("takes exactly one of {}", fields.join(", "));
            self.problem(None, section.name, &problem);
            return None;
        };
        self.string(section, field).map(|text| (**field, text))
    }

    fn secret(&self, (field, place): (&str, String)) -> SecretSource {
        if field.ends_with("_env") {
            SecretSource::Env(place)
        } else {
            SecretSource::File(self.path(Path::new(&place).to_str().unwrap_or(&place)))
        }
    }

    fn duration(&mut self, section: Section<'_>, field: &str) -> Option<Duration> {
        let text = self.string(section, field)?;
        let at = section.find(field).map(|value| value.span().start);
        let full = section.full(field);
        match humantime::parse_duration(&text) {
            Ok(time) if !time.is_zero() && time <= LONGEST => Some(time),
            Ok(_) => {
                self.problem(at, &full, "is not between 1ms and 1day");
                None
            }
            Err(_error) => {
                self.problem(at, &full, "is not a time such as \"10s\" or \"1m 30s\"");
                None
            }
        }
    }

    fn count(&mut self, section: Section<'_>, field: &str) -> Option<usize> {
        let value = section.find(field)?;
        let (at, full) = (value.span().start, section.full(field));
        let DeValue::Integer(number) = value.get_ref() else {
            return self.wrong_type(at, &full, "an integer", value.get_ref());
        };
        let number = usize::from_str_radix(number.as_str(), number.radix()).ok();
        let number = number.filter(|number| (1..=COUNT_MAX).contains(number));
        if number.is_none() {
            self.problem(Some(at), &full, "is not between 1 and 65536");
        }
        number
    }
}

const FIELDS: &[&str] = &[
    "addresses",
    "auth",
    "breaker_failures",
    "breaker_pause_max",
    "breaker_pause_min",
    "ca_certificate",
    "call_deadline",
    "client_certificate",
    "connect_timeout",
    "key_prefix",
    "kv_mount",
    "login_interval",
    "max_in_flight",
    "max_waiting",
    "namespace",
    "request_timeout",
    "retry_attempts",
    "retry_pause_max",
    "retry_pause_min",
    "revoke_token_on_stop",
    "skip_tls_verify",
    "state_refresh",
    "transit_mount",
];

const APPROLE_FIELDS: &[&str] = &[
    "method",
    "mount",
    "role_id_env",
    "role_id_file",
    "role_name",
    "secret_id_env",
    "secret_id_file",
    "wrapped_secret_id_env",
    "wrapped_secret_id_file",
];

const SECRET_ID_FIELDS: &[&str] =
    &["secret_id_file", "secret_id_env", "wrapped_secret_id_file", "wrapped_secret_id_env"];

const CLIENT_CERTIFICATE: &str = "backend.vault.client_certificate";

const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

const COUNT_MAX: usize = 1 << 16;
