//! A proxy before a real server that can be told to misbehave in ways the server cannot be made to.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mood {
    /// The server answers it.
    Honest,
    /// The server answers it, this much later.
    Slow(Duration),
    /// It is answered with this status and a body of Vault's kind.
    Status(u16),
    /// The server answers it, and half of the body is kept back.
    Truncated,
    /// It is answered with 200 and a page.
    Page,
    /// It is answered with 200, JSON that is no answer, and the right type.
    Nonsense,
    /// It is read and never answered.
    Silent,
    /// The connection is closed at once.
    Closed,
}

pub struct Proxy {
    pub address: String,
    mood: Arc<Mutex<Mood>>,
}

impl Proxy {
    /// A proxy before the plain listener at `port`.
    pub fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let mood = Arc::new(Mutex::new(Mood::Honest));
        let shared = Arc::clone(&mood);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mood = Arc::clone(&shared);
                std::thread::spawn(move || while pass(&mut stream, port, &mood).is_some() {});
            }
        });
        Self { address, mood }
    }

    pub fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }
}

/// Reads one request and has it answered; `None` closes the connection.
fn pass(client: &mut TcpStream, port: u16, mood: &Mutex<Mood>) -> Option<()> {
    let request = message(client)?;
    let mood = *mood.lock().unwrap();
    let forward = || {
        let mut server = TcpStream::connect(("127.0.0.1", port)).ok()?;
        server.write_all(&request).ok()?;
        message(&mut server)
    };
    let answer = match mood {
        Mood::Honest => forward()?,
        Mood::Slow(by) => {
            std::thread::sleep(by);
            forward()?
        }
        Mood::Status(status) => {
            made(status, "application/json", r#"{"errors":["proxied"]}"#, "Retry-After: 1\r\n")
        }
        Mood::Truncated => {
            let mut answer = forward()?;
            answer.truncate(answer.len().saturating_sub(20));
            client.write_all(&answer).ok()?;
            return None;
        }
        Mood::Page => made(200, "text/html", "<html>Sign in to the hotel's network</html>", ""),
        Mood::Nonsense => made(200, "application/json", r#"{"data":[1,{"a":null}]}"#, ""),
        Mood::Silent => {
            // Until the other side gives up.
            let _ = client.read(&mut [0]);
            return None;
        }
        Mood::Closed => return None,
    };
    client.write_all(&answer).ok()
}

fn made(status: u16, kind: &str, body: &str, more: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}\r\n{body}"
    )
    .into_bytes()
}

/// One HTTP message: head, and as much body as it announces.
fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    let mut byte = [0];
    while !whole.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        whole.push(byte[0]);
    }
    let head = String::from_utf8(whole.clone()).ok()?.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        while !whole.ends_with(b"\r\n0\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            whole.push(byte[0]);
        }
        return Some(whole);
    }
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    whole.extend(body);
    Some(whole)
}
