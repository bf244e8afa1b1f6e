//! Parses server-sent events from a byte stream, as in the HTML standard (section 9.2.6).
//!
//! Bound: one event has at most 16 MiB; our server never sends more. This is not `eventsource-stream` or `sse-stream`, because both
//! store an event of any size, and the latter refuses a field without a colon.

const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One dispatched event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// The value of `event:`; empty means `message`.
    pub(crate) name: String,
    /// The values of `data:`, joined by line feeds.
    pub(crate) data: String,
    /// The last `id:` seen on this stream.
    pub(crate) id: Option<String>,
}

/// The stream sent an event larger than the bound.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server sent an event larger than {EVENT_BYTES_MAX} bytes")]
pub(crate) struct TooLarge;

/// Stores the part of an unfinished event that has arrived.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    pending: Event,
    has_data: bool,
    last_id: Option<String>,
}

impl Parser {
    /// Takes the next bytes; returns the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLarge> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.line);
            events.extend(self.take_line(String::from_utf8_lossy(&line).trim_end_matches('\r')));
        }
        self.line.extend_from_slice(rest);
        if self.line.len() + self.pending.data.len() > EVENT_BYTES_MAX { Err(TooLarge) } else { Ok(events) }
    }

    fn take_line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let mut event = std::mem::take(&mut self.pending);
            event.id.clone_from(&self.last_id);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.pending.name),
            "data" => self.add_data(value),
            "id" => self.last_id = Some(value.to_owned()),
            _ => {}
        }
        None
    }

    fn add_data(&mut self, value: &str) {
        if std::mem::replace(&mut self.has_data, true) {
            self.pending.data.push('\n');
        }
        self.pending.data.push_str(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str, id: Option<&str>) -> Event {
        Event { name: name.into(), data: data.into(), id: id.map(str::to_owned) }
    }

    #[test]
    fn events_come_out_whole_however_the_bytes_are_cut() {
        let text = ": hello\n\nevent: run-log\nid: 3\ndata: {\"é\":1}\n\ndata: a\r\ndata:b\r\n\r\nevent: empty\n\nretry: 5\n";
        let want = [event("run-log", "{\"é\":1}", Some("3")), event("", "a\nb", Some("3"))];
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                events.extend(parser.push(chunk).unwrap());
            }
            assert_eq!(events, want, "chunks of {size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        assert_eq!(Parser::default().push(&vec![b'x'; EVENT_BYTES_MAX + 1]), Err(TooLarge));
    }
}
