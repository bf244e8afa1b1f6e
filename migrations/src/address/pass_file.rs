//! Passwords of `~/.pgpass`: lines `host:port:database:user:password`, where `*` matches anything.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Host;

/// The password of the first matching line. A file that others can read is ignored, as in libpq.
pub(super) fn password(file: &Path, host: &Host, port: u16, database: &str, user: &str) -> Option<String> {
    let mode = file.metadata().ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(file = %file.display(), "others can read this file of passwords, so it is not used; run chmod 600 on it");
        return None;
    }
    let host = match host {
        Host::Socket(_) => "localhost",
        Host::Name(name) => name,
    };
    let wanted = [host, &port.to_string(), database, user];
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| password_of(line, &wanted))
}

fn password_of(line: &str, wanted: &[&str; 4]) -> Option<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => fields.last_mut()?.extend(characters.next()),
            ':' if fields.len() < 5 => fields.push(String::new()),
            _ => fields.last_mut()?.push(character),
        }
    }
    let fits = fields.len() == 5 && fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
    fits.then(|| fields.swap_remove(4))
}
