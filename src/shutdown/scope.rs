use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::task::{Task, Weight};

/// A group of tasks that are told to stop together and waited for together.
///
/// Clones are the same scope. A task costs 40 bytes here, so a connection can afford one.
#[derive(Clone)]
pub struct Scope(Arc<Inner>);

struct Inner {
    closing: CancellationToken,
    tracker: TaskTracker,
    /// How many tasks of each name run; a scope has a handful of names, however many tasks.
    running: Mutex<Vec<Straggler>>,
    casualty: OnceLock<&'static str>,
}

/// What became of a scope's tasks at its end.
#[must_use = "abandoned tasks hold what they had: say so in the log and in the exit status"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All have ended.
    Clean,
    /// The grace period was over before these had ended.
    Abandoned(Vec<Straggler>),
}

/// Tasks of one name that still run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Straggler {
    /// The name given to [`Scope::spawn`].
    pub name: &'static str,
    /// How many there are; at least 1.
    pub tasks: usize,
}

/// `session ×12`, or the name alone.
impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tasks {
            1 => f.write_str(self.name),
            tasks => write!(f, "{} ×{tasks}", self.name),
        }
    }
}

impl Scope {
    /// An open scope without tasks, below no other.
    pub fn new() -> Self {
        Self::over(CancellationToken::new())
    }

    /// A scope that closes with this one, or before it, and is drained on its own: draining the parent does not
    /// wait for the child's tasks.
    #[must_use = "a scope that is dropped cannot be drained"]
    pub fn child(&self) -> Self {
        Self::over(self.0.closing.child_token())
    }

    fn over(closing: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            closing,
            tracker: TaskTracker::new(),
            running: Mutex::default(),
            casualty: OnceLock::new(),
        }))
    }

    /// Starts `task` under `name`. A panic in it is logged with the name and ends this task alone.
    ///
    /// A closing scope takes tasks too: what is told to stop may need help with its last work.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(name, Weight::Ordinary, task);
    }

    /// The same for a task that the others are useless without: a panic in it closes this scope, and
    /// [`Scope::casualty`] tells which it was.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn_essential<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(name, Weight::Essential, task);
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that starts tasks")]
    fn start<F>(&self, name: &'static str, weight: Weight, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.enter(name);
        tokio::spawn(self.0.tracker.track_future(Task::new(self.clone(), name, weight, task)));
    }

    /// Waits until the scope is closing. Cancel safe.
    pub async fn closing(&self) {
        self.0.closing.cancelled().await;
    }

    /// Whether the tasks have been told to stop.
    pub fn is_closing(&self) -> bool {
        self.0.closing.is_cancelled()
    }

    /// Tells the tasks to stop, those of all child scopes included. Does not wait for them.
    pub fn close(&self) {
        self.0.closing.cancel();
    }

    /// The first essential task that panicked, if one did: the process has not stopped because it was asked to.
    pub fn casualty(&self) -> Option<&'static str> {
        self.0.casualty.get().copied()
    }

    /// Closes the scope and waits for its tasks, for `grace` at most.
    ///
    /// Cancel safe. Abandoned tasks go on until the runtime ends; a second call waits for them again.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.close();
        self.0.tracker.close();
        match tokio::time::timeout(grace, self.0.tracker.wait()).await {
            Ok(()) => Drained::Clean,
            Err(_) => Drained::Abandoned(self.running()),
        }
    }

    /// The tasks that run now, by name.
    pub fn running(&self) -> Vec<Straggler> {
        self.0.running.lock().iter().filter(|entry| entry.tasks > 0).copied().collect()
    }

    fn enter(&self, name: &'static str) {
        let mut running = self.0.running.lock();
        match running.iter_mut().find(|entry| entry.name == name) {
            Some(entry) => entry.tasks += 1,
            None => running.push(Straggler { name, tasks: 1 }),
        }
    }

    pub(super) fn leave(&self, name: &'static str) {
        if let Some(entry) = self.0.running.lock().iter_mut().find(|entry| entry.name == name) {
            entry.tasks -= 1;
        }
    }

    pub(super) fn lose(&self, name: &'static str) {
        // A second casualty is most often a consequence of the first.
        let _ = self.0.casualty.set(name);
        self.close();
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("closing", &self.is_closing())
            .field("running", &self.running())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn closing_reaches_every_task_and_draining_waits_for_it() {
        let scope = Scope::new();
        let (done, mut finished) = oneshot::channel();
        let inner = scope.clone();
        scope.spawn("worker", async move {
            inner.closing().await;
            tokio::task::yield_now().await;
            done.send(()).expect("the test waits for it");
        });
        assert!(!scope.is_closing());
        assert_eq!(scope.drain(SOON).await, Drained::Clean);
        assert_eq!(finished.try_recv(), Ok(()));
        assert_eq!(scope.running(), []);
    }

    #[tokio::test]
    async fn what_outlives_its_grace_is_named_and_counted() {
        let scope = Scope::new();
        let (release, gate) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel::<()>();
        scope.spawn("stuck", async move { drop(gate.await) });
        scope.spawn("stuck", std::future::pending());
        scope.spawn("obedient", async move { drop(ended.await) });
        drop(end);
        tokio::task::yield_now().await;
        let Drained::Abandoned(left) = scope.drain(Duration::ZERO).await else { panic!("drained") };
        assert_eq!(left, [Straggler { name: "stuck", tasks: 2 }]);
        assert_eq!(left[0].to_string(), "stuck ×2");
        drop(release);
    }

    #[tokio::test]
    async fn a_child_closes_with_its_parent_but_not_the_other_way_round() {
        let parent = Scope::new();
        let (first, second) = (parent.child(), parent.child());
        first.close();
        assert!(!parent.is_closing() && !second.is_closing());
        parent.close();
        tokio::time::timeout(SOON, second.closing()).await.expect("closes with its parent");
        assert_eq!(second.drain(SOON).await, Drained::Clean);
    }

    #[tokio::test]
    async fn a_panic_ends_its_task_alone() {
        let scope = Scope::new();
        scope.spawn("clumsy", async { panic!("on purpose") });
        let (done, finished) = oneshot::channel();
        scope.spawn("careful", async move { done.send(()).expect("the test waits for it") });
        finished.await.expect("the other task runs on");
        assert_eq!((scope.is_closing(), scope.casualty()), (false, None));
        assert_eq!(scope.drain(SOON).await, Drained::Clean);
    }

    #[tokio::test]
    async fn a_panic_in_an_essential_task_closes_the_scope_and_names_it() {
        let scope = Scope::new();
        scope.spawn_essential("relay", async { panic!("on purpose") });
        tokio::time::timeout(SOON, scope.closing()).await.expect("closes by itself");
        assert_eq!(scope.casualty(), Some("relay"));
        assert_eq!(scope.drain(SOON).await, Drained::Clean);
    }

    #[tokio::test]
    async fn a_closing_scope_still_takes_tasks_and_waits_for_them() {
        let scope = Scope::new();
        scope.close();
        let (release, gate) = oneshot::channel::<()>();
        scope.spawn("last work", async move { drop(gate.await) });
        assert!(matches!(scope.drain(Duration::ZERO).await, Drained::Abandoned(_)));
        drop(release);
        assert_eq!(scope.drain(SOON).await, Drained::Clean);
    }
}
