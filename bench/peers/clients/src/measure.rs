//! Runs a command and prints what it took.
//!
//! `measure COMMAND [ARGUMENTS]` reads the command's standard output through a pipe, to its end; its standard input is
//! this program's. It prints one line: seconds until it ended and until its first output, seconds of CPU in the program and
//! in the system for it, the peak of its memory in KiB, lines and bytes of output; then the last line of the output. Ends
//! with 1 when the command fails.
//!
//! A program of its own, because the peak that the system reports of a process begins with that of the process which
//! started it, before the `exec`: this one is small.

use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// As much of the end of the output as the last line may have.
const TAIL: usize = 1000;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: measure COMMAND [ARGUMENTS]");
        return ExitCode::from(2);
    };
    let started = Instant::now();
    let mut child = Command::new(&program)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut output = child.stdout.take().expect("a pipe");
    let (mut lines, mut bytes) = (0, 0);
    let mut first_output = None;
    let mut tail = Vec::new();
    let mut buffer = [0; 64 * 1024];
    loop {
        let read = output.read(&mut buffer).expect("the pipe can be read");
        let part = &buffer[..read];
        if part.is_empty() {
            break;
        }
        first_output.get_or_insert_with(|| started.elapsed().as_secs_f64());
        lines += memchr::memchr_iter(b'\n', part).count();
        bytes += read;
        tail.extend_from_slice(&part[part.len().saturating_sub(TAIL)..]);
        tail.drain(..tail.len().saturating_sub(TAIL));
    }
    let status = child.wait().expect("it can be waited for");
    let wall = started.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("its usage is known");
    println!(
        "{wall:.6} {:.6} {:.6} {:.6} {} {lines} {bytes}",
        first_output.unwrap_or(wall),
        seconds(usage.user_time()),
        seconds(usage.system_time()),
        usage.max_rss(),
    );
    println!("{}", String::from_utf8_lossy(&tail).lines().last().unwrap_or_default());
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}
