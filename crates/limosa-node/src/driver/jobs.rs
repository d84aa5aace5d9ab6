//! A thread that carries out a session's jobs against the store, one after another: disk and hashing never hold up a network task.

use std::sync::mpsc as sync;
use std::thread;

use tokio::sync::mpsc;

/// Jobs in, answers out, both in order. Ends when it is dropped, after the job that is under way.
pub(super) struct JobThread<J, A> {
    jobs: sync::Sender<J>,
    answers: mpsc::UnboundedReceiver<A>,
}

impl<J: Send + 'static, A: Send + 'static> JobThread<J, A> {
    /// Starts a thread called `name` that passes each job to `carry_out`, which answers through the sender it is given, or not at all.
    pub(super) fn spawn(name: &str, mut carry_out: impl FnMut(J, &mpsc::UnboundedSender<A>) + Send + 'static) -> Self {
        let (jobs, queue) = sync::channel::<J>();
        let (answer, answers) = mpsc::unbounded_channel();
        let run = move || {
            while let Ok(job) = queue.recv() {
                carry_out(job, &answer);
            }
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .expect("the operating system gives a thread for each of a bounded number of peers");
        Self { jobs, answers }
    }

    /// Queues a job.
    pub(super) fn push(&self, job: J) {
        self.jobs.send(job).expect("the thread ends only when this value is dropped; a panic in it is a broken invariant");
    }

    /// Queues jobs from elsewhere.
    pub(super) fn sender(&self) -> JobSender<J> {
        JobSender { jobs: self.jobs.clone() }
    }

    /// Ends when every job that was queued has been carried out; their answers are dropped.
    pub(super) async fn finish(mut self) {
        let (nobody, _) = sync::channel();
        drop(std::mem::replace(&mut self.jobs, nobody));
        while self.answers.recv().await.is_some() {}
    }

    /// The next answer. Safe to drop and call again.
    pub(super) async fn answer(&mut self) -> A {
        self.answers.recv().await.expect("the thread ends only when this value is dropped; a panic in it is a broken invariant")
    }
}

/// A way to queue jobs from a task that does not hold the thread.
pub(super) struct JobSender<J> {
    jobs: sync::Sender<J>,
}

impl<J> JobSender<J> {
    /// Queues a job; dropped where the thread has ended.
    pub(super) fn push(&self, job: J) {
        let _ = self.jobs.send(job); // whoever held the thread has ended
    }
}
