//! Calls as tower services, both ways.
#![cfg(feature = "tower")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use open_channel_group::{Call, CallOptions, Error, Group};
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[tokio::test]
async fn a_tower_service_serves_and_another_one_calls_it() {
    let dir = tempfile::tempdir().unwrap();
    let group = Group::builder("tower").runtime_dir(dir.path().join("d")).join().await.unwrap();
    let upper =
        service_fn(
            |call: Call| async move { Ok::<_, Infallible>(call.payload.to_ascii_uppercase()) },
        );
    let served = ServiceBuilder::new().concurrency_limit(2).service(upper);
    let _served = group.serve_with("upper", served).await.unwrap();
    let caller = ServiceBuilder::new()
        .timeout(Duration::from_secs(60))
        .service(group.caller("upper", CallOptions::default()));
    assert_eq!(caller.oneshot(Bytes::from("shout")).await.unwrap(), "SHOUT");
    let nobody = group.caller("nobody", CallOptions::default());
    assert!(matches!(nobody.oneshot(Bytes::new()).await, Err(Error::NoSuchService)));
    group.close().await.unwrap();
}
