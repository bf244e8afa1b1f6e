//! The parameter `options`: settings of the session as on the server's command line.

use super::AddressError;

/// The settings in `-c name=value --name=value`, where a backslash removes the special meaning of the next character.
pub(super) fn settings(text: &str) -> Result<Vec<(String, String)>, AddressError> {
    let words = words(text);
    let mut words = words.iter().filter(|word| !word.is_empty());
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            Some("") => words.next().map_or("", String::as_str),
            Some(setting) => setting,
            None => "",
        };
        let Some((name, value)) = setting.split_once('=') else {
            let why = format!("`{word}` is not a setting such as `-c work_mem=8MB`");
            return Err(AddressError::Value { name: "options", why });
        };
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => words.last_mut().map_or((), |word| word.extend(characters.next())),
            _ if character.is_whitespace() => words.push(String::new()),
            _ => words.last_mut().map_or((), |word| word.push(character)),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::settings;

    #[test]
    fn settings_of_the_server_are_read_one_by_one() {
        let read = settings("-c work_mem=8MB --search-path=a,b  -c application_name=my\\ name -cgeqo=off").unwrap();
        let expected = [("work_mem", "8MB"), ("search_path", "a,b"), ("application_name", "my name"), ("geqo", "off")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for wrong in ["-d 5", "-c", "-c work_mem", "work_mem=8MB"] {
            assert!(settings(wrong).unwrap_err().to_string().contains("wrong `options`"), "{wrong}");
        }
    }
}
