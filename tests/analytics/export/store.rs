use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, pending, ready};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

/// A place in memory that keeps count of what is done there, and where something happens at what the test names.
#[derive(Debug)]
pub(super) struct Faulty {
    pub(super) inner: Arc<InMemory>,
    pub(super) plan: Arc<Plan>,
}

/// What happens, and when.
#[derive(Debug)]
pub(super) struct Plan {
    when: When,
    how: How,
    /// What was asked, in its order.
    asked: Mutex<Vec<String>>,
    /// One for each time that it has happened; several may happen side by side.
    happens: Semaphore,
    /// One for each that waits and may go on.
    goes_on: Semaphore,
}

#[derive(Clone, Debug)]
pub(super) enum When {
    Never,
    /// The first operation is number 0.
    Nth(usize),
    /// Each of which this is a part: `put fact_spans/part-0.parquet`.
    Each(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// It is not done, and an error is the answer.
    Fails,
    /// It is done, and an error is the answer.
    IsDoneAndFails,
    /// It is not done, and there is never an answer: who waits for it is killed.
    Stops,
    /// It is done, and there is never an answer.
    IsDoneAndStops,
    /// It is done when [`Plan::go_on`] says so.
    Waits,
}

#[derive(Debug)]
struct Upload {
    inner: Box<dyn MultipartUpload>,
    plan: Arc<Plan>,
    at: Path,
}

type Pinned<'t, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 't>>;

impl Faulty {
    /// Over a copy of what is at another place.
    pub(super) fn over(before: &InMemory, when: When, how: How) -> Self {
        let (happens, goes_on) = (Semaphore::new(0), Semaphore::new(0));
        let plan = Arc::new(Plan { when, how, asked: Mutex::default(), happens, goes_on });
        Self { inner: Arc::new(before.fork()), plan }
    }
}

impl Plan {
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }

    /// Whether it has happened by now.
    pub(super) fn has_happened(&self) -> bool {
        matches!(self.when, When::Nth(number) if number < self.asked.lock().len())
    }

    /// Waits until it happens.
    pub(super) async fn happens(&self) {
        take(&self.happens).await;
    }

    /// Has one that waits go on.
    pub(super) fn go_on(&self) {
        self.goes_on.add_permits(1);
    }

    fn is_now(&self, what: String) -> bool {
        let mut asked = self.asked.lock();
        let is_now = match &self.when {
            When::Never => false,
            When::Nth(number) => *number == asked.len(),
            When::Each(part) => what.contains(part),
        };
        asked.push(what);
        is_now
    }

    async fn through<T>(&self, what: String, operation: impl Future<Output = Result<T>>) -> Result<T> {
        if !self.is_now(what) {
            return operation.await;
        }
        let refused = || Error::Generic { store: "faulty", source: "as the test has it".into() };
        match self.how {
            How::Fails => Err(refused()),
            How::IsDoneAndFails => {
                _ = operation.await;
                Err(refused())
            }
            How::Stops => {
                self.happens.add_permits(1);
                pending().await
            }
            How::IsDoneAndStops => {
                _ = operation.await;
                self.happens.add_permits(1);
                pending().await
            }
            How::Waits => {
                self.happens.add_permits(1);
                take(&self.goes_on).await;
                operation.await
            }
        }
    }
}

async fn take(from: &Semaphore) {
    from.acquire().await.expect("nobody closes it").forget();
}

/// All that is at a place, by name.
pub(super) async fn contents(at: &dyn ObjectStore, prefix: &Path) -> BTreeMap<String, Bytes> {
    let files: Vec<ObjectMeta> = at.list(Some(prefix)).try_collect().await.expect("it is in memory");
    let mut held = BTreeMap::new();
    for file in files {
        let body =
            at.get(&file.location).await.expect("it is listed").bytes().await.expect("it is in memory");
        let name = file
            .location
            .prefix_match(prefix)
            .expect("it was asked for")
            .map(|part| part.as_ref().to_owned());
        held.insert(name.collect::<Vec<_>>().join("/"), body);
    }
    held
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

/// As `async_trait` writes it, which is `object_store`'s own and none of ours.
impl ObjectStore for Faulty {
    fn put_opts<'a, 'b, 't>(
        &'a self,
        location: &'b Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Pinned<'t, PutResult>
    where
        'a: 't,
        'b: 't,
        Self: 't,
    {
        let operation = self.inner.put_opts(location, payload, options);
        Box::pin(self.plan.through(format!("put {location}"), operation))
    }

    fn put_multipart_opts<'a, 'b, 't>(
        &'a self,
        location: &'b Path,
        options: PutMultipartOptions,
    ) -> Pinned<'t, Box<dyn MultipartUpload>>
    where
        'a: 't,
        'b: 't,
        Self: 't,
    {
        Box::pin(async move {
            let operation = self.inner.put_multipart_opts(location, options);
            let inner = self.plan.through(format!("begin {location}"), operation).await?;
            Ok(Box::new(Upload { inner, plan: Arc::clone(&self.plan), at: location.clone() }) as _)
        })
    }

    fn get_opts<'a, 'b, 't>(&'a self, location: &'b Path, options: GetOptions) -> Pinned<'t, GetResult>
    where
        'a: 't,
        'b: 't,
        Self: 't,
    {
        Box::pin(self.plan.through(format!("get {location}"), self.inner.get_opts(location, options)))
    }

    fn get_ranges<'a, 'b, 'c, 't>(
        &'a self,
        location: &'b Path,
        ranges: &'c [Range<u64>],
    ) -> Pinned<'t, Vec<Bytes>>
    where
        'a: 't,
        'b: 't,
        'c: 't,
        Self: 't,
    {
        self.inner.get_ranges(location, ranges)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, plan) = (Arc::clone(&self.inner), Arc::clone(&self.plan));
        let delete = move |location: Path| {
            let (inner, plan) = (Arc::clone(&inner), Arc::clone(&plan));
            async move {
                plan.through(format!("delete {location}"), inner.delete(&location)).await?;
                Ok(location)
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (plan, found) = (Arc::clone(&self.plan), self.inner.list(prefix));
        let what = format!("list {}", prefix.map(Path::as_ref).unwrap_or_default());
        stream::once(async move { plan.through(what, ready(Ok(found))).await }).try_flatten().boxed()
    }

    fn list_with_delimiter<'a, 'b, 't>(&'a self, prefix: Option<&'b Path>) -> Pinned<'t, ListResult>
    where
        'a: 't,
        'b: 't,
        Self: 't,
    {
        self.inner.list_with_delimiter(prefix)
    }

    fn copy_opts<'a, 'b, 'c, 't>(
        &'a self,
        from: &'b Path,
        to: &'c Path,
        options: CopyOptions,
    ) -> Pinned<'t, ()>
    where
        'a: 't,
        'b: 't,
        'c: 't,
        Self: 't,
    {
        self.inner.copy_opts(from, to, options)
    }
}

impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (plan, operation) = (Arc::clone(&self.plan), self.inner.put_part(data));
        let what = format!("part {}", self.at);
        Box::pin(async move { plan.through(what, operation).await })
    }

    fn complete<'a, 't>(&'a mut self) -> Pinned<'t, PutResult>
    where
        'a: 't,
        Self: 't,
    {
        let what = format!("complete {}", self.at);
        Box::pin(self.plan.through(what, self.inner.complete()))
    }

    fn abort<'a, 't>(&'a mut self) -> Pinned<'t, ()>
    where
        'a: 't,
        Self: 't,
    {
        self.inner.abort()
    }
}
