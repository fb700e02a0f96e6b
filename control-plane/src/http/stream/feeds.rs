//! Looks at what is followed, once for all streams of this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::super::Api;
use super::frame::Frame;
use super::looks;
use super::topic::Topic;

/// The latest state of a topic; `None` until the first look.
pub(super) type Latest = watch::Receiver<Option<Arc<Frame>>>;
type Told = Arc<watch::Sender<Option<Arc<Frame>>>>;

/// What is followed at the moment.
#[derive(Clone, Default)]
pub(in super::super) struct Feeds(Arc<Mutex<HashMap<Topic, Told>>>);

impl Feeds {
    /// Follows a topic; looking at it ends when nobody does. A receiver is closed when the server shuts down.
    pub(super) fn follow(&self, api: &Api, topic: &Topic) -> Latest {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = feeds.get(topic) {
            return told.subscribe();
        }
        let (told, latest) = watch::channel(None);
        let told = Arc::new(told);
        feeds.insert(topic.clone(), Arc::clone(&told));
        let feed = Feed {
            feeds: self.clone(),
            topic: topic.clone(),
            told,
        };
        tokio::spawn(feed.run(api.clone()));
        latest
    }
}

/// One topic that is looked at.
struct Feed {
    feeds: Feeds,
    topic: Topic,
    told: Told,
}

impl Feed {
    async fn run(self, api: Api) {
        let tell = |frame| self.tell(frame);
        tokio::select! {
            () = looks::look(&api, &self.topic, &tell) => {}
            () = api.closing() => {}
            () = self.abandoned() => {}
        }
    }

    /// Until nobody follows the topic any more. Whoever follows it from then on begins anew.
    async fn abandoned(&self) {
        loop {
            self.told.closed().await;
            let mut feeds = self.feeds.0.lock().unwrap_or_else(PoisonError::into_inner);
            if self.told.receiver_count() == 0 {
                self.forget(&mut feeds);
                return;
            }
        }
    }

    fn forget(&self, feeds: &mut HashMap<Topic, Told>) {
        if feeds.get(&self.topic).is_some_and(|told| Arc::ptr_eq(told, &self.told)) {
            feeds.remove(&self.topic);
        }
    }

    fn tell(&self, frame: Frame) {
        self.told.send_if_modified(|latest| {
            let differs = latest.as_ref().is_none_or(|latest| latest.version != frame.version);
            if differs {
                *latest = Some(Arc::new(frame));
            }
            differs
        });
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut feeds = self.feeds.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.forget(&mut feeds);
    }
}
