//! What all faces hold: the engine, for as long as any of them is there.

use std::fmt;
use std::sync::Arc;

use open_channel::hosting::ProcessLocal;
use tokio::runtime;
use tokio::sync::Mutex;

use crate::core::Refused;
use crate::engine::{Ending, Engine};
use crate::error::Error;
use crate::forked::Forked;

/// A kind of work that has room of its own in a member.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Face {
    Publications,
    Subscriptions,
    Calls,
    Locks,
    Jobs,
    Workers,
    Writes,
}

const FACES: usize = Face::Writes as usize + 1;

/// A member's engine. The member leaves in the background when the last handle is dropped.
pub(crate) struct Handle {
    engine: ProcessLocal<Arc<dyn Engine>>,
    background: runtime::Handle,
    /// Nothing small overtakes something large that waits for room.
    turns: [Mutex<()>; FACES],
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine().fmt(f)
    }
}

impl Handle {
    pub(crate) fn new(engine: Arc<dyn Engine>, background: runtime::Handle) -> Arc<Self> {
        Arc::new(Self { engine: ProcessLocal::new(engine), background, turns: Default::default() })
    }

    pub(crate) fn engine(&self) -> &dyn Engine {
        self.engine.get().map_or(&Forked, |engine| &**engine)
    }

    /// Begins something, once there is room for it; each face in the order of the first polls.
    pub(crate) async fn begin<T>(
        &self,
        face: Face,
        mut begin: impl FnMut(&dyn Engine) -> Result<T, Refused>,
    ) -> Result<T, Error> {
        let engine = self.engine();
        let _turn = self.turns[face as usize].lock().await;
        loop {
            match begin(engine) {
                Err(Refused::Full) => {}
                begun => return begun.map_err(|refused| self.refused(refused)),
            }
            // What makes room from here on is not missed.
            let room = engine.room();
            match begin(engine) {
                Err(Refused::Full) => room.await,
                begun => return begun.map_err(|refused| self.refused(refused)),
            }
        }
    }

    pub(crate) fn refused(&self, refused: Refused) -> Error {
        match refused {
            Refused::Left => self.engine().error(),
            refused => refused.into(),
        }
    }

    /// Waits for the end of something.
    pub(crate) async fn end<T>(&self, ending: Ending<T>) -> Result<T, Error> {
        ending.await.map_err(|_| self.engine().error())
    }

    pub(crate) async fn leave(&self) -> Result<(), Error> {
        let Some(engine) = self.engine.get().cloned() else { return self.engine().leave().await };
        // It goes on when the caller does not wait.
        let left = self.background.spawn(async move { engine.leave().await });
        left.await.unwrap_or(Err(Error::Left))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let Some(engine) = self.engine.get().cloned() else { return };
        self.background.spawn(async move { engine.leave().await });
    }
}
