//! A yamux peer for interoperation tests, on rust-yamux; what it does is told in ../../README.md.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, Semaphore};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{version::TLS13, ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, Mode, Stream};

type Wire = Compat<TlsStream<TcpStream>>;

enum Ask {
    Open(oneshot::Sender<Option<Stream>>),
    Close,
}

struct Peer {
    asks: mpsc::UnboundedSender<Ask>,
    answers: Mutex<HashMap<String, Arc<Answer>>>,
}

struct Answer {
    is_there: Semaphore,
    text: Mutex<String>,
}

impl Peer {
    fn answer(&self, name: String) -> Arc<Answer> {
        let mut answers = self.answers.lock().unwrap();
        answers
            .entry(name)
            .or_insert_with(|| Arc::new(Answer { is_there: Semaphore::new(0), text: Mutex::new(String::new()) }))
            .clone()
    }

    fn tell(&self, name: String, text: String) {
        let answer = self.answer(name);
        *answer.text.lock().unwrap() = text;
        answer.is_there.add_permits(1);
    }

    async fn told(&self, name: String) -> String {
        let answer = self.answer(name);
        answer.is_there.acquire().await.unwrap().forget();
        let text = answer.text.lock().unwrap().clone();
        text
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let chain = CertificateDer::pem_file_iter(&arguments[1]).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&arguments[2]).unwrap();
    let mut server = ServerConfig::builder_with_protocol_versions(&[&TLS13])
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    server.alpn_protocols = vec![b"tunnel/1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&arguments[3]).unwrap()).unwrap();
    let mut client =
        ClientConfig::builder_with_protocol_versions(&[&TLS13]).with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"tunnel/1".to_vec()];

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("port {}", listener.local_addr()?.port());
    let acceptor = TlsAcceptor::from(Arc::new(server));
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(tls) = acceptor.accept(socket).await {
                    drive(TlsStream::Server(tls).compat(), Mode::Server).await;
                }
            });
        }
    });
    let connector = TlsConnector::from(Arc::new(client));
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let port: u16 = line.trim_start_matches("dial ").parse().unwrap();
        let connector = connector.clone();
        tokio::spawn(async move {
            let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let tls = connector.connect(name, socket).await.unwrap();
            drive(TlsStream::Client(tls).compat(), Mode::Client).await;
        });
    }
    Ok(())
}

/// The one task that owns a connection: it takes new streams in, opens what is asked for, and closes.
async fn drive(wire: Wire, mode: Mode) {
    let mut config = Config::default();
    config.set_max_connection_receive_window(None);
    config.set_max_num_streams(4096);
    let mut connection = Connection::new(wire, config, mode);
    let (asks, mut asked) = mpsc::unbounded_channel();
    let peer = Arc::new(Peer { asks, answers: Mutex::default() });
    let mut opening: VecDeque<oneshot::Sender<Option<Stream>>> = VecDeque::new();
    let mut is_closing = false;
    poll_fn(|context| loop {
        while let Poll::Ready(Some(ask)) = asked.poll_recv(context) {
            match ask {
                Ask::Open(waiting) => opening.push_back(waiting),
                Ask::Close => is_closing = true,
            }
        }
        if is_closing {
            return connection.poll_close(context).map(|_| ());
        }
        if !opening.is_empty() {
            if let Poll::Ready(opened) = connection.poll_new_outbound(context) {
                let _ = opening.pop_front().unwrap().send(opened.ok());
                continue;
            }
        }
        match connection.poll_next_inbound(context) {
            Poll::Ready(Some(Ok(stream))) => drop(tokio::spawn(serve(stream, peer.clone()))),
            Poll::Ready(_) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    })
    .await;
}

async fn serve(mut stream: Stream, peer: Arc<Peer>) {
    let mut line = Vec::new();
    let mut one = [0u8; 1];
    loop {
        if stream.read_exact(&mut one).await.is_err() {
            return;
        }
        if one[0] == b'\n' {
            break;
        }
        line.push(one[0]);
    }
    let line = String::from_utf8(line).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    match words[0] {
        "echo" => echo(&mut stream).await,
        "sink" => {
            let told = digest(&mut stream).await;
            say(&mut stream, &told).await;
        }
        "source" => {
            write(&mut stream, words[1]).await;
            let _ = stream.close().await;
            digest(&mut stream).await;
        }
        "say" => {
            write(&mut stream, words[2]).await;
            let _ = stream.close().await;
            let told = digest(&mut stream).await;
            peer.tell(format!("told {}", words[1]), told);
        }
        "wait" => {
            let told = digest(&mut stream).await;
            let how = if told.ends_with("broken") { "reset" } else { "end" };
            peer.tell(format!("told {}", words[1]), how.to_string());
        }
        "hold" => {
            peer.told(format!("go {}", words[1])).await;
            let told = digest(&mut stream).await;
            say(&mut stream, &told).await;
        }
        "go" => {
            peer.tell(format!("go {}", words[1]), String::new());
            let _ = stream.close().await;
        }
        "told" => {
            let told = peer.told(format!("told {}", words[1])).await;
            say(&mut stream, &told).await;
        }
        "reset" => drop(stream),
        "away" => {
            let _ = peer.asks.send(Ask::Close);
            echo(&mut stream).await;
        }
        "open" => {
            let good = open(&peer, words[1].parse().unwrap()).await;
            say(&mut stream, &good.to_string()).await;
        }
        _ => say(&mut stream, "cannot").await, // it pings by itself; nobody can ask it to
    }
}

async fn say(stream: &mut Stream, text: &str) {
    let _ = stream.write_all(format!("{text}\n").as_bytes()).await;
    let _ = stream.close().await;
}

async fn echo(stream: &mut Stream) {
    let mut buffer = vec![0; 65536];
    while let Ok(count) = stream.read(&mut buffer).await {
        if count == 0 || stream.write_all(&buffer[..count]).await.is_err() || stream.flush().await.is_err() {
            break;
        }
    }
    let _ = stream.close().await;
}

/// The number of bytes until the end, and their SHA-256; how it ended when that is not well.
async fn digest(stream: &mut Stream) -> String {
    let mut sum = Sha256::new();
    let mut count = 0;
    let mut buffer = vec![0; 65536];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return format!("{count} {:x}", sum.finalize()),
            Ok(more) => {
                count += more;
                sum.update(&buffer[..more]);
            }
            Err(_) => return format!("{count} broken"),
        }
    }
}

async fn write(stream: &mut Stream, count: &str) {
    let block: Vec<u8> = (0..251 * 256).map(|i| (i % 251) as u8).collect();
    let mut left: usize = count.parse().unwrap();
    while left > 0 {
        let part = left.min(block.len());
        if stream.write_all(&block[..part]).await.is_err() {
            return;
        }
        left -= part;
    }
}

/// Open streams all at once, say something on each, end it, and count those on which exactly that came back.
async fn open(peer: &Peer, count: usize) -> usize {
    let mut tasks = Vec::new();
    for number in 0..count {
        let (waiting, opened) = oneshot::channel();
        let _ = peer.asks.send(Ask::Open(waiting));
        tasks.push(tokio::spawn(async move {
            let Ok(Some(mut stream)) = opened.await else { return false };
            let said = format!("stream {number} of the peer\n");
            let _ = stream.write_all(said.as_bytes()).await;
            let _ = stream.close().await;
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await.is_ok() && heard == said
        }));
    }
    let mut good = 0;
    for task in tasks {
        good += usize::from(task.await.unwrap_or(false));
    }
    good
}
