//! Calls and services as [`tower_service::Service`]s, with the feature `tower`.

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tower_service::Service;

use crate::core::CallOptions;
use crate::error::Error;
use crate::faces::calls::{self, Call};
use crate::faces::group::Group;

/// Calls a service of a group; from [`Group::caller`]. Cheap to clone, and always ready: a call
/// waits for room by itself.
#[derive(Debug, Clone)]
pub struct Caller {
    group: Group,
    service: String,
    options: CallOptions,
}

impl Service<Bytes> for Caller {
    type Response = Bytes;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, payload: Bytes) -> Self::Future {
        let Self { group, service, options } = self.clone();
        Box::pin(async move { group.call_with(&service, payload, options).await })
    }
}

/// With tower.
impl Group {
    /// A tower service that calls the service of this name.
    pub fn caller(&self, service: &str, options: CallOptions) -> Caller {
        Caller { group: self.clone(), service: service.to_owned(), options }
    }

    /// Serves a service with a tower service, of which each call gets a clone.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    ///
    /// # Cancel safety
    /// As [`serve`](Self::serve).
    pub async fn serve_with<S>(&self, name: &str, service: S) -> Result<calls::Service, Error>
    where
        S: Service<Call> + Clone + Send + 'static,
        S::Response: Into<Bytes> + 'static,
        S::Error: Display + 'static,
        S::Future: Send,
    {
        let handler = move |call| {
            let mut service = service.clone();
            async move {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                service.call(call).await
            }
        };
        self.serve(name, handler).await
    }
}
