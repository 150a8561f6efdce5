//! The byte-stream interface.

use std::io::ErrorKind;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::world::{Pair, World, pattern, poll_and_drop, until};

on_every_link!(
    ten_mebibytes_are_copied_in_both_directions_at_once,
    lines_are_read_from_writes_of_any_size,
    shutdown_is_the_end_of_the_file_and_the_other_direction_goes_on,
    a_cancelled_read_loses_no_byte,
    a_stream_that_is_dropped_still_delivers_what_was_written,
    a_destroyed_socket_is_a_connection_reset,
    a_reader_at_the_end_may_shut_down_after_any_end_of_the_other_side,
    empty_messages_are_no_end_of_file,
);

async fn ten_mebibytes_are_copied_in_both_directions_at_once(world: World) {
    let Pair { near, far, hosted: _hosted } =
        world.pair_with(|builder| builder.outbox_bytes(1 << 18).receive_window(1 << 18)).await;
    let data = pattern(10 << 20, 3);
    let echo = async {
        let (mut reader, mut writer) = tokio::io::split(far.into_stream());
        let copied = tokio::io::copy(&mut reader, &mut writer).await.expect("copied");
        writer.shutdown().await.expect("ended");
        copied
    };
    let (mut reader, mut writer) = tokio::io::split(near.into_stream());
    let sending = async {
        let mut source = &data[..];
        tokio::io::copy(&mut source, &mut writer).await.expect("copied");
        writer.shutdown().await.expect("ended");
    };
    let receiving = async {
        let mut back = Vec::new();
        reader.read_to_end(&mut back).await.expect("read to the end");
        back
    };
    let (copied, (), back) = tokio::join!(echo, sending, receiving);
    assert_eq!(copied, data.len() as u64);
    assert!(back == data, "other bytes came back");
}

async fn lines_are_read_from_writes_of_any_size(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    let mut near = near.into_stream();
    let text: String = (0..1000).map(|number| format!("line {number}\n")).collect();
    for piece in text.as_bytes().chunks(13) {
        near.write_all(piece).await.expect("written");
    }
    near.shutdown().await.expect("ended");
    let mut lines = BufReader::new(far.into_stream()).lines();
    for number in 0..1000 {
        assert_eq!(
            lines.next_line().await.expect("read").expect("a line"),
            format!("line {number}")
        );
    }
    assert_eq!(lines.next_line().await.expect("the end"), None);
}

async fn shutdown_is_the_end_of_the_file_and_the_other_direction_goes_on(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    let (mut near, mut far) = (near.into_stream(), far.into_stream());
    near.write_all(b"request").await.expect("written");
    near.shutdown().await.expect("ended");
    assert_eq!(near.write(b"late").await.expect_err("shut down").kind(), ErrorKind::BrokenPipe);
    let mut request = String::new();
    far.read_to_string(&mut request).await.expect("read to the end");
    assert_eq!(request, "request");
    far.write_all(b"response").await.expect("written");
    far.shutdown().await.expect("ended");
    let mut response = String::new();
    near.read_to_string(&mut response).await.expect("read to the end");
    assert_eq!(response, "response");
    assert_eq!(near.read(&mut [0; 8]).await.expect("still the end"), 0);
}

async fn a_cancelled_read_loses_no_byte(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    let (mut near, mut far) = (near.into_stream(), far.into_stream());
    let data = pattern(100_000, 9);
    let (mut received, mut piece) = (Vec::new(), [0; 1000]);
    for chunk in data.chunks(777) {
        near.write_all(chunk).await.expect("written");
        if let std::task::Poll::Ready(read) = poll_and_drop(far.read(&mut piece)).await {
            let read = read.expect("read");
            received.extend_from_slice(&piece[..read]);
        }
    }
    near.shutdown().await.expect("ended");
    far.read_to_end(&mut received).await.expect("read to the end");
    assert!(received == data, "bytes were lost or came twice");
}

async fn a_stream_that_is_dropped_still_delivers_what_was_written(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    let data = pattern(1 << 19, 5);
    let mut near = near.into_stream();
    near.write_all(&data).await.expect("written");
    drop(near);
    let mut received = Vec::new();
    far.into_stream().read_to_end(&mut received).await.expect("read to the end");
    assert!(received == data, "other bytes arrived");
}

async fn a_destroyed_socket_is_a_connection_reset(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    let mut near = near.into_stream();
    far.destroy();
    assert_eq!(near.read(&mut [0; 8]).await.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    until(|| !near.socket().connected()).await;
    assert_eq!(near.write(b"late").await.expect_err("reset").kind(), ErrorKind::ConnectionReset);
}

async fn a_reader_at_the_end_may_shut_down_after_any_end_of_the_other_side(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    let mut near = near.into_stream();
    far.send("all there is").await.expect("accepted");
    drop(far);
    let mut text = String::new();
    near.read_to_string(&mut text).await.expect("read to the end");
    assert_eq!(text, "all there is");
    until(|| !near.socket().connected()).await;
    near.shutdown().await.expect("nobody is left to tell");
    near.shutdown().await.expect("still");
    assert_eq!(
        near.write(b"late").await.expect_err("nobody reads").kind(),
        ErrorKind::ConnectionReset
    );
}

async fn empty_messages_are_no_end_of_file(world: World) {
    let Pair { near, far, hosted: _hosted } = world.pair().await;
    for message in ["", "a", "", "", "b", ""] {
        near.send(message).await.expect("accepted");
    }
    near.finish().expect("open");
    let mut text = String::new();
    far.into_stream().read_to_string(&mut text).await.expect("read to the end");
    assert_eq!(text, "ab");
}
