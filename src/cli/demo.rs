//! `hop demo`: the main job from beginning to end, on a broker of its own. It leaves nothing behind.
//!
//! Each command is shown as one would type it, and run as that: by this program, started anew.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::broker::{Broker, StartError};

use super::{Failure, Outcome};

const USER: &str = "astronomer";
const TOPIC: &str = "alerts";
/// The messages, and the format of each: written for this purpose, of things that did not happen.
const SAMPLES: [(&str, &str, &[u8]); 3] = [
    ("CIRCULAR", "circular.gcn3", include_bytes!("../../examples/data/circular.gcn3")),
    ("VOEVENT", "voevent.xml", include_bytes!("../../examples/data/voevent.xml")),
    ("JSON", "alert.json", include_bytes!("../../examples/data/alert.json")),
];

pub(super) fn run() -> Outcome {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let shown = runtime.block_on(async {
        let scratch = Scratch::new().map_err(DemoFailure::Scratch)?;
        let password = uuid::Uuid::new_v4().simple().to_string();
        let broker = Broker::builder()
            .listen("localhost", 0)
            .tls()
            .user(USER, password.clone())
            .topic(TOPIC, 3)
            .start()
            .await
            .map_err(DemoFailure::Broker)?;
        let demo = Demo {
            directory: scratch.0.clone(),
            url: format!("kafka://{}/{TOPIC}", broker.address()),
            address: broker.address(),
            certificate: broker.certificate_pem().unwrap_or_default().to_owned(),
            password,
        };
        // The commands are waited for on a thread of its own: the broker is to answer them.
        tokio::task::spawn_blocking(move || demo.show()).await.map_err(|_| DemoFailure::Interrupted)?
    });
    Ok(shown?)
}

struct Demo {
    directory: PathBuf,
    url: String,
    address: String,
    certificate: String,
    password: String,
}

impl Demo {
    fn show(&self) -> Result<(), DemoFailure> {
        let (address, password) = (&self.address, &self.password);
        say(&format!(
            "A Kafka broker runs on this machine at {address}, for users with a password, over TLS."
        ))?;
        say("A credential, as the operator of a broker hands it out, is stored for it.")?;
        self.write("ca.pem", self.certificate.as_bytes())?;
        let ca = self.directory.join("ca.pem");
        let credential = format!(
            "username,password,hostname,mechanism,protocol,ssl_ca_location\n{USER},{password},{address},SCRAM-SHA-512,SASL_SSL,{}\n",
            ca.display()
        );
        self.write("credential.csv", credential.as_bytes())?;
        self.hop(&["auth", "add", "credential.csv"])?;
        say("A circular, a VOEvent and an alert in JSON are published.")?;
        for (format, name, content) in SAMPLES {
            self.write(name, content)?;
            self.hop(&["publish", "-f", format, &self.url, name])?;
        }
        say("And here they are again, from the beginning of the topic; with -p, hop would wait for more.")?;
        self.hop(&["subscribe", "-s", "EARLIEST", &self.url])?;
        say(
            "That is all. The same commands work with any Kafka; 'hop help' names the others. Nothing was left behind.",
        )
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), DemoFailure> {
        fs::write(self.directory.join(name), content).map_err(DemoFailure::Scratch)
    }

    /// Shows a command, and runs it in the scratch directory with a configuration of its own.
    fn hop(&self, arguments: &[&str]) -> Result<(), DemoFailure> {
        print(&format!("\n$ hop {}\n", arguments.join(" ")))?;
        let program = env::current_exe().map_err(DemoFailure::Program)?;
        let status = Command::new(program)
            .args(arguments)
            .current_dir(&self.directory)
            .env("XDG_CONFIG_HOME", self.directory.join("config"))
            .status()
            .map_err(DemoFailure::Program)?;
        if status.success() {
            Ok(())
        } else {
            Err(DemoFailure::Command {
                command: format!("hop {}", arguments.join(" ")),
                status: status.to_string(),
            })
        }
    }
}

fn say(text: &str) -> Result<(), DemoFailure> {
    print(&format!("\n# {text}\n"))
}

/// At once: the output of the commands follows.
fn print(text: &str) -> Result<(), DemoFailure> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(DemoFailure::Output)
}

/// A directory that goes with its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Self> {
        let path = env::temp_dir().join(format!("hop-demo-{}", uuid::Uuid::new_v4().simple()));
        create_private(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// It holds a password.
#[cfg(unix)]
fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

/// Why the demonstration ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoFailure {
    #[error("cannot use a temporary directory: {0}")]
    Scratch(io::Error),
    #[error(transparent)]
    Broker(StartError),
    #[error("cannot start this program anew: {0}")]
    Program(io::Error),
    #[error("'{command}' failed: {status}")]
    Command { command: String, status: String },
    #[error("interrupted")]
    Interrupted,
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

impl From<DemoFailure> for Failure {
    fn from(failure: DemoFailure) -> Self {
        match failure {
            DemoFailure::Output(error) => Self::Output(error.into()),
            failure => Self::Reported(failure.to_string()),
        }
    }
}
