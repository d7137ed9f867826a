//! Prints messages, or stores them, as was asked for.

use std::cell::RefCell;
use std::rc::Rc;

use super::command::{Command, Done};
use super::directory::Directory;
use super::filter::{Filter, all_hold};
use super::format::Format;
use super::health::Tally;
use crate::cli::arguments::{Delimiter, OnError, SubscribeArguments};
use crate::cli::output::Output;
use crate::cli::{Failure, Outcome};
use crate::stream::{Consumer, Message, Metadata, RawMessage, Unreadable};

pub(super) struct Printer {
    destination: Destination,
    format: Format,
    filters: Vec<Filter>,
    delimiter: Delimiter,
    on_error: OnError,
    /// How many more are wanted; all that come where nobody said.
    left: Option<u64>,
    /// How many could not be read and were reported.
    unreadable: u64,
    tally: Rc<RefCell<Tally>>,
    in_group: bool,
    /// Of each partition, the last message that may still be on its way to the reader of the output: only what has got
    /// there is committed.
    printed: Vec<Metadata>,
}

enum Destination {
    Output(Output),
    Directory(Directory),
    Command(Command),
}

impl Printer {
    pub(super) fn new(arguments: &SubscribeArguments) -> Result<Self, Failure> {
        let destination = match (&arguments.output_dir, &arguments.exec) {
            (Some(path), _) => Destination::Directory(Directory::open(path, arguments.file_name.clone())?),
            (None, Some(line)) => Destination::Command(Command::new(
                line.clone(),
                arguments.exec_timeout,
                arguments.exec_retries,
                arguments.dead_letters.as_deref(),
            )?),
            // What a pipe holds counts as printed: a group is not to lose more of it.
            (None, None) if arguments.group_id.is_some() => Destination::Output(Output::new()),
            (None, None) => Destination::Output(Output::for_much()),
        };
        Ok(Self {
            destination,
            format: arguments.printing.format(),
            filters: arguments.filters(),
            delimiter: arguments.delimiter.clone(),
            on_error: arguments.on_error,
            left: arguments.count,
            unreadable: 0,
            tally: Rc::default(),
            in_group: arguments.group_id.is_some(),
            printed: Vec::new(),
        })
    }

    /// What was done so far, for whoever looks.
    pub(super) fn tally(&self) -> Rc<RefCell<Tally>> {
        Rc::clone(&self.tally)
    }

    /// Whether messages are printed without being read: bytes need not mean anything.
    pub(super) fn need_not_read(&self) -> bool {
        self.format == Format::Raw && self.filters.is_empty()
    }

    /// Whether as many were printed as are wanted.
    pub(super) fn has_enough(&self) -> bool {
        self.left == Some(0)
    }

    pub(super) fn unreadable_count(&self) -> u64 {
        self.unreadable
    }

    pub(super) async fn unread(&mut self, message: &RawMessage) -> Outcome {
        self.write(message, message.payload()).await?;
        self.done(message.metadata());
        Ok(())
    }

    pub(super) async fn print(&mut self, message: &Message) -> Outcome {
        let at = message.metadata();
        if let Some(warning) = message.warning() {
            tracing::warn!(topic = %at.topic, partition = at.partition, offset = at.offset, "{warning}");
        }
        if all_hold(&self.filters, message.model()) {
            let printed = self.format.of(message);
            self.write(message.as_raw(), &printed).await?;
        }
        self.done(at);
        Ok(())
    }

    /// A message that is not what it says it is: said, printed or passed over, as was asked for.
    pub(super) async fn unreadable(&mut self, unreadable: &Unreadable) -> Outcome {
        let message = &unreadable.message;
        self.tally.borrow_mut().failed();
        match self.on_error {
            OnError::Skip => {}
            OnError::Raw => self.write(message, message.payload()).await?,
            OnError::Report => {
                tracing::error!("{unreadable}");
                self.unreadable += 1;
            }
            OnError::Stop => {
                self.hand_over()?;
                return Err(Failure::Reported(unreadable.to_string()));
            }
        }
        self.done(message.metadata());
        Ok(())
    }

    /// A message was printed, or is not to be.
    fn done(&mut self, metadata: &Metadata) {
        if self.in_group {
            let same =
                |last: &&mut Metadata| last.partition == metadata.partition && last.topic == metadata.topic;
            match self.printed.iter_mut().find(same) {
                Some(last) => last.clone_from(metadata),
                None => self.printed.push(metadata.clone()),
            }
        }
    }

    /// Whether what was written is where it is to be: nothing is gathered to be handed over together.
    pub(super) fn is_direct(&self) -> bool {
        !matches!(self.destination, Destination::Output(_))
    }

    /// Hands over what was printed.
    pub(super) fn hand_over(&mut self) -> Outcome {
        match &mut self.destination {
            Destination::Output(output) => Ok(output.flush()?),
            // It is there when it was written.
            Destination::Directory(_) | Destination::Command(_) => Ok(()),
        }
    }

    /// The same, and says so to the group, if there is one.
    pub(super) fn settle(&mut self, consumer: &mut Consumer) -> Outcome {
        if self.in_group {
            self.flush(consumer)?;
        }
        Ok(())
    }

    pub(super) fn flush(&mut self, consumer: &mut Consumer) -> Outcome {
        self.hand_over()?;
        for metadata in self.printed.drain(..) {
            consumer.mark_done(&metadata);
        }
        Ok(())
    }

    async fn write(&mut self, message: &RawMessage, bytes: &[u8]) -> Outcome {
        self.left = self.left.map(|left| left.saturating_sub(1));
        let delimiter = if bytes.ends_with(&self.delimiter.0) { &[][..] } else { &self.delimiter.0 };
        match &mut self.destination {
            Destination::Output(output) => {
                output.write(bytes)?;
                output.write(delimiter)?;
            }
            Destination::Directory(directory) => directory.store(message.metadata(), &[bytes, delimiter])?,
            Destination::Command(command) => {
                if command.run(message, &[bytes, delimiter].concat()).await? == Done::DeadLetter {
                    self.tally.borrow_mut().failed();
                }
            }
        }
        self.tally.borrow_mut().printed(message.metadata(), message.payload().len());
        Ok(())
    }
}
