//! `hop top`: what happens on the topics of a broker, as it happens.
//!
//! `rates` makes what is known out of what brokers say, `view` text out of that; here is who asks, and when.

mod rates;
mod screen;
mod view;

use std::collections::HashMap;
use std::io::{self, IsTerminal};
use std::pin::pin;
use std::time::{Duration, Instant, SystemTime};

use tokio::time::{self, MissedTickBehavior, interval_at, sleep};

use self::rates::{Ends, Rates, TopicOffsets};
use self::screen::Screen;
use self::view::View;
use super::arguments::TopArguments;
use super::interrupt::Interrupt;
use super::output::Output;
use super::{Outcome, connect, say};
use crate::kafka::admin::OffsetSpec;
use crate::kafka::{self, Client, TopicPartition};
use crate::stream::{HopUrl, OpenError, Stream, TopicName};

/// What takes longer is said to have no answer. Less would be said of brokers that are far away.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(arguments: TopArguments, in_color: bool, interrupt: Interrupt) -> Outcome {
    let stream = connect(&arguments.connection)?;
    let url: HopUrl = arguments.url.parse().map_err(OpenError::from)?;
    tokio::select! {
        watched = watch(&stream, &url, &arguments, in_color) => watched,
        () = interrupt.heard() => Ok(()),
    }
}

async fn watch(stream: &Stream, url: &HopUrl, arguments: &TopArguments, in_color: bool) -> Outcome {
    let client = stream.client(&arguments.url).await?;
    let names: Vec<&str> = url.topics().iter().map(TopicName::as_str).collect();
    // What goes wrong before anything is shown is likely to stay wrong.
    let first = ask(&client, &names).await?;
    let mut board = Board::new(url, arguments.interval, in_color);
    board.told(&names, &first);
    board.show()?;
    let mut ticks = interval_at(time::Instant::now() + arguments.interval, arguments.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut passed = 0_u64;
    loop {
        ticks.tick().await;
        let mut answer = pin!(ask(&client, &names));
        let mut late = pin!(sleep(PATIENCE));
        loop {
            let is_answered = tokio::select! {
                answered = &mut answer => {
                    match answered {
                        Ok(topics) => board.told(&names, &topics),
                        Err(error) => board.missed(Some(&error)),
                    }
                    true
                }
                () = &mut late => {
                    board.missed(None);
                    late.as_mut().reset(time::Instant::now() + arguments.interval);
                    false
                }
            };
            board.show()?;
            passed += 1;
            if arguments.count.is_some_and(|count| passed >= count) {
                return Ok(());
            }
            if is_answered {
                break;
            }
        }
    }
}

/// Where all partitions begin and end: of the topics named, or of all that this user may see.
async fn ask(client: &Client, names: &[&str]) -> Result<Vec<TopicOffsets>, kafka::Error> {
    let mut topics =
        if names.is_empty() { client.list_topics().await? } else { client.describe_topics(names).await? };
    topics.retain(kafka::TopicDescription::is_there);
    // Those without a leader would be waited for.
    let led = topics.iter().flat_map(|topic| {
        let led = topic.partitions.iter().filter(|partition| partition.leader.is_some());
        led.map(|partition| TopicPartition::new(&*topic.name, partition.partition))
    });
    let wanted: Vec<_> = led
        .flat_map(|partition| {
            [OffsetSpec::Earliest, OffsetSpec::Latest].map(|spec| (partition.clone(), spec))
        })
        .collect();
    let offsets = client.admin().offsets(&wanted).await?;
    let (pairs, _) = offsets.as_chunks::<2>();
    let ends = pairs.iter().filter_map(|[(partition, earliest), (_, next)]| {
        let earliest = earliest.as_ref().ok()?.offset?;
        let next = next.as_ref().ok()?.offset?;
        Some(((&*partition.topic, partition.partition), Ends { earliest, next }))
    });
    let ends: HashMap<_, _> = ends.collect();
    let told = topics.iter().map(|topic| {
        let numbers = topic.partitions.iter().map(|partition| partition.partition);
        TopicOffsets {
            name: topic.name.clone(),
            partitions: numbers.map(|number| (number, ends.get(&(&*topic.name, number)).copied())).collect(),
        }
    });
    Ok(told.collect())
}

/// What is known and where it is shown.
#[derive(Debug)]
struct Board {
    broker: String,
    interval: Duration,
    rates: Rates,
    face: Face,
    /// When the brokers answered last.
    answered_at: Instant,
    is_silent: bool,
    notice: Option<String>,
    /// Whether the last answer is to be shown.
    is_news: bool,
}

#[derive(Debug)]
enum Face {
    Screen { screen: Screen, in_color: bool },
    Lines(Output),
}

impl Board {
    fn new(url: &HopUrl, interval: Duration, in_color: bool) -> Self {
        let face = if io::stdout().is_terminal() {
            Face::Screen { screen: Screen::open(), in_color }
        } else {
            Face::Lines(Output::new())
        };
        Self {
            broker: url.address(),
            interval,
            rates: Rates::default(),
            face,
            answered_at: Instant::now(),
            is_silent: false,
            notice: None,
            is_news: false,
        }
    }

    fn told(&mut self, names: &[&str], topics: &[TopicOffsets]) {
        let now = Instant::now();
        self.rates.told(now, topics);
        self.is_news = true;
        let silence = now.saturating_duration_since(std::mem::replace(&mut self.answered_at, now));
        if std::mem::take(&mut self.is_silent) {
            self.mention(&format!("{} answers again after {} s", self.broker, silence.as_secs()));
        }
        let is_there = |name: &str| topics.iter().any(|topic| topic.name == name);
        let missing: Vec<_> = names.iter().copied().filter(|name| !is_there(name)).collect();
        let missing = (!missing.is_empty())
            .then(|| format!("not there, or not for this user to see: {}", missing.join(", ")));
        if let Some(missing) = missing.as_ref().filter(|&missing| self.notice.as_ref() != Some(missing)) {
            self.mention(missing);
        }
        self.notice = missing;
    }

    /// Nobody answered, or with an error.
    fn missed(&mut self, error: Option<&kafka::Error>) {
        self.rates.missed();
        self.is_news = false;
        let seconds = self.answered_at.elapsed().as_secs();
        let notice = match error {
            Some(error) => format!("no answer for {seconds} s, it is asked again: {error}"),
            None => format!("no answer for {seconds} s, it is waited for"),
        };
        if !std::mem::replace(&mut self.is_silent, true) {
            self.mention(&format!("{}: {notice}", self.broker));
        }
        self.notice = Some(notice);
    }

    fn show(&mut self) -> Outcome {
        let rows = self.rates.rows();
        let time = SystemTime::now();
        match &mut self.face {
            Face::Screen { screen, in_color } => {
                let notice = self.notice.as_deref();
                let view = View { broker: &self.broker, time, interval: self.interval, rows: &rows, notice };
                let size = Screen::size();
                screen.draw(&view::table(&view, size, *in_color), size)?;
            }
            Face::Lines(output) if self.is_news => {
                for row in rows.iter().filter(|row| row.moves()) {
                    output.line(&view::line(time, row))?;
                }
                output.flush()?;
            }
            Face::Lines(_) => {}
        }
        Ok(())
    }

    /// Says on standard error what a screen shows by itself.
    fn mention(&self, notice: &str) {
        if let Face::Lines(_) = self.face {
            say(&format!("hop: {notice}"));
        }
    }
}
