//! The kinds of measurement.

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Measure {
    /// A message there and back
    RoundTrip,
    /// Messages in a second
    Rate,
    /// A new connection
    Connect,
    /// Each message to several processes
    FanOut,
    /// The host is killed
    Failover,
}

impl Measure {
    pub(super) const ALL: [Self; 5] =
        [Self::RoundTrip, Self::Rate, Self::Connect, Self::FanOut, Self::Failover];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::RoundTrip => "round-trip",
            Self::Rate => "rate",
            Self::Connect => "connect",
            Self::FanOut => "fan-out",
            Self::Failover => "failover",
        }
    }
}
