//! The ends that one side has of a pair of rings.
use crate::consumer::Consumer;
use crate::layout::Layout;
use crate::producer::Producer;
use crate::region::Region;
use crate::wake::Wake;

/// One side's ends of a pair of rings.
pub struct RingEnds<R, W> {
    /// Writes to the other side.
    pub producer: Producer<R, W>,
    /// Reads from the other side.
    pub consumer: Consumer<R, W>,
    /// Wakes this side, whichever end it waits for.
    pub doorbell: W,
}

impl<R: Region, W: Wake + Clone> RingEnds<R, W> {
    /// The side that offers, which writes the up ring. `doorbell` is its own, `others` the other
    /// side's.
    ///
    /// # Panics
    /// If `region` is smaller than `layout` asks for.
    pub fn offering(region: R, layout: Layout, doorbell: W, others: W) -> Self {
        let producer = Producer::new(region.clone(), layout.up_ring(), others.clone());
        let consumer = Consumer::new(region, layout.down_ring(), others);
        RingEnds { producer: producer.with_lap(layout.lap()), consumer, doorbell }
    }

    /// The side that accepts, which reads the up ring. `doorbell` is its own, `others` the other
    /// side's.
    ///
    /// # Panics
    /// If `region` is smaller than `layout` asks for.
    pub fn accepting(region: R, layout: Layout, doorbell: W, others: W) -> Self {
        let producer = Producer::new(region.clone(), layout.down_ring(), others.clone());
        let consumer = Consumer::new(region, layout.up_ring(), others);
        RingEnds { producer: producer.with_lap(layout.lap()), consumer, doorbell }
    }
}
