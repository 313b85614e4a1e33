use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::Scope;
use crate::telemetry::panic_text;

/// What a task's panic does to its scope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Ordinary,
    Essential,
}

pin_project! {
    /// A future under a name. A struct and not an `async` block: those hold what they capture twice, which a
    /// connection's future of some kilobytes would pay 15,000 times.
    pub(super) struct Task<F> {
        // Dropped before `membership`, so that a task counts as running until all it held is gone.
        #[pin]
        future: F,
        membership: Membership,
    }
}

struct Membership {
    scope: Scope,
    name: &'static str,
    weight: Weight,
}

impl<F> Task<F> {
    pub(super) fn new(scope: Scope, name: &'static str, weight: Weight, future: F) -> Self {
        Self { future, membership: Membership { scope, name, weight } }
    }
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        // Nobody looks at the future again after a panic: it is dropped with the task.
        catch_unwind(AssertUnwindSafe(|| this.future.poll(context))).unwrap_or_else(|panic| {
            this.membership.report(panic.as_ref());
            Poll::Ready(())
        })
    }
}

impl Membership {
    fn report(&self, panic: &(dyn Any + Send)) {
        let message = panic_text(panic);
        match self.weight {
            Weight::Ordinary => tracing::error!(task = self.name, message, "a task panicked"),
            Weight::Essential => {
                tracing::error!(task = self.name, message, "an essential task panicked: shutting down");
                self.scope.lose(self.name);
            }
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.scope.leave(self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_costs_its_future_and_little_more() {
        let scope = Scope::new();
        let overhead = |bytes| size_of::<Task<[u8; 4096]>>() - bytes;
        assert!(overhead(4096) <= 40, "{} bytes", overhead(4096));
        drop(scope);
    }
}
