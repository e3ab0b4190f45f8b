//! Services that the spinning thread answers itself, between two spins.

use anyhow::Context as _;
use futures::{FutureExt, StreamExt, stream::LocalBoxStream};
use r2r::{QosProfile, ServiceRequest, WrappedServiceTypeSupport};

/// Requests to one service.
pub(super) type Requests<S> = LocalBoxStream<'static, ServiceRequest<S>>;

/// Offers a service.
///
/// # Errors
/// When ROS 2 refuses it.
pub(super) fn offer<S: WrappedServiceTypeSupport + 'static>(
    node: &mut r2r::Node,
    name: &str,
) -> anyhow::Result<Requests<S>> {
    let requests = node.create_service::<S>(name, QosProfile::services_default());
    Ok(requests.with_context(|| format!("ROS 2 refuses the service {name}"))?.boxed_local())
}

/// The next request, if one waits.
pub(super) fn waiting<S: WrappedServiceTypeSupport>(requests: &mut Requests<S>) -> Option<ServiceRequest<S>> {
    requests.next().now_or_never().flatten()
}

/// Answers a request.
pub(super) fn respond<S: WrappedServiceTypeSupport + 'static>(request: ServiceRequest<S>, response: S::Response) {
    // Whoever asked may be gone by now.
    if let Err(error) = request.respond(response) {
        tracing::debug!("the answer to a request is lost: {error}");
    }
}
