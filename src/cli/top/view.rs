//! What is shown: rows as a table that fits a terminal, or as lines for a program.

use std::time::{Duration, SystemTime};

use super::rates::{INTERVALS, Row};

/// From none to most.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Where nobody answered.
const GAP: char = ' ';
/// The spark line has at least so many places, as long as there is room for a name beside it.
const SHORTEST: usize = 10;
const BETWEEN: usize = 2;
const TITLES: [&str; 4] = ["TOPIC", "PARTITIONS", "MESSAGES", "RATE"];

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// How many characters there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) lines: usize,
    pub(super) columns: usize,
}

/// What is to be shown.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub(super) broker: &'a str,
    pub(super) time: SystemTime,
    pub(super) interval: Duration,
    pub(super) rows: &'a [Row],
    /// What is wrong, if anything is.
    pub(super) notice: Option<&'a str>,
}

/// As many of the rows as there is room for, under a title; no line is longer than the terminal is wide, and the last
/// has no end.
pub(super) fn table(view: &View<'_>, size: Size, in_color: bool) -> String {
    let mut lines = vec![Line::new(title(view)).styled(BOLD)];
    if let Some(notice) = view.notice {
        // What an error says may have several lines.
        lines.push(Line::new(notice.replace('\n', " ")).styled(YELLOW));
    }
    let layout = Layout::of(view.rows, size.columns);
    lines.push(layout.heading(view.interval));
    let room = size.lines.saturating_sub(lines.len());
    let shown = if view.rows.len() <= room { room } else { room.saturating_sub(1) };
    lines.extend(view.rows.iter().take(shown).map(|row| layout.row(row)));
    if view.rows.is_empty() {
        lines.push(Line::new("no topic is there that this user may see".to_owned()).styled(DIM));
    } else if let hidden @ 1.. = view.rows.len().saturating_sub(shown) {
        lines.push(Line::new(format!("and {hidden} more")).styled(DIM));
    }
    let lines = lines.iter().take(size.lines);
    lines.map(|line| line.shown(size.columns, in_color)).collect::<Vec<_>>().join("\n")
}

/// A topic in which something came, for a program: the time, the name, how many messages are there, and how many came a
/// second, with tabs between.
pub(super) fn line(time: SystemTime, row: &Row) -> String {
    let time = humantime::format_rfc3339_millis(time);
    let messages = row.messages.unwrap_or_default();
    format!("{time}\t{}\t{messages}\t{:.3}", row.name, row.rate.unwrap_or_default())
}

fn title(view: &View<'_>) -> String {
    let time = humantime::format_rfc3339_seconds(view.time).to_string();
    let time = time.get(11..19).unwrap_or(&time);
    let known = view.rows.iter().filter_map(|row| row.rate).reduce(|a, b| a + b);
    let total = known.map_or_else(String::new, |rate| format!("  {}/s in all", human(rate)));
    format!("{}  {time} UTC{total}", view.broker)
}

/// One line of the screen, in parts that each have a style.
#[derive(Debug)]
struct Line(Vec<(String, &'static str)>);

impl Line {
    fn new(text: String) -> Self {
        Self(vec![(text, "")])
    }

    fn and(mut self, text: String, style: &'static str) -> Self {
        self.0.push((text, style));
        self
    }

    fn styled(mut self, style: &'static str) -> Self {
        self.0.iter_mut().for_each(|part| part.1 = style);
        self
    }

    /// The part of it for which there is room. What a broker says may hold characters that do something.
    fn shown(&self, columns: usize, in_color: bool) -> String {
        let mut left = columns;
        let mut shown = String::new();
        for (text, style) in &self.0 {
            let text: String = text.chars().filter(|character| !character.is_control()).take(left).collect();
            left -= text.chars().count();
            if in_color && !style.is_empty() && !text.is_empty() {
                shown.extend([style, &*text, PLAIN]);
            } else {
                shown.push_str(&text);
            }
        }
        shown
    }
}

/// How wide the columns are.
#[derive(Debug)]
struct Layout {
    name: usize,
    partitions: usize,
    messages: usize,
    rate: usize,
    spark: usize,
}

impl Layout {
    fn of(rows: &[Row], columns: usize) -> Self {
        let width = |title: &str, cell: fn(&Row) -> String| {
            rows.iter().map(|row| cell(row).chars().count()).fold(title.len(), usize::max)
        };
        let [name, partitions, messages, rate] = TITLES;
        let wanted = width(name, |row| row.name.clone());
        let partitions = width(partitions, |row| row.partitions.to_string());
        let messages = width(messages, messages_cell);
        let rate = width(rate, rate_cell).max(6);
        let left = columns.saturating_sub(partitions + messages + rate + 4 * BETWEEN);
        // Names are cut before the spark line is shorter than is of use.
        let spark = left.saturating_sub(wanted).clamp(SHORTEST, INTERVALS);
        let spark = if left < SHORTEST + name.len() { 0 } else { spark };
        let name = left.saturating_sub(spark).min(wanted).max(name.len());
        Self { name, partitions, messages, rate, spark }
    }

    fn heading(&self, interval: Duration) -> Line {
        let [name, partitions, messages, rate] = TITLES.map(str::to_owned);
        let spark = if self.spark == 0 { String::new() } else { span(self.spark, interval) };
        Line::new(self.cells(name, &partitions, &messages, &rate)).and(spark, "").styled(BOLD)
    }

    fn row(&self, row: &Row) -> Line {
        let cells = self.cells(
            shortened(&row.name, self.name),
            &row.partitions.to_string(),
            &messages_cell(row),
            &rate_cell(row),
        );
        let line = Line::new(cells).and(spark(&row.history, self.spark), GREEN);
        if row.has_moved { line } else { line.styled(DIM) }
    }

    fn cells(&self, name: String, partitions: &str, messages: &str, rate: &str) -> String {
        let Self { name: first, partitions: second, messages: third, rate: fourth, .. } = *self;
        format!("{name:<first$}  {partitions:>second$}  {messages:>third$}  {rate:>fourth$}  ")
    }
}

fn messages_cell(row: &Row) -> String {
    row.messages.map_or_else(|| "-".to_owned(), |messages| messages.to_string())
}

fn rate_cell(row: &Row) -> String {
    row.rate.map_or_else(|| "-".to_owned(), |rate| format!("{}/s", human(rate)))
}

fn shortened(name: &str, width: usize) -> String {
    if name.chars().count() <= width {
        return name.to_owned();
    }
    name.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Of what time a spark line of this width tells.
fn span(width: usize, interval: Duration) -> String {
    let seconds = interval.as_secs_f64() * f64::from(u32::try_from(width).unwrap_or(u32::MAX));
    match seconds.round() {
        60.0 => "LAST MINUTE".to_owned(),
        seconds if seconds > 60.0 => format!("LAST {} min", (seconds / 60.0).round()),
        seconds => format!("LAST {seconds} s"),
    }
}

/// A bar for each of the last intervals, the highest where most came.
fn spark(history: &[Option<f64>], width: usize) -> String {
    let history = history.get(history.len().saturating_sub(width)..).unwrap_or_default();
    let most = history.iter().flatten().copied().fold(0.0, f64::max);
    history.iter().map(|rate| rate.map_or(GAP, |rate| bar(rate, most))).collect()
}

/// Whatever is more than nothing shows.
fn bar(rate: f64, most: f64) -> char {
    let [nothing, bars @ ..] = BARS;
    let steps = (1_u32..).zip(bars);
    let reached = |step: u32| rate / most * 7.0 > f64::from(step) - 1.0;
    steps.take_while(|&(step, _)| rate > 0.0 && reached(step)).last().map_or(nothing, |(_, bar)| bar)
}

/// With three digits that count, and thousands as `k`, `M` and `G`.
fn human(number: f64) -> String {
    let (number, unit) = match number {
        ..999.5 => (number, ""),
        ..999_500.0 => (number / 1e3, "k"),
        ..999_500_000.0 => (number / 1e6, "M"),
        _ => (number / 1e9, "G"),
    };
    let digits = match number {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    let shown = format!("{number:.digits$}");
    let shown = if digits > 0 { shown.trim_end_matches('0').trim_end_matches('.') } else { &shown };
    if shown == "0" && number > 0.0 { "<0.01".to_owned() } else { format!("{shown}{unit}") }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const WIDE: Size = Size { lines: 24, columns: 80 };

    fn row(name: &str, messages: i64, history: &[f64]) -> Row {
        Row {
            name: name.to_owned(),
            partitions: 3,
            messages: Some(messages),
            rate: history.last().copied(),
            history: history.iter().copied().map(Some).collect(),
            has_moved: history.iter().any(|&rate| rate > 0.0),
        }
    }

    fn shown(rows: &[Row], notice: Option<&str>, size: Size, in_color: bool) -> String {
        let view = View {
            broker: "localhost:9092",
            time: UNIX_EPOCH + Duration::from_secs(1_800_000_000),
            interval: Duration::from_secs(2),
            rows,
            notice,
        };
        table(&view, size, in_color)
    }

    #[test]
    fn a_table_has_a_title_a_heading_and_a_line_for_each_topic() {
        let rows = [
            row("gcn.notices", 1_234, &[0.0, 7.0, 14.0, 3.5]),
            row("gcn.circular", 7, &[0.0, 0.0, 0.0, 0.0]),
            Row { messages: None, rate: None, history: vec![], ..row("new", 0, &[]) },
        ];
        assert_eq!(
            shown(&rows, None, WIDE, false).lines().collect::<Vec<_>>(),
            [
                "localhost:9092  08:00:00 UTC  3.5/s in all",
                "TOPIC         PARTITIONS  MESSAGES    RATE  LAST MINUTE",
                "gcn.notices            3      1234   3.5/s  ▁▅█▃",
                "gcn.circular           3         7     0/s  ▁▁▁▁",
                "new                    3         -       -  ",
            ]
        );
        assert_eq!(
            shown(&[], None, WIDE, false).lines().collect::<Vec<_>>(),
            [
                "localhost:9092  08:00:00 UTC",
                "TOPIC  PARTITIONS  MESSAGES    RATE  LAST MINUTE",
                "no topic is there that this user may see",
            ]
        );
    }

    #[test]
    fn only_what_there_is_room_for_is_shown() {
        let rows: Vec<_> = (0..10).map(|number| row(&format!("topic-{number}"), 1, &[1.0])).collect();
        let view = |lines, notice| shown(&rows, notice, Size { lines, columns: 80 }, false);
        assert_eq!(view(12, None).lines().last(), Some("topic-9           3         1     1/s  █"));
        assert_eq!(view(11, None).lines().last(), Some("and 2 more"));
        assert_eq!(view(12, Some("away")).lines().last(), Some("and 2 more"));
        assert_eq!(view(12, Some("away")).lines().nth(1), Some("away"));
        for lines in 0..14 {
            assert_eq!(view(lines, None).lines().count(), lines.min(12));
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let rows =
            [row("a.topic.of.a.very.long.name.that.nobody.would.type.twice", i64::MAX, &[1.0; INTERVALS])];
        let widest = |columns, in_color| {
            let shown =
                shown(&rows, Some("a\nnotice\x1b[2J of some length"), Size { lines: 9, columns }, in_color);
            shown.lines().map(|line| line.chars().count()).max().unwrap_or_default()
        };
        for columns in 0..200 {
            assert!(widest(columns, false) <= columns, "{columns}");
        }
        let narrow = shown(&rows, None, Size { lines: 9, columns: 70 }, false);
        assert_eq!(
            narrow.lines().collect::<Vec<_>>(),
            [
                "localhost:9092  08:00:00 UTC  1/s in all",
                "TOPIC              PARTITIONS             MESSAGES    RATE  LAST 20 s",
                "a.topic.of.a.ver…           3  9223372036854775807     1/s  ██████████",
            ]
        );
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let rows = [row("a", 1, &[1.0, 2.0]), row("b", 1, &[0.0, 0.0])];
        let plain = shown(&rows, Some("away"), WIDE, false);
        let mut coloured = shown(&rows, Some("away"), WIDE, true);
        assert!(!plain.contains('\x1b'));
        for style in [BOLD, DIM, GREEN, YELLOW, PLAIN] {
            assert!(coloured.contains(style), "{style:?}");
            coloured = coloured.replace(style, "");
        }
        assert_eq!(coloured, plain);
    }

    #[test]
    fn a_line_for_a_program_has_four_fields() {
        let time = UNIX_EPOCH + Duration::from_millis(1_800_000_000_250);
        let line = line(time, &row("a", 12, &[0.0, 1.0 / 3.0]));
        assert_eq!(line, "2027-01-15T08:00:00.250Z\ta\t12\t0.333");
    }

    #[test]
    fn numbers_are_short() {
        for (number, shown) in [
            (0.0, "0"),
            (0.001, "<0.01"),
            (0.5, "0.5"),
            (1.25, "1.25"),
            (10.0, "10"),
            (12.34, "12.3"),
            (100.0, "100"),
            (999.4, "999"),
            (999.6, "1k"),
            (12_345.0, "12.3k"),
            (999_600.0, "1M"),
            (1.5e9, "1.5G"),
            (1e18, "1000000000G"),
        ] {
            assert_eq!(human(number), shown, "{number}");
        }
    }

    #[test]
    fn a_spark_line_shows_the_least_and_where_nobody_answered() {
        let history = [Some(0.0), Some(0.001), None, Some(4.0), Some(7.0)];
        assert_eq!(spark(&history, 30), "▁▂ ▅█");
        assert_eq!(spark(&history, 2), "▅█");
        assert_eq!(spark(&[Some(0.0)], 30), "▁");
    }

    #[test]
    fn the_time_that_a_spark_line_tells_of_is_in_its_heading() {
        for (width, interval, said) in [
            (30, 2.0, "LAST MINUTE"),
            (15, 2.0, "LAST 30 s"),
            (30, 0.1, "LAST 3 s"),
            (30, 10.0, "LAST 5 min"),
        ] {
            assert_eq!(span(width, Duration::from_secs_f64(interval)), said);
        }
    }
}
