//! How an input of any size becomes a stream of numbered messages that takes a few seconds.

use anyhow::{Result, ensure};

/// Messages per second of all workers together. This is far below the limit of a channel: the demo
/// shows that nothing is lost, on a laptop with other work.
pub(crate) const MESSAGES_PER_SECOND: u64 = 10_000;

/// Smaller pieces of a small file would be more header than file.
const SMALLEST_PIECE: u64 = 64;

/// Larger pieces of a huge file would not show any flow; such a file takes longer instead.
const LARGEST_PIECE: u64 = 256 * 1024;

/// The input, cut into pieces and dealt out to the workers in turn: worker w sends the pieces w, w
/// + W, w + 2W, …
///
/// A file too small for a few seconds of traffic is sent several times over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) input_bytes: u64,
    pub(crate) piece_bytes: u64,
    pub(crate) passes: u64,
    pub(crate) workers: u64,
}

/// The place of a piece in the input, and in the file that is put together again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) input_offset: u64,
    pub(crate) output_offset: u64,
    pub(crate) bytes: usize,
}

impl Plan {
    pub(crate) fn new(input_bytes: u64, seconds: f64, workers: u64) -> Result<Plan> {
        ensure!(input_bytes > 0, "the input is empty: choose a file with something in it");
        let messages = ((MESSAGES_PER_SECOND as f64 * seconds) as u64).max(1);
        let piece_bytes =
            input_bytes.div_ceil(messages).clamp(SMALLEST_PIECE.min(input_bytes), LARGEST_PIECE);
        let per_pass = input_bytes.div_ceil(piece_bytes);
        let passes = ((messages + per_pass / 2) / per_pass).max(1);
        Ok(Plan { input_bytes, piece_bytes, passes, workers })
    }

    fn per_pass(&self) -> u64 {
        self.input_bytes.div_ceil(self.piece_bytes)
    }

    /// The number of messages.
    pub(crate) fn pieces(&self) -> u64 {
        self.per_pass() * self.passes
    }

    /// The number of them that this worker sends.
    pub(crate) fn share(&self, worker: u64) -> u64 {
        (self.pieces() + self.workers - 1 - worker) / self.workers
    }

    /// The number of the `nth` piece of this worker's share.
    pub(crate) fn number(&self, worker: u64, nth: u64) -> u64 {
        nth * self.workers + worker
    }

    /// The worker that has the piece in its share, and the place there.
    pub(crate) fn place(&self, number: u64) -> (u64, u64) {
        (number % self.workers, number / self.workers)
    }

    /// `None` when there is no piece of this number.
    pub(crate) fn piece(&self, number: u64) -> Option<Piece> {
        if number >= self.pieces() {
            return None;
        }
        let (pass, nth) = (number / self.per_pass(), number % self.per_pass());
        let input_offset = nth * self.piece_bytes;
        Some(Piece {
            input_offset,
            output_offset: pass * self.input_bytes + input_offset,
            bytes: self.piece_bytes.min(self.input_bytes - input_offset) as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{LARGEST_PIECE, MESSAGES_PER_SECOND, Plan};

    #[test]
    fn the_pieces_cover_the_input_once_per_pass_without_gap_or_overlap() {
        for input_bytes in [1, 7, 64, 65, 1_000, 123_457] {
            let plan = Plan::new(input_bytes, 0.05, 3).expect("a plan");
            let mut next = 0;
            for number in 0..plan.pieces() {
                let piece = plan.piece(number).expect("a piece");
                assert_eq!(piece.output_offset, next);
                assert_eq!(piece.input_offset, next % input_bytes);
                assert!(piece.bytes > 0);
                next += piece.bytes as u64;
            }
            assert_eq!(next, input_bytes * plan.passes);
            assert_eq!(plan.piece(plan.pieces()), None);
        }
    }

    #[test]
    fn the_shares_cover_the_pieces() {
        for workers in 1..6 {
            let plan = Plan::new(1_003, 0.01, workers).expect("a plan");
            assert_eq!((0..workers).map(|worker| plan.share(worker)).sum::<u64>(), plan.pieces());
            for number in 0..plan.pieces() {
                let (worker, nth) = plan.place(number);
                assert_eq!(plan.number(worker, nth), number);
                assert!(nth < plan.share(worker));
            }
        }
    }

    #[test]
    fn every_input_up_to_the_large_ones_takes_about_the_same_number_of_messages() {
        for input_bytes in [1, 100, 10_000, 1_000_000, 100_000_000, 10_000_000_000] {
            let pieces = Plan::new(input_bytes, 6.0, 4).expect("a plan").pieces();
            let wanted = 6 * MESSAGES_PER_SECOND;
            assert!((wanted / 2..=wanted * 2).contains(&pieces), "{input_bytes} bytes: {pieces}");
        }
        assert_eq!(Plan::new(1 << 40, 6.0, 4).expect("a plan").piece_bytes, LARGEST_PIECE);
    }

    #[test]
    fn an_empty_input_is_refused() {
        assert!(Plan::new(0, 6.0, 4).is_err());
    }
}
