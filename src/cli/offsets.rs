//! `hop offsets`: how far a consumer group has read, shown and set.

use std::time::SystemTime;

use super::arguments::{GroupOf, OffsetsAction, OffsetsArguments};
use super::interrupt::Interrupt;
use super::{Failure, Outcome, connect, lag, say};
use crate::kafka::admin::{Admin, OffsetSpec};
use crate::kafka::{CommittedOffset, TopicPartition};
use crate::stream::{HopUrl, OpenError, StartPosition, Stream};
use crate::wire::error_code::ErrorCode;

pub(super) async fn run(arguments: OffsetsArguments, interrupt: Interrupt) -> Outcome {
    let stream = connect(&arguments.connection)?;
    tokio::select! {
        done = act(&stream, arguments.action) => done,
        () = interrupt.heard() => Ok(()),
    }
}

async fn act(stream: &Stream, action: OffsetsAction) -> Outcome {
    let (group, position) = match action {
        OffsetsAction::Show(group) => return lag::print(stream, &group).await,
        OffsetsAction::Reset { group, to } => (group, to.into()),
        OffsetsAction::ToTime { group, moment } => (group, moment.position(SystemTime::now())),
    };
    set(stream, &group, position).await?;
    lag::print(stream, &group).await
}

/// Sets where the group goes on in all partitions of the topics that the URL names.
async fn set(stream: &Stream, of: &GroupOf, position: StartPosition) -> Outcome {
    let url: HopUrl = of.url.parse().map_err(OpenError::from)?;
    url.topics_to_read().map_err(OpenError::from)?;
    let topics = stream.list_topics(&of.url).await?;
    if topics.len() < url.topics().len() {
        return Err(Failure::Reported(format!("not all topics of {} exist; see `hop list-topics`", of.url)));
    }
    let partitions = topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| TopicPartition::new(&*topic.name, partition.partition))
    });
    let admin = stream.client(&of.url).await?.admin();
    let offsets = offsets(&admin, partitions.collect(), position).await?;
    let mut failed = 0_usize;
    for (partition, result) in admin.alter_offsets(&of.group, &offsets).await? {
        if let Err(error) = result {
            failed += 1;
            let hint = match error.code() {
                Some(ErrorCode::UNKNOWN_MEMBER_ID) => "; the group has members: stop them first",
                _ => "",
            };
            say(&format!("hop: {partition}: {error}{hint}"));
        }
    }
    if failed > 0 {
        return Err(Failure::Reported(format!("{failed} of {} offsets were not set", offsets.len())));
    }
    Ok(())
}

/// The offsets at which a position lies; the end, where nothing is as new.
async fn offsets(
    admin: &Admin,
    partitions: Vec<TopicPartition>,
    position: StartPosition,
) -> Result<Vec<(TopicPartition, CommittedOffset)>, Failure> {
    let spec = match position {
        StartPosition::Earliest => OffsetSpec::Earliest,
        StartPosition::Latest | StartPosition::BeforeEnd(_) => OffsetSpec::Latest,
        StartPosition::Timestamp(time) => OffsetSpec::Timestamp(time),
        StartPosition::Offset(offset) => {
            return Ok(partitions
                .into_iter()
                .map(|partition| (partition, CommittedOffset::new(offset)))
                .collect());
        }
    };
    let wanted: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
    let ends: Vec<_> = partitions.iter().map(|partition| (partition.clone(), OffsetSpec::Latest)).collect();
    let (found, ends) = tokio::try_join!(admin.offsets(&wanted), admin.offsets(&ends))?;
    let back = match position {
        StartPosition::BeforeEnd(messages) => i64::from(messages),
        _ => 0,
    };
    let mut offsets = Vec::with_capacity(partitions.len());
    for ((partition, found), (_, end)) in found.into_iter().zip(ends) {
        let offset = match found?.offset {
            Some(offset) => Some(offset),
            None => end?.offset,
        };
        let offset = offset.map(|offset| CommittedOffset::new(offset.saturating_sub(back).max(0)));
        offsets.extend(offset.map(|offset| (partition, offset)));
    }
    Ok(offsets)
}
