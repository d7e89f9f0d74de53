//! Who runs the program, for audit records.

use crate::audit::Caller;
use crate::error::AuditFieldError;

/// The user as the operating system knows it, not as the environment calls itself: `1000(alice)`,
/// as `id` writes it, or the number alone where `/etc/passwd` has no name for it.
pub(super) fn caller() -> Result<Caller, AuditFieldError> {
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let request = format!("pid {}", std::process::id());
    Caller::new(&principal(uid, &passwd), &request, "command line")
}

fn principal(uid: u32, passwd: &str) -> String {
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        let is_plain = !name.is_empty() && name.len() <= 64 && !name.contains(char::is_control);
        (number.parse() == Ok(uid) && is_plain).then_some(name)
    });
    match named {
        Some(name) => format!("{uid}({name})"),
        None => uid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_number_and_by_name_where_there_is_one() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbad\nalice:x:1000:1000::/home/alice:\n";
        assert_eq!(principal(1000, passwd), "1000(alice)");
        assert_eq!(principal(0, passwd), "0(root)");
        assert_eq!(principal(7, passwd), "7");
    }
}
