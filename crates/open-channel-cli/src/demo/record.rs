//! The reports of a worker to the supervisor: fixed-size records down a pipe.
//!
//! A record is in the pipe before its message is acknowledged, and the pipe outlives a worker that
//! is killed. So every acknowledged message is in the records that the supervisor reads.

use std::io::{self, Read, Write};

pub(crate) const RECORD_BYTES: usize = 48;

/// A message's identity: the number of its socket and its sequence number there.
pub(crate) type Id = (u128, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The channel accepted this piece from this worker under this id.
    Sent { id: Id, piece: u64 },
    /// This worker, hosting in this generation, handled this piece.
    Handled { id: Id, piece: u64, generation: u64, redelivered: bool },
    /// This worker hosts from now on.
    Hosting { generation: u64 },
    /// All of this worker's share was acknowledged.
    Finished,
}

impl Record {
    pub(crate) fn write_to(&self, pipe: &mut impl Write) -> io::Result<()> {
        pipe.write_all(&self.encode())
    }

    fn encode(&self) -> [u8; RECORD_BYTES] {
        let (kind, flags, (socket, seq), piece, generation) = match *self {
            Record::Sent { id, piece } => (1, 0, id, piece, 0),
            Record::Handled { id, piece, generation, redelivered } => {
                (2, u8::from(redelivered), id, piece, generation)
            }
            Record::Hosting { generation } => (3, 0, (0, 0), 0, generation),
            Record::Finished => (4, 0, (0, 0), 0, 0),
        };
        let mut bytes = [0; RECORD_BYTES];
        bytes[0] = kind;
        bytes[1] = flags;
        bytes[8..24].copy_from_slice(&socket.to_le_bytes());
        bytes[24..32].copy_from_slice(&seq.to_le_bytes());
        bytes[32..40].copy_from_slice(&piece.to_le_bytes());
        bytes[40..48].copy_from_slice(&generation.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; RECORD_BYTES]) -> io::Result<Record> {
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        let id = (u128::from(number(8)) | u128::from(number(16)) << 64, number(24));
        let (piece, generation) = (number(32), number(40));
        match bytes[0] {
            1 => Ok(Record::Sent { id, piece }),
            2 => Ok(Record::Handled { id, piece, generation, redelivered: bytes[1] & 1 != 0 }),
            3 => Ok(Record::Hosting { generation }),
            4 => Ok(Record::Finished),
            kind => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a worker wrote a record of unknown kind {kind}"),
            )),
        }
    }

    /// The next record; `None` at the end of the pipe. A record that a kill cut short has no
    /// acknowledged message, so it counts as never written.
    pub(crate) fn read_from(pipe: &mut impl Read) -> io::Result<Option<Record>> {
        let mut bytes = [0; RECORD_BYTES];
        match pipe.read_exact(&mut bytes) {
            Ok(()) => Record::decode(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{RECORD_BYTES, Record};

    const ALL: [Record; 5] = [
        Record::Sent { id: (u128::MAX - 3, 7), piece: 9 },
        Record::Handled { id: (1 << 100, u64::MAX), piece: 1, generation: 2, redelivered: true },
        Record::Handled { id: (0, 0), piece: u64::MAX, generation: 3, redelivered: false },
        Record::Hosting { generation: 12 },
        Record::Finished,
    ];

    #[test]
    fn records_come_out_of_the_pipe_as_they_went_in() {
        let mut pipe = Vec::new();
        for record in ALL {
            record.write_to(&mut pipe).expect("writing");
        }
        assert_eq!(pipe.len(), ALL.len() * RECORD_BYTES);
        let mut reader = pipe.as_slice();
        for record in ALL {
            assert_eq!(Record::read_from(&mut reader).expect("reading"), Some(record));
        }
        assert_eq!(Record::read_from(&mut reader).expect("reading"), None);
    }

    #[test]
    fn a_record_cut_short_is_the_end() {
        let mut pipe = Vec::new();
        Record::Finished.write_to(&mut pipe).expect("writing");
        pipe.pop();
        assert_eq!(Record::read_from(&mut pipe.as_slice()).expect("reading"), None);
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(Record::read_from(&mut [0xff; RECORD_BYTES].as_slice()).is_err());
    }
}
