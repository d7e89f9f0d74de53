//! Spans: how one request is followed from its caller through the actors.
//!
//! ```text
//! (the host's span) > call > message > message ...    one per hop, under the asker's
//!                          > wait  > message ...      a hit that had to wait after all
//!                                    > backend        the store or the server at work
//! ```
//!
//! Owns the names and fields of all spans, so that what they say can be seen on one page: words of
//! fixed lists, the engine's own numbers, and the request id that the host bound to its handle
//! ([`Caller`]). No principal, key, context or text of an error stands in a span.
//!
//! A hit has no span: it is a passage of the gate on the caller's own thread, in the caller's own
//! span. What the engine does by itself, by a timer, has none either. Where no subscriber wants
//! spans of the target [`TARGET`], making one costs a load and a branch.

use core::time::Duration;

use tracing::Span;

use crate::audit::Caller;

/// The target of all spans.
pub(crate) const TARGET: &str = "portcullis";

/// A call of a host that hops: the root of what the engine does for it.
pub(crate) fn call(caller: &Caller, operation: &'static str) -> Span {
    let request_id = request_id(caller);
    tracing::info_span!(target: TARGET, "call", otel.name = operation, operation, request_id)
}

/// What a hit waits for, holding no permit.
pub(crate) fn wait(caller: &Caller, what: &'static str) -> Span {
    let request_id = request_id(caller);
    tracing::info_span!(target: TARGET, "wait", otel.name = what, what, request_id)
}

/// A message of type `M` that `actor` handles after it `waited` in its queue, for whoever works in
/// `parent`; nothing where nobody does.
pub(crate) fn message<M>(parent: &Span, actor: &'static str, waited: Duration) -> Span {
    if parent.is_none() {
        return Span::none();
    }
    let path = core::any::type_name::<M>();
    let message = path.rsplit("::").next().unwrap_or(path);
    let waited_us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
    tracing::info_span!(
        target: TARGET,
        parent: parent,
        "message",
        otel.name = message,
        actor,
        message,
        waited_us,
    )
}

/// A call to the backend for whoever works in the current span; nothing where nobody does.
pub(crate) fn backend(backend: &'static str, call: &'static str) -> Span {
    if Span::current().is_none() {
        return Span::none();
    }
    tracing::info_span!(target: TARGET, "backend", otel.name = call, backend, call)
}

fn request_id(caller: &Caller) -> Option<&str> {
    Some(caller.request_id()).filter(|id| !id.is_empty())
}
