//! Opens one connection to a server as libpq does, for drivers that treat `sslmode` differently or do not support a parameter.
//!
//! A driver talks to a [`Dialer`] unencrypted, within this process. The dialer reads the driver's first message, connects to the
//! server with the address's settings (encryption, certificates, keep-alives), repeats the message there and then copies bytes
//! both ways. An error before the server's first answer reaches the driver as a server's refusal with one sentence and the code
//! 08001, or 57P03 if the server may be starting, so that every driver reports it in the same way.
//!
//! Bounds: a first message of [`STARTUP_MAX`] bytes, [`CONNECT_TIMEOUT`] for the whole connection attempt if the address has no
//! `connect_timeout`.

mod certificate;
mod judge;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::CertificateError;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::{Address, Error, Host, Keepalive, TlsMode};

/// Most bytes of a driver's first message; a server accepts 10,000.
const STARTUP_MAX: usize = 16 * 1024;
/// Longest wait for a server's first answer if the address has no timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_mins(2);
/// Asks a server whether it encrypts: length and code.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// First byte of a server's refusal.
const REFUSAL: u8 = b'E';

/// A connection, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The encryption of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Voice {
    Clear,
    /// Unencrypted if the server does not support TLS.
    EncryptedIfOffered,
    Encrypted,
}

/// A server's connection and the first byte of its answer; none if it closed without an answer.
struct Answered {
    stream: Box<dyn Stream>,
    first: Option<u8>,
}

/// Connects to the servers of one address.
#[derive(Clone)]
pub struct Dialer {
    mode: TlsMode,
    tls: TlsConnector,
    keepalive: Keepalive,
    timeout: Duration,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Dialer").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Dialer {
    /// Reads the certificate files of the address.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn new(address: &Address) -> Result<Self, Error> {
        Ok(Self {
            mode: address.tls,
            tls: TlsConnector::from(Arc::new(judge::client_config(address)?)),
            keepalive: address.keepalive,
            timeout: address.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        })
    }

    /// Serves one driver's connection until either side ends it.
    pub async fn serve(&self, mut driver: impl AsyncRead + AsyncWrite + Unpin, host: &Host, port: u16) {
        let Ok(startup) = first_message(&mut driver).await else { return };
        let answered = match tokio::time::timeout(self.timeout, self.call(host, port, &startup)).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(why)) => return refuse(&mut driver, host, port, &why).await,
            Err(_) => return refuse(&mut driver, host, port, &io::ErrorKind::TimedOut.into()).await,
        };
        let Answered { mut stream, first } = answered;
        if let Some(first) = first
            && driver.write_all(&[first]).await.is_ok()
        {
            // The end of either side ends the connection.
            let _ = tokio::io::copy_bidirectional(&mut driver, &mut stream).await;
        }
    }

    /// Tries the encryptions that the mode allows, in libpq's order. Of two refusals the first one is returned.
    async fn call(&self, host: &Host, port: u16, startup: &[u8]) -> io::Result<Answered> {
        let voices: &[Voice] = match (host, self.mode) {
            (Host::Socket(_), _) | (_, TlsMode::Disable) => &[Voice::Clear],
            (_, TlsMode::Allow) => &[Voice::Clear, Voice::Encrypted],
            (_, TlsMode::Prefer) => &[Voice::EncryptedIfOffered, Voice::Clear],
            (_, TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull) => &[Voice::Encrypted],
        };
        let mut refused = None;
        for voice in voices {
            match self.try_once(host, port, startup, *voice).await {
                Ok(answered) if answered.first != Some(REFUSAL) => return Ok(answered),
                // If the server cannot be reached, the other encryption would not help.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Err(error),
                outcome => refused = refused.or(Some(outcome)),
            }
        }
        refused.unwrap_or_else(|| Err(io::Error::other("nothing was tried")))
    }

    async fn try_once(&self, host: &Host, port: u16, startup: &[u8], voice: Voice) -> io::Result<Answered> {
        let mut stream = self.open(host, port, voice).await?;
        stream.write_all(startup).await?;
        stream.flush().await?;
        let mut first = [0];
        let count = stream.read(&mut first).await?;
        Ok(Answered { stream, first: (count == 1).then_some(first[0]) })
    }

    async fn open(&self, host: &Host, port: u16, voice: Voice) -> io::Result<Box<dyn Stream>> {
        let name = match host {
            Host::Socket(folder) => {
                return Ok(Box::new(UnixStream::connect(folder.join(format!(".s.PGSQL.{port}"))).await?));
            }
            Host::Name(name) => name,
        };
        let mut stream = TcpStream::connect((name.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        keep_alive(&stream, self.keepalive)?;
        if voice == Voice::Clear {
            return Ok(Box::new(stream));
        }
        stream.write_all(&TLS_REQUEST).await?;
        match (stream.read_u8().await?, voice) {
            (b'S', _) => {}
            (_, Voice::EncryptedIfOffered) => return Ok(Box::new(stream)),
            _ => return Err(io::Error::other("sslmode: the server does not encrypt; set ssl=on there, or sslmode=prefer here")),
        }
        let server = ServerName::try_from(name.clone()).map_err(|_| io::Error::other("the host's name is not a valid name"))?;
        Ok(Box::new(self.tls.connect(server, stream).await?))
    }
}

/// The driver's first message: four bytes with its length, including themselves, and the rest.
async fn first_message(driver: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = driver.read_u32().await?;
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if !(8..=STARTUP_MAX).contains(&size) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = length.to_be_bytes().to_vec();
    message.resize(size, 0);
    driver.read_exact(&mut message[4..]).await?;
    Ok(message)
}

/// Sends the error to the driver in the form of a server's error.
async fn refuse(driver: &mut (impl AsyncWrite + Unpin), host: &Host, port: u16, why: &io::Error) {
    let place = match host {
        Host::Socket(folder) => folder.display().to_string(),
        Host::Name(name) => name.clone(),
    };
    // A server that cannot be reached may be starting, and drivers wait for that.
    let is_down = matches!(why.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
    let code = if is_down { "57P03" } else { "08001" };
    let fields = format!("SFATAL\0VFATAL\0C{code}\0M{}\0\0", sentence(&place, port, why).replace('\0', " "));
    let mut message = vec![REFUSAL];
    message.extend(u32::try_from(fields.len() + 4).unwrap_or_default().to_be_bytes());
    message.extend(fields.as_bytes());
    // A driver that has closed needs no answer.
    let _ = driver.write_all(&message).await;
    let _ = driver.shutdown().await;
}

/// The error; for a certificate also the parameter that required the check.
fn sentence(place: &str, port: u16, why: &io::Error) -> String {
    let judged = why.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let hint = match judged {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "; `sslmode=verify-full` requires this name in the server's certificate",
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "; no authority of `sslrootcert` has signed the server's certificate"
        }
        Some(rustls::Error::InvalidCertificate(_)) => "; `sslmode` requires a check of the server's certificate",
        _ => "",
    };
    format!("{place}, port {port}: {why}{hint}")
}

fn keep_alive(stream: &TcpStream, settings: Keepalive) -> io::Result<()> {
    let socket = SockRef::from(stream);
    if settings.is_on {
        let mut keepalive = TcpKeepalive::new();
        if let Some(idle) = settings.idle {
            keepalive = keepalive.with_time(idle);
        }
        if let Some(interval) = settings.interval {
            keepalive = keepalive.with_interval(interval);
        }
        if let Some(count) = settings.count {
            keepalive = keepalive.with_retries(count);
        }
        socket.set_tcp_keepalive(&keepalive)?;
    }
    #[cfg(target_os = "linux")]
    if let Some(timeout) = settings.user_timeout {
        socket.set_tcp_user_timeout(Some(timeout))?;
    }
    Ok(())
}
