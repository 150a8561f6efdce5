//! Offers that are not what was agreed.
#![allow(clippy::unwrap_used)] // a test may panic

use super::*;

fn descriptors(offer: &Offer) -> Vec<OwnedFd> {
    offer.descriptors().iter().map(|fd| fd.try_clone_to_owned().unwrap()).collect()
}

#[test]
fn offered_memory_must_be_what_was_agreed() {
    let layout = Layout::new(4096, 8192).unwrap();
    let (mut link, good) = offer(layout).unwrap();
    let mut other = accept(layout, descriptors(&good)).unwrap();
    link.producer.push(1, 2, b"up").unwrap();
    other.producer.push(3, 4, b"down").unwrap();
    assert_eq!(other.consumer.claim().unwrap().unwrap().to_vec(), b"up");
    assert_eq!(link.consumer.claim().unwrap().unwrap().to_vec(), b"down");

    let swapped = Layout::new(8192, 4096).unwrap();
    assert!(matches!(accept(swapped, descriptors(&good)), Err(AttachError::Header)));
    let smaller = Layout::new(4096, 4096).unwrap();
    assert!(matches!(accept(smaller, descriptors(&good)), Err(AttachError::Size { .. })));

    let unsealed =
        rustix::fs::memfd_create(c"test", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&unsealed, layout.total_bytes() as u64).unwrap();
    let with_memory = |memory: OwnedFd| {
        let mut passed = descriptors(&good);
        passed[0] = memory;
        passed
    };
    assert!(matches!(accept(layout, with_memory(unsealed)), Err(AttachError::NotSealed)));
    // A file of a file system, a pipe, an eventfd.
    let program = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let strays = [
        program.into(),
        std::io::pipe().unwrap().0.into(),
        Doorbell::new().unwrap().descriptor().try_clone_to_owned().unwrap(),
    ];
    for stray in strays {
        assert!(matches!(accept(layout, with_memory(stray)), Err(AttachError::NotMemory)));
    }
    let mut piped = descriptors(&good);
    piped[2] = std::io::pipe().unwrap().1.into();
    assert!(matches!(accept(layout, piped), Err(AttachError::NotADoorbell)));
}

#[test]
fn an_offer_has_exactly_its_descriptors_and_strays_are_closed() {
    use rustix::net::*;
    use std::mem::MaybeUninit;
    let (one, two) = std::os::unix::net::UnixStream::pair().unwrap();
    let layout = Layout::new(4096, 4096).unwrap();
    let (_, offer) = offer(layout).unwrap();
    assert_eq!(send_with_descriptors(&one, b"hello", &offer.descriptors()).unwrap(), 5);
    let mut buffer = [0; 16];
    let received = receive_with_descriptors(&two, &mut buffer).unwrap();
    assert_eq!(&buffer[..received.bytes], b"hello");
    assert_eq!(received.descriptors.len(), OFFERED);
    for fd in received.descriptors {
        assert!(rustix::io::fcntl_getfd(&fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }
    for count in [0usize, 1, 2, 4, 5, 20] {
        // Ends of pipes: their other ends show whether the receiver has closed them.
        let (mut watched, mut sent) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (reader, writer) = std::io::pipe().unwrap();
            watched.push(reader);
            sent.push(OwnedFd::from(writer));
        }
        let borrowed: Vec<_> = sent.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); 256];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if count > 0 {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)));
        }
        sendmsg(&one, &[io::IoSlice::new(b"x")], &mut ancillary, SendFlags::empty()).unwrap();
        let received = receive_with_descriptors(&two, &mut buffer).unwrap();
        let accepted = super::accept(layout, received.descriptors);
        assert!(matches!(accepted, Err(AttachError::Descriptors { expected: 3, .. })));
        drop(sent);
        for mut reader in watched {
            assert_eq!(
                io::Read::read(&mut reader, &mut [0]).unwrap(),
                0,
                "a stray descriptor stayed open"
            );
        }
    }
}

/// Two versions of a program meet on this memory: its bytes are those of docs/PROTOCOL.md.
#[test]
fn the_memory_begins_as_the_protocol_says() {
    let (mut ends, offer) = offer(Layout::new(4096, 8192).unwrap()).unwrap();
    ends.producer.push(1, 2, b"hello").unwrap();
    let memory = std::fs::File::from(offer.descriptors()[0].try_clone_to_owned().unwrap());
    let word = |at: u64| {
        let mut bytes = [0; 8];
        std::os::unix::fs::FileExt::read_exact_at(&memory, &mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    };
    assert_eq!(word(0), u64::from_le_bytes(*b"ochring\0"));
    assert_eq!([8, 16, 24].map(word), [2, 4096, 8192]);
    assert_eq!([128, 256, 384, 512].map(word), [0; 4], "claimed, released, data wait, space wait");
    assert_eq!(word(3960), 1 << 63 | 2 << 40 | 1 << 32 | 5, "the record's header");
    assert_eq!(word(3968), u64::from_le_bytes(*b"hello\0\0\0"));
    assert_eq!(memory.metadata().unwrap().len(), 4096 + 4096 + 8192);
}

/// A lap that was shortened gives its pages back to the machine.
#[test]
fn memory_is_committed_as_the_lap_grows_and_given_back() {
    let layout = Layout::new(1 << 20, 1 << 20).unwrap().with_lap(64 << 10);
    let (mut link, offer) = offer(layout).unwrap();
    let mut other = accept(layout, descriptors(&offer)).unwrap();
    let resident = || rustix::fs::fstat(&offer.memory).unwrap().st_blocks * 512;
    let mut pass = |link: &mut RingEnds<Mapped, Doorbell>, records: usize| {
        for number in 0..records {
            let end = link.producer.push(0, 0, &vec![number as u8; 8000]).unwrap();
            assert_eq!(other.consumer.claim().unwrap().unwrap().to_vec(), [number as u8; 8000]);
            other.consumer.release(end).unwrap();
            link.producer.released().unwrap();
        }
    };
    pass(&mut link, 100);
    assert!(resident() < 100 << 10, "{}", resident());
    link.producer.extend_lap(1 << 20);
    pass(&mut link, 200);
    assert!(resident() > 900 << 10, "{}", resident());
    link.producer.shorten_lap(64 << 10);
    pass(&mut link, 200);
    link.producer.give_back();
    assert!(resident() < 100 << 10, "{}", resident());
    pass(&mut link, 100);
}
