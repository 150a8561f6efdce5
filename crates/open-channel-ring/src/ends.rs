//! Both ends that one side has of a pair of rings.
use crate::consumer::Consumer;
use crate::layout::Layout;
use crate::producer::Producer;
use crate::spsc::{Region, Wake};

/// One side's ends of the two rings.
pub struct RingEnds<R, W> {
    /// Writes to the other side.
    pub producer: Producer<R, W>,
    /// Reads from the other side.
    pub consumer: Consumer<R, W>,
    /// What this side sleeps on, for either end.
    pub doorbell: W,
}

impl<R: Region, W: Wake + Clone> RingEnds<R, W> {
    /// The side that offers: it writes the up ring.
    pub fn offering(region: R, layout: Layout, doorbell: W, others: W) -> Self {
        let producer = Producer::new(region.clone(), layout.up_ring(), others.clone());
        let consumer = Consumer::new(region, layout.down_ring(), others);
        RingEnds { producer, consumer, doorbell }
    }

    /// The side that accepts: it reads the up ring.
    pub fn accepting(region: R, layout: Layout, doorbell: W, others: W) -> Self {
        let producer = Producer::new(region.clone(), layout.down_ring(), others.clone());
        let consumer = Consumer::new(region, layout.up_ring(), others);
        RingEnds { producer, consumer, doorbell }
    }
}
