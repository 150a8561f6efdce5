//! Hosts that answer by hand: the test takes the place of a killed host.

use std::io::Write;

use open_channel_ring::{Layout, accept, receive_with_descriptors};

use super::memory::{DOWN_DATA, call, poke};
use crate::isolation::{answer_everybody, impostor};
use crate::raw::{self, MAGIC, frame};
use crate::stage::Stage;

pub(crate) fn a_host_that_breaks_the_rules_of_the_ring_gives_a_clear_error(stage: &mut Stage) {
    let listener = impostor(stage);
    let (generation, _) = stage.published();
    answer_everybody(listener, move |mut stream| {
        let mut first = [0; 8];
        let received = receive_with_descriptors(&stream, &mut first).unwrap();
        assert_eq!(received.bytes, 8);
        let mut rest = vec![0; first[0].into()];
        std::io::Read::read_exact(&mut stream, &mut rest).unwrap();
        let lifeline = rest[12] == 1;
        let sizes = |at: usize| u64::from_le_bytes(*rest[at..].first_chunk().unwrap()) as usize;
        stream.write_all(&welcome(generation, !lifeline)).unwrap();
        if !lifeline {
            let fds = received.descriptors;
            let [memory, peers_doorbell, _] =
                [&fds[0], &fds[1], &fds[2]].map(|fd| fd.try_clone().unwrap());
            let layout = Layout::new(sizes(118), sizes(126)).unwrap();
            let _ring = accept(layout, fds).unwrap();
            poke(&memory, DOWN_DATA + sizes(118) as u64, 0x0123_4567_89ab_cdef);
            call(&peers_doorbell);
        }
        // Stays connected.
        std::mem::forget(stream);
    });
    for settings in ["role=peer", ""] {
        let peer = stage.actor("peer");
        peer.open(settings);
        peer.ask("connect s", "socket s");
        let error = peer.wait("error recv s");
        assert!(error.text.contains("broke the protocol"), "{error:?}");
        assert!(error.text.contains("out of place"), "{error:?}");
    }
}

pub(crate) fn a_host_that_takes_rings_which_nobody_offered_gives_a_clear_error(stage: &mut Stage) {
    let listener = impostor(stage);
    let (generation, _) = stage.published();
    answer_everybody(listener, move |mut stream| {
        let (_, hello) = raw::read_frame(&mut stream).unwrap();
        let lifeline = hello[12] == 1;
        stream.write_all(&welcome(generation, !lifeline)).unwrap();
        std::mem::forget(stream);
    });
    let peer = stage.actor("peer");
    peer.open("role=peer link=unix");
    peer.ask("connect s", "socket s");
    let error = peer.wait("error recv s");
    assert!(
        error.text.contains("broke the protocol") && error.text.contains("offered"),
        "{error:?}"
    );
}

pub(crate) fn a_socket_says_hello_early_and_is_connected_no_earlier_than_its_process(
    stage: &mut Stage,
) {
    let listener = impostor(stage);
    let (generation, _) = stage.published();
    let peer = stage.actor("peer");
    peer.open("role=peer link=unix");
    peer.ask("connect s", "socket s");
    // Both hellos are here before either is answered.
    let [mut lifeline, mut socket] = std::array::from_fn(|_| {
        let (mut stream, _) = listener.accept().unwrap();
        raw::read_frame(&mut stream).expect("a hello");
        stream
    });
    socket.write_all(&welcome(generation, false)).unwrap();
    for _ in 0..20 {
        assert_eq!(peer.ask("link s", "link s").text, "link s none");
    }
    lifeline.write_all(&welcome(generation, false)).unwrap();
    peer.wait("event connected peer");
    while peer.ask("link s", "link s").text == "link s none" {}
}

pub(crate) fn a_socket_whose_process_is_put_off_goes_to_the_next_host(stage: &mut Stage) {
    let listener = impostor(stage);
    let (generation, _) = stage.published();
    let peer = stage.actor("peer");
    peer.open("link=unix");
    peer.ask("connect s", "socket s");
    let lifeline = listener.accept().unwrap();
    let (mut socket, _) = listener.accept().unwrap();
    raw::read_frame(&mut socket).expect("a hello");
    socket.write_all(&welcome(generation, false)).unwrap();
    // The host is gone before it has taken the process on: the process hosts itself then.
    drop((listener, lifeline));
    peer.wait("event became-host");
    peer.ask("send s 1", "sent s");
    peer.ask("flush s", "flush s");
}

/// The answer of an impostor to a socket that was never here; with `ring`, it has taken the rings.
fn welcome(generation: u64, ring: bool) -> Vec<u8> {
    let mut body = MAGIC.to_vec();
    body.extend([1, 0, 0]);
    body.extend(generation.to_le_bytes());
    for number in [1, 0, 1 << 20, 1 << 20, 1 << 20, u64::from(ring)] {
        body.extend(u64::to_le_bytes(number));
    }
    frame(raw::WELCOME, 0, &body)
}
