//! Hosts that jobs may or may not reach: a second network namespace with public and private addresses, and addresses of this machine.
//! The tests need root. Only one test on this machine uses the hosts at a time.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

const NAMESPACE: &str = "asman-test";
const OUTSIDE: &str = "asmtest0";
/// An address for documentation. No host has it, and it is not private.
pub(crate) const PUBLIC: &str = "198.51.100.7";
/// This machine's address in the network between it and the other namespace.
pub(crate) const OWN_PUBLIC: &str = "198.51.100.1";
/// This machine's address in a private range.
pub(crate) const OWN_PRIVATE: &str = "10.213.0.1";
/// Addresses in the other namespace, with routes as in a cloud's network.
pub(crate) const GUARDED: [&str; 5] = ["169.254.169.254", "10.213.7.9", "172.30.213.9", "192.168.213.9", "100.99.213.9"];
const MAIL_PORTS: [u16; 3] = [25, 465, 587];

pub(crate) struct World {
    servers: Vec<Child>,
    _files: TempDir,
    /// Port of a server on every address of this machine.
    pub(crate) own_port: u16,
    _turn: File,
}

fn run(program: &str, line: &str) {
    let output = Command::new(program).args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "{program} {line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn forget() {
    for line in [format!("link del {OUTSIDE}"), format!("netns del {NAMESPACE}")] {
        let _ = Command::new("ip").args(line.split(' ')).output();
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let turn = File::create(std::env::temp_dir().join("asman-test-world.lock")).unwrap();
        turn.lock().unwrap();
        forget();
        run("ip", &format!("netns add {NAMESPACE}"));
        run("ip", &format!("link add {OUTSIDE} type veth peer name eth0 netns {NAMESPACE}"));
        run("ip", &format!("addr add {OWN_PUBLIC} peer {PUBLIC} dev {OUTSIDE}"));
        run("ip", &format!("addr add {OWN_PRIVATE}/32 dev {OUTSIDE}"));
        run("ip", &format!("link set {OUTSIDE} up"));
        for line in [format!("addr add {PUBLIC} peer {OWN_PUBLIC} dev eth0"), "link set eth0 up".into(), "link set lo up".into()]
        {
            run("ip", &format!("-n {NAMESPACE} {line}"));
        }
        run("ip", &format!("-n {NAMESPACE} route add default via {OWN_PUBLIC}"));
        for address in GUARDED {
            run("ip", &format!("-n {NAMESPACE} addr add {address}/32 dev lo"));
            run("ip", &format!("route add {address}/32 via {PUBLIC} dev {OUTSIDE}"));
        }
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("index.html"), "reached\n").unwrap();
        let serve = |port: u16| {
            let line = format!("netns exec {NAMESPACE} busybox httpd -f -p {port} -h {}", files.path().display());
            Command::new("ip").args(line.split(' ')).stderr(Stdio::null()).spawn().unwrap()
        };
        let servers = [80].into_iter().chain(MAIL_PORTS).map(serve).collect();
        Self { servers, _files: files, own_port: serve_everywhere(), _turn: turn }
    }

    /// Addresses that a guarded job must not reach, as `address:port`. `gateway` means the address of its bridge.
    pub(crate) fn guarded(&self) -> Vec<String> {
        let mail = MAIL_PORTS.iter().map(|port| format!("{PUBLIC}:{port}"));
        let routed = GUARDED.iter().map(|address| format!("{address}:80"));
        let own = [OWN_PUBLIC, OWN_PRIVATE, "172.17.0.1", "gateway"].map(|address| format!("{address}:{}", self.own_port));
        mail.chain(routed).chain(own).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        forget();
    }
}

/// Answers every request on every address, until the test's process ends.
fn serve_everywhere() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nreached\n");
        }
    });
    port
}

/// A name server on a private address of this machine. Every name has the address [`PUBLIC`].
pub(crate) fn serve_names() {
    let socket = UdpSocket::bind((OWN_PRIVATE, 53)).unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, asker)) = socket.recv_from(&mut question) {
            let mut answer = question[..length].to_vec();
            // An answer with recursion available, and one record for a question about an address.
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            let end = 12 + answer[12..].iter().position(|byte| *byte == 0).unwrap();
            let is_for_address = answer[end + 1..end + 3] == [0, 1];
            answer[6..12].copy_from_slice(&[0, u8::from(is_for_address), 0, 0, 0, 0]);
            answer.truncate(end + 5);
            if is_for_address {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(PUBLIC.parse::<Ipv4Addr>().unwrap().octets());
            }
            let _ = socket.send_to(&answer, asker);
        }
    });
}

/// A shell script that writes `open` or `shut` after each of these addresses.
pub(crate) fn probe(addresses: &[String]) -> String {
    let addresses = addresses.join(" ");
    format!(
        r#"gateway=$(ip route | sed -n "s/^default via \([0-9.]*\).*/\1/p")
        for a in {addresses}; do
            host=$(echo ${{a%:*}} | sed s/gateway/$gateway/)
            case $( (printf "GET / HTTP/1.0\r\n\r\n"; sleep 0.3) | nc -w 5 $host ${{a#*:}} 2>&1) in
                *HTTP/1*) echo $a open ;;
                *) echo $a shut ;;
            esac
        done"#
    )
}
