use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use super::*;

fn listen() -> (Listener, Address) {
    let (bound, address) = bind().expect("a port");
    (Listener::watch(bound).expect("watched"), address)
}

fn stranger_to(address: &Address) -> Address {
    Address { secret: Secret::new([7; SECRET_LEN]), ..address.clone() }
}

#[tokio::test]
async fn both_sides_learn_which_process_the_other_one_is() {
    let (mut listener, address) = listen();
    assert!(address.socket.ip().is_loopback());
    let host = async { listener.accept().await.expect("a connection").identify().await };
    let (near, far) = tokio::join!(connect(&address), host);
    for (stream, peer) in [near.expect("connected"), far.expect("proven")] {
        assert_eq!(peer.process_id(), Some(std::process::id()));
        assert_eq!(*peer.user(), UserId::current());
        assert!(stream.nodelay().expect("known"));
    }
}

#[tokio::test]
async fn a_peer_with_another_secret_is_refused_on_both_sides() {
    let (mut listener, address) = listen();
    let stranger = stranger_to(&address);
    let host = async { listener.accept().await.expect("a connection").identify().await };
    let (near, far) = tokio::join!(connect(&stranger), host);
    assert_eq!(near.expect_err("refused").kind(), io::ErrorKind::ConnectionRefused);
    // The peer has hung up before its proof.
    far.expect_err("refused");
}

#[tokio::test]
async fn nothing_but_a_nonce_and_a_mac_is_told_to_a_stranger() {
    let (mut listener, address) = listen();
    let host = async { listener.accept().await.expect("a connection").identify().await };
    let stranger = async {
        let mut stream = TcpStream::connect(address.socket).await.expect("connected");
        let challenge = Challenger::new(&stranger_to(&address).secret, [1; 32]).challenge();
        stream.write_all(&challenge).await.expect("written");
        stream.write_all(&[0; PROOF_LEN]).await.expect("written");
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        heard
    };
    let (refused, heard) = tokio::join!(host, stranger);
    assert_eq!(refused.expect_err("refused").kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(heard.len(), ANSWER_LEN);
}

#[tokio::test]
async fn the_oldest_silent_connection_makes_room() {
    let (mut listener, address) = listen();
    let mut silent = Vec::new();
    let mut waiting = Vec::new();
    for _ in 0..MAX_UNPROVEN + 2 {
        silent.push(TcpStream::connect(address.socket).await.expect("connected"));
        waiting.push(tokio::spawn(listener.accept().await.expect("a connection").identify()));
    }
    for turned_away in waiting.drain(..2) {
        turned_away.await.expect("no panic").expect_err("turned away");
    }
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    let host = async { listener.accept().await.expect("a connection").identify().await };
    let (near, far) = tokio::join!(connect(&address), host);
    assert!(near.is_ok() && far.is_ok());
    // Those that have proven themselves take no room.
    assert!(waiting.iter().skip(1).all(|waiting| !waiting.is_finished()));
    assert!(listener.unproven.0.len() <= MAX_UNPROVEN);
}

/// Its port is free, so that the kernel may give it to the one that connects.
#[tokio::test]
async fn a_connection_to_itself_is_refused() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
    let own = socket.local_addr().expect("known");
    let stream = socket.connect(own).await.expect("connected to itself");
    let refused = refuse_oneself(&stream).expect_err("refused");
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn only_addresses_of_this_machine_are_taken() {
    let taken = |socket: &str| {
        let (socket, secret) = (socket.parse().expect("an address"), Secret::new([0; SECRET_LEN]));
        Address::new(socket, own_identity(), secret).is_some()
    };
    assert!(taken("127.0.0.1:1") && taken("[::1]:65535"));
    for other in
        ["127.0.0.1:0", "0.0.0.0:1", "127.0.0.2:1", "192.0.2.1:1", "[::]:1", "[::ffff:127.0.0.1]:1"]
    {
        assert!(!taken(other), "{other}");
    }
    let bound = sys::listen_on(IpAddr::V4(Ipv4Addr::LOCALHOST)).expect("a port");
    assert_eq!(bound.local_addr().expect("known").ip(), Ipv4Addr::LOCALHOST);
}
