//! How both sides of a TCP connection prove that they know a secret, without a word of it.
//!
//! ```text
//!   peer                                                                      host
//!     │ ── challenge: MAGIC, nonce ────────────────────────────────────────────▶ │
//!     │ ◀── answer: nonce, process, namespace, MAC over all of it, as the host ─ │
//!     │ ── proof: process, namespace, MAC over all of it, as the peer ─────────▶ │
//! ```
//! Each MAC covers both nonces and the role, so that none can be used again or sent back. Messages
//! have one length each. Nothing here reads, writes or waits.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

pub(crate) const SECRET_LEN: usize = 32;
const NONCE_LEN: usize = 32;
const IDENTITY_LEN: usize = 12;
const MAC_LEN: usize = 32;
/// A block of SHA-256.
const BLOCK_LEN: usize = 64;

const MAGIC: [u8; 8] = *b"ochtcp\0\x01";
pub(super) const CHALLENGE_LEN: usize = MAGIC.len() + NONCE_LEN;
pub(super) const ANSWER_LEN: usize = NONCE_LEN + PROOF_LEN;
pub(super) const PROOF_LEN: usize = IDENTITY_LEN + MAC_LEN;

const HOST: &[u8] = b"open-channel host";
const PEER: &[u8] = b"open-channel peer";

/// What a process has to know to connect to a host, and the host to be one.
#[derive(Clone)]
pub(crate) struct Secret([u8; SECRET_LEN]);

impl Secret {
    pub(crate) fn new(bytes: [u8; SECRET_LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; SECRET_LEN] {
        &self.0
    }
}

/// It does not end up in a log.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A number that is used once.
pub(super) type Nonce = [u8; NONCE_LEN];

/// What a process says of itself, under its MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) process: u32,
    /// In which processes have such numbers; 0 if that is not known.
    pub(crate) namespace: u64,
}

impl Identity {
    fn encode(self) -> [u8; IDENTITY_LEN] {
        let mut bytes = [0; IDENTITY_LEN];
        bytes[..4].copy_from_slice(&self.process.to_le_bytes());
        bytes[4..].copy_from_slice(&self.namespace.to_le_bytes());
        bytes
    }

    fn decode(bytes: [u8; IDENTITY_LEN]) -> Self {
        let [a, b, c, d, rest @ ..] = bytes;
        Self { process: u32::from_le_bytes([a, b, c, d]), namespace: u64::from_le_bytes(rest) }
    }
}

/// The other side does not know the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not know the secret")]
pub(super) struct Unproven;

/// A handshake of which both nonces are known.
#[derive(Debug)]
struct Exchange<'a> {
    secret: &'a Secret,
    of_peer: Nonce,
    of_host: Nonce,
}

impl Exchange<'_> {
    fn mac(&self, role: &[u8], identity: &[u8; IDENTITY_LEN]) -> Hmac<Sha256> {
        // HMAC itself fills a key up with zeros.
        let mut key = [0; BLOCK_LEN];
        key[..SECRET_LEN].copy_from_slice(&self.secret.0);
        let mut mac = Hmac::<Sha256>::new(&key.into());
        let parts = [role, &self.of_peer, &self.of_host, identity];
        parts.into_iter().for_each(|part| mac.update(part));
        mac
    }

    fn prove(&self, role: &[u8], identity: Identity) -> [u8; PROOF_LEN] {
        let identity = identity.encode();
        let mut proof = [0; PROOF_LEN];
        proof[..IDENTITY_LEN].copy_from_slice(&identity);
        proof[IDENTITY_LEN..].copy_from_slice(&self.mac(role, &identity).finalize().into_bytes());
        proof
    }

    /// In constant time.
    fn check(&self, role: &[u8], proof: &[u8; PROOF_LEN]) -> Result<Identity, Unproven> {
        let (identity, mac) = split::<IDENTITY_LEN, MAC_LEN>(proof);
        self.mac(role, &identity).verify_slice(&mac).map_err(|_| Unproven)?;
        Ok(Identity::decode(identity))
    }
}

/// The peer's side, waiting for an answer.
#[derive(Debug)]
pub(super) struct Challenger<'a> {
    secret: &'a Secret,
    nonce: Nonce,
}

impl<'a> Challenger<'a> {
    pub(super) fn new(secret: &'a Secret, nonce: Nonce) -> Self {
        Self { secret, nonce }
    }

    pub(super) fn challenge(&self) -> [u8; CHALLENGE_LEN] {
        let mut challenge = [0; CHALLENGE_LEN];
        challenge[..MAGIC.len()].copy_from_slice(&MAGIC);
        challenge[MAGIC.len()..].copy_from_slice(&self.nonce);
        challenge
    }

    /// Who the host is, and the proof that it waits for.
    pub(super) fn meet(
        self,
        answer: &[u8; ANSWER_LEN],
        own: Identity,
    ) -> Result<(Identity, [u8; PROOF_LEN]), Unproven> {
        let (of_host, proof) = split::<NONCE_LEN, PROOF_LEN>(answer);
        let exchange = Exchange { secret: self.secret, of_peer: self.nonce, of_host };
        let host = exchange.check(HOST, &proof)?;
        Ok((host, exchange.prove(PEER, own)))
    }
}

/// The host's side, waiting for a proof.
#[derive(Debug)]
pub(super) struct Challenged<'a>(Exchange<'a>);

impl<'a> Challenged<'a> {
    /// Takes a challenge; `nonce` is the host's own.
    pub(super) fn new(
        secret: &'a Secret,
        challenge: &[u8; CHALLENGE_LEN],
        nonce: Nonce,
    ) -> Result<Self, Unproven> {
        let (magic, of_peer) = split::<{ MAGIC.len() }, NONCE_LEN>(challenge);
        let exchange = Exchange { secret, of_peer, of_host: nonce };
        if magic == MAGIC { Ok(Self(exchange)) } else { Err(Unproven) }
    }

    pub(super) fn answer(&self, own: Identity) -> [u8; ANSWER_LEN] {
        let mut answer = [0; ANSWER_LEN];
        answer[..NONCE_LEN].copy_from_slice(&self.0.of_host);
        answer[NONCE_LEN..].copy_from_slice(&self.0.prove(HOST, own));
        answer
    }

    /// Who the peer is.
    pub(super) fn meet(self, proof: &[u8; PROOF_LEN]) -> Result<Identity, Unproven> {
        self.0.check(PEER, proof)
    }
}

/// The first `A` bytes and the last `B`, of which there are as many.
fn split<const A: usize, const B: usize>(bytes: &[u8]) -> ([u8; A], [u8; B]) {
    let (mut head, mut tail) = ([0; A], [0; B]);
    head.copy_from_slice(&bytes[..A]);
    tail.copy_from_slice(&bytes[bytes.len() - B..]);
    (head, tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER_IDENTITY: Identity = Identity { process: 4242, namespace: 0xeff0_0001 };
    const HOST_IDENTITY: Identity = Identity { process: 17, namespace: 0xeff0_0001 };

    fn secret(first: u8) -> Secret {
        Secret::new(counting(first))
    }

    fn counting(first: u8) -> [u8; 32] {
        std::array::from_fn(|at| first + at as u8)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The messages of one handshake.
    struct Messages {
        challenge: [u8; CHALLENGE_LEN],
        answer: [u8; ANSWER_LEN],
        proof: [u8; PROOF_LEN],
    }

    fn handshake(secret: &Secret, of_peer: Nonce, of_host: Nonce) -> Messages {
        let challenger = Challenger::new(secret, of_peer);
        let challenge = challenger.challenge();
        let host = Challenged::new(secret, &challenge, of_host).expect("a challenge");
        let answer = host.answer(HOST_IDENTITY);
        let (met, proof) = challenger.meet(&answer, PEER_IDENTITY).expect("an answer");
        assert_eq!(met, HOST_IDENTITY);
        assert_eq!(host.meet(&proof), Ok(PEER_IDENTITY));
        Messages { challenge, answer, proof }
    }

    /// Those of docs/PROTOCOL.md.
    #[test]
    fn the_test_vectors_are_met() {
        let messages = handshake(&secret(0), counting(0x20), counting(0x40));
        let text = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/PROTOCOL.md");
        let text = std::fs::read_to_string(text).expect("the protocol");
        let text = text.replace(char::is_whitespace, "");
        for (what, bytes) in [
            ("challenge", &messages.challenge[..]),
            ("answer", &messages.answer[..]),
            ("proof", &messages.proof[..]),
        ] {
            assert!(text.contains(&hex(bytes)), "the {what} is {}", hex(bytes));
        }
    }

    #[test]
    fn whoever_knows_another_secret_proves_nothing() {
        let (ours, theirs) = (secret(0), secret(1));
        let messages = handshake(&theirs, counting(0x20), counting(0x40));
        let answered = Challenger::new(&ours, counting(0x20)).meet(&messages.answer, PEER_IDENTITY);
        assert_eq!(answered, Err(Unproven));
        let host = Challenged::new(&ours, &messages.challenge, counting(0x40));
        assert_eq!(host.expect("a challenge").meet(&messages.proof), Err(Unproven));
    }

    /// With every message of earlier handshakes, of both roles, and with its own words.
    #[test]
    fn nothing_that_was_heard_proves_anything() {
        let secret = secret(0);
        let earlier = handshake(&secret, counting(0x20), counting(0x40));
        let host = || Challenged::new(&secret, &earlier.challenge, counting(0x60));
        assert_eq!(host().expect("a challenge").meet(&earlier.proof), Err(Unproven), "used again");
        let own = host().expect("a challenge").answer(HOST_IDENTITY);
        let (_, reflected) = split::<NONCE_LEN, PROOF_LEN>(&own);
        assert_eq!(host().expect("a challenge").meet(&reflected), Err(Unproven), "sent back");

        let peer = || Challenger::new(&secret, counting(0x80));
        assert_eq!(peer().meet(&earlier.answer, PEER_IDENTITY), Err(Unproven), "used again");
        // A host that only sends back what it hears: the challenge, and rubbish for the rest.
        let mut echoed = [0; ANSWER_LEN];
        echoed[..CHALLENGE_LEN].copy_from_slice(&peer().challenge());
        assert_eq!(peer().meet(&echoed, PEER_IDENTITY), Err(Unproven), "sent back");
    }

    #[test]
    fn each_changed_bit_is_noticed() {
        let secret = secret(0);
        let (of_peer, of_host) = (counting(0x20), counting(0x40));
        let Messages { challenge, answer, proof } = handshake(&secret, of_peer, of_host);
        for bit in 0..ANSWER_LEN * 8 {
            let mut answer = answer;
            answer[bit / 8] ^= 1 << (bit % 8);
            let met = Challenger::new(&secret, of_peer).meet(&answer, PEER_IDENTITY);
            assert_eq!(met, Err(Unproven), "bit {bit}");
        }
        for bit in 0..PROOF_LEN * 8 {
            let mut proof = proof;
            proof[bit / 8] ^= 1 << (bit % 8);
            let host = Challenged::new(&secret, &challenge, of_host).expect("a challenge");
            assert_eq!(host.meet(&proof), Err(Unproven), "bit {bit}");
        }
        for bit in 0..CHALLENGE_LEN * 8 {
            let mut challenge = challenge;
            challenge[bit / 8] ^= 1 << (bit % 8);
            let met =
                Challenged::new(&secret, &challenge, of_host).and_then(|host| host.meet(&proof));
            assert_eq!(met, Err(Unproven), "bit {bit}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", secret(0)), "Secret");
    }
}
