//! A plug-in's process: a line goes in, a line comes out, and neither takes longer than it may.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::error::PluginFailure;
use super::protocol::MOST_ANSWER_BYTES;

/// A process that was started; dropping it kills it.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// `None` once something was wrong with them.
    pipes: Option<Pipes>,
}

impl Running {
    /// Starts the program. What it says on standard error is seen by whoever sees ours.
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A Ctrl-C is for us: a message that is being read when it comes is to be read to its end.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let pipes = match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Some(Pipes { input, output: BufReader::new(output) }),
            _ => None,
        };
        Ok(Self { child, pipes })
    }

    /// Hands a line over, and gives back the line that answers it. After an error there is no use for the process.
    ///
    /// Pipes know no time limit, so a thread of its own waits for them. One that waits for a process which is killed
    /// hears of it at once, unless that has left the pipes to others: the thread then waits for these, and nobody for it.
    pub(super) fn exchange(&mut self, line: Vec<u8>, within: Duration) -> Result<Vec<u8>, PluginFailure> {
        let Some(mut pipes) = self.pipes.take() else { return Err(self.ended()) };
        let done = Arc::new(Done::default());
        let tell = Arc::clone(&done);
        let waiting = move || {
            let answer = pipes.exchange(&line);
            tell.put((pipes, answer));
        };
        thread::Builder::new().name("hop-plugin".to_owned()).spawn(waiting).map_err(PluginFailure::Pipe)?;
        let Some((pipes, answer)) = done.take(within) else { return Err(PluginFailure::Silent { within }) };
        match answer {
            Ok(Some(answer)) if answer.len() > MOST_ANSWER_BYTES => Err(PluginFailure::TooLong),
            Ok(Some(answer)) => {
                self.pipes = Some(pipes);
                Ok(answer)
            }
            Ok(None) => Err(self.ended()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(self.ended()),
            Err(error) => Err(PluginFailure::Pipe(error)),
        }
    }

    /// The same, unless it has ended by itself since it was asked last.
    pub(super) fn if_there(mut self) -> Option<Self> {
        matches!(self.child.try_wait(), Ok(None)).then_some(self)
    }

    #[cfg(test)]
    pub(super) fn wait_for_its_end(&mut self) {
        drop(self.child.wait());
    }

    /// Says how it ended. One that is merely silent for ever ends here.
    fn ended(&mut self) -> PluginFailure {
        let status = self.kill().map_or_else(|error| error.to_string(), |status| status.to_string());
        PluginFailure::Ended { status }
    }

    /// What has ended by itself keeps the status that it ended with.
    fn kill(&mut self) -> io::Result<std::process::ExitStatus> {
        // Those that a script has started, too; not once it is reaped, when its number may be another's.
        #[cfg(unix)]
        if matches!(self.child.try_wait(), Ok(None)) {
            use rustix::process::{Pid, Signal, kill_process_group};
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // There is nothing more that could be done about it.
        let _ = self.kill();
    }
}

#[derive(Debug)]
struct Pipes {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Pipes {
    /// `None` at the end of what comes out.
    fn exchange(&mut self, line: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.input.write_all(line)?;
        let mut answer = Vec::new();
        // One byte more than there may be shows that there are more.
        let most = u64::try_from(MOST_ANSWER_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        self.output.by_ref().take(most).read_until(b'\n', &mut answer)?;
        let is_whole = answer.ends_with(b"\n") || answer.len() > MOST_ANSWER_BYTES;
        Ok(is_whole.then_some(answer))
    }
}

type Exchanged = (Pipes, io::Result<Option<Vec<u8>>>);

/// Where one thread leaves what another waits for.
#[derive(Default)]
struct Done {
    exchanged: Mutex<Option<Exchanged>>,
    told: Condvar,
}

impl Done {
    fn put(&self, exchanged: Exchanged) {
        *self.exchanged.lock().unwrap_or_else(PoisonError::into_inner) = Some(exchanged);
        self.told.notify_one();
    }

    fn take(&self, within: Duration) -> Option<Exchanged> {
        let exchanged = self.exchanged.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.told.wait_timeout_while(exchanged, within, |exchanged| exchanged.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }
}
