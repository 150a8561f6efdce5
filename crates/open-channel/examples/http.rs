//! HTTP over a channel: hyper needs only the byte stream.
//!
//! ```text
//! $ cargo run -p open-channel --example http -- /hello
//! 200 OK
//! process 4711 answers GET /hello
//! ```

use std::convert::Infallible;

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use open_channel::{Channel, Socket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "/".into());
    let channel = Channel::new("example-http", serve)?;

    let io = TokioIo::new(channel.connect().into_stream());
    let (mut client, connection) = hyper::client::conn::http1::handshake(io).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path).header("host", "example-http").body(Empty::<Bytes>::new())?;
    let response = client.send_request(request).await?;
    println!("{}", response.status());
    let body = response.into_body().collect().await?.to_bytes();
    println!("{}", String::from_utf8_lossy(&body));

    drop(client);
    connection.await??;
    Ok(channel.close().await?)
}

/// Runs in the process that hosts, once for each socket that connects.
async fn serve(socket: Socket) {
    let io = TokioIo::new(socket.into_stream());
    let served =
        hyper::server::conn::http1::Builder::new().serve_connection(io, service_fn(answer)).await;
    if let Err(error) = served {
        eprintln!("a connection ended early: {error}");
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, path) = (request.method(), request.uri().path());
    let text = format!("process {} answers {method} {path}", std::process::id());
    Ok(Response::new(Full::from(text)))
}
