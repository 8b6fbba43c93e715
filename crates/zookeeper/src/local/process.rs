//! A process that does not outlive us.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked whether the process still runs.
const LOOK: Duration = Duration::from_millis(10);

/// A command for [`Process::start`]: the system kills what it starts when this process ends, however it ends. It does not get
/// the signals of the terminal: who started it ends it, in order.
pub fn tied(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(program).process_group(0);
    command
}

/// A running process. Killed when it is dropped.
///
/// A thread of its own starts and keeps it: the signal that `setpriv` asks for is sent when the *thread* that started the
/// process ends, and other threads may end early.
#[derive(Debug)]
pub struct Process {
    orders: SyncSender<Order>,
    thread: Option<JoinHandle<()>>,
    id: u32,
}

#[derive(Debug)]
enum Order {
    /// Send a signal, and tell whether it was sent.
    Signal(&'static str, SyncSender<bool>),
    /// Tell whether it still runs.
    Running(SyncSender<bool>),
    /// Kill and reap.
    Kill,
}

impl Process {
    /// Starts a command that [`tied`] has made.
    ///
    /// # Errors
    /// The system's.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let (orders, inbox) = sync_channel(16);
        let (started, outcome) = sync_channel(1);
        let thread = std::thread::Builder::new().name("process".to_owned()).spawn(move || {
            match command.spawn() {
                Ok(child) => {
                    // Whoever started this thread waits for it.
                    let _ = started.send(Ok(child.id()));
                    keep(child, &inbox);
                }
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
        let id = outcome.recv().map_err(|_| io::Error::other("its thread has ended"))??;
        Ok(Self { orders, thread: Some(thread), id })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Sends a signal, by its name, such as `TERM`; gives whether it was sent.
    #[must_use]
    pub fn signal(&self, name: &'static str) -> bool {
        let (answer, sent) = sync_channel(1);
        self.orders.send(Order::Signal(name, answer)).is_ok() && sent.recv().unwrap_or(false)
    }

    /// Whether it runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        let (answer, runs) = sync_channel(1);
        self.orders.send(Order::Running(answer)).is_ok() && runs.recv().unwrap_or(false)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its thread ends only by this, or by a panic, which cannot be mended here.
        let _ = self.orders.send(Order::Kill);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Signals go only to a process that is not reaped yet, so never to another one that has got its id.
fn keep(mut child: Child, inbox: &Receiver<Order>) {
    let mut running = true;
    loop {
        let order = inbox.recv_timeout(LOOK);
        running = running && matches!(child.try_wait(), Ok(None));
        match order {
            Ok(Order::Signal(name, answer)) => drop(answer.send(running && send(name, child.id()))),
            Ok(Order::Running(answer)) => drop(answer.send(running)),
            Ok(Order::Kill) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

fn send(name: &str, id: u32) -> bool {
    let sent = Command::new("kill").args(["-s", name, &id.to_string()]).status();
    sent.is_ok_and(|status| status.success())
}
