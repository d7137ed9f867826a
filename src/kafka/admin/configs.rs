//! Settings of topics, brokers and groups: DescribeConfigs, IncrementalAlterConfigs (KIP-339).

use std::fmt;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use super::Admin;
use super::answer::{Deed, Subject, text};
use super::errand::{Asked, Place};
use crate::kafka::error::Error;

/// What has settings.
///
/// ```
/// use hop::kafka::admin::ConfigResource;
/// assert_eq!(ConfigResource::topic("alerts").to_string(), "topic 'alerts'");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// A broker, by its number.
    Broker(i32),
    /// What all brokers have in common, where a broker has nothing of its own (KIP-226).
    AllBrokers,
    /// The levels of a broker's loggers (KIP-412).
    BrokerLogger(i32),
    /// A subscription to metrics of clients (KIP-714).
    ClientMetrics(String),
    /// A group (KIP-848).
    Group(String),
}

impl ConfigResource {
    /// A topic.
    pub fn topic(name: impl Into<String>) -> Self {
        Self::Topic(name.into())
    }

    /// A group.
    pub fn group(name: impl Into<String>) -> Self {
        Self::Group(name.into())
    }

    /// Its number in the protocol.
    fn kind(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) | Self::AllBrokers => 4,
            Self::BrokerLogger(_) => 8,
            Self::ClientMetrics(_) => 16,
            Self::Group(_) => 32,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Topic(name) | Self::ClientMetrics(name) | Self::Group(name) => name.clone(),
            Self::Broker(broker) | Self::BrokerLogger(broker) => broker.to_string(),
            Self::AllBrokers => String::new(),
        }
    }

    /// What is a broker's own, only that broker knows.
    fn place(&self) -> Place {
        match self {
            Self::Broker(broker) | Self::BrokerLogger(broker) => Place::Broker(*broker),
            Self::Topic(_) | Self::AllBrokers | Self::ClientMetrics(_) | Self::Group(_) => Place::Anywhere,
        }
    }

    fn subject(&self) -> Subject<'_> {
        match self {
            Self::Topic(name) => Subject::Topic(name),
            Self::Group(name) => Subject::Group(name),
            Self::Broker(_) | Self::AllBrokers | Self::BrokerLogger(_) | Self::ClientMetrics(_) => {
                Subject::Other(self)
            }
        }
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic '{name}'"),
            Self::Broker(broker) => write!(f, "broker {broker}"),
            Self::AllBrokers => f.write_str("all brokers"),
            Self::BrokerLogger(broker) => write!(f, "the loggers of broker {broker}"),
            Self::ClientMetrics(name) => write!(f, "the metrics subscription '{name}'"),
            Self::Group(name) => write!(f, "group '{name}'"),
        }
    }
}

/// A setting as a broker describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigEntry {
    /// Its name, such as `retention.ms`.
    pub name: String,
    /// Its value; `None` for one that is not set or not shown, such as a password.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it cannot be changed while the broker runs.
    pub read_only: bool,
    /// Whether it is a secret, which brokers do not show.
    pub sensitive: bool,
}

impl From<&DescribeConfigsResourceResult> for ConfigEntry {
    fn from(result: &DescribeConfigsResourceResult) -> Self {
        Self {
            name: result.name.to_string(),
            value: result.value.as_ref().map(ToString::to_string),
            source: ConfigSource::of(result.config_source),
            read_only: result.read_only,
            sensitive: result.is_sensitive,
        }
    }
}

/// Where a setting's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConfigSource {
    /// It was set for the topic.
    Topic,
    /// It was set for the broker while it ran.
    Broker,
    /// It was set for all brokers while they ran.
    AllBrokers,
    /// It stands in the broker's own file.
    BrokerFile,
    /// Nobody set it.
    Default,
    /// It was set for the broker's loggers.
    BrokerLogger,
    /// It was set for the metrics subscription.
    ClientMetrics,
    /// It was set for the group.
    Group,
    /// One that this client does not know, by its number in the protocol.
    Other(i8),
}

impl ConfigSource {
    fn of(number: i8) -> Self {
        match number {
            1 => Self::Topic,
            2 => Self::Broker,
            3 => Self::AllBrokers,
            4 => Self::BrokerFile,
            5 => Self::Default,
            6 => Self::BrokerLogger,
            7 => Self::ClientMetrics,
            8 => Self::Group,
            other => Self::Other(other),
        }
    }
}

/// A change of one setting. `Debug` does not show the value, which may be a password.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a change is made by `Admin::alter_configs`"]
pub struct ConfigChange {
    name: String,
    operation: i8,
    value: Option<String>,
}

impl ConfigChange {
    /// Sets it to a value.
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), operation: 0, value: Some(value.into()) }
    }

    /// Takes away what was set: its default holds again.
    pub fn delete(name: impl Into<String>) -> Self {
        Self { name: name.into(), operation: 1, value: None }
    }

    /// Adds a value to one that is a list, such as `cleanup.policy`.
    pub fn append(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), operation: 2, value: Some(value.into()) }
    }

    /// Takes a value out of one that is a list.
    pub fn subtract(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), operation: 3, value: Some(value.into()) }
    }

    fn to_request(&self) -> AlterableConfig {
        AlterableConfig::default()
            .with_name(text(&self.name))
            .with_config_operation(self.operation)
            .with_value(self.value.as_deref().map(text))
    }
}

impl fmt::Debug for ConfigChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigChange")
            .field("name", &self.name)
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// What settings of what are to be changed, and how.
type Changes<'a> = (ConfigResource, &'a [ConfigChange]);

impl Admin {
    /// All settings of these, with their defaults. Values are as the broker has them: what others set may be anything.
    ///
    /// # Errors
    ///
    /// For each: [`Error::UnknownTopic`], [`Error::NotAuthorized`], or the broker's code and words; for a broker that is
    /// not there [`Error::UnknownBroker`]. As a whole: those of reaching the cluster.
    pub async fn describe_configs(
        &self,
        resources: &[ConfigResource],
    ) -> Result<Vec<(ConfigResource, Result<Vec<ConfigEntry>, Error>)>, Error> {
        let request = |resources: &[&ConfigResource], _: Asked<'_>| {
            let resource = |resource: &&ConfigResource| {
                DescribeConfigsResource::default()
                    .with_resource_type(resource.kind())
                    .with_resource_name(text(&resource.name()))
                    .with_configuration_keys(None)
            };
            Ok(DescribeConfigsRequest::default().with_resources(resources.iter().map(resource).collect()))
        };
        let answer = |resource: &ConfigResource, _, response: &DescribeConfigsResponse| {
            let deed = Deed { action: "describe the settings of", subject: resource.subject() };
            let (kind, name) = (resource.kind(), resource.name());
            let mut results = response.results.iter();
            let result = results
                .find(|result| result.resource_type == kind && *result.resource_name == *name)
                .ok_or_else(|| deed.unanswered())?;
            deed.outcome(result.error_code, result.error_message.as_ref())?;
            Ok(result.configs.iter().map(ConfigEntry::from).collect())
        };
        let results = self.each(resources, ConfigResource::place, request, answer).await?;
        Ok(resources.iter().cloned().zip(results).collect())
    }

    /// Changes settings, each by itself: those that are not named stay as they are (KIP-339; brokers since Kafka 2.3).
    /// Of one resource either all changes are made or none. Brokers may take a moment to go by them.
    ///
    /// # Errors
    ///
    /// For each: [`Error::UnknownTopic`], [`Error::NotAuthorized`], or the broker's code and words, such as
    /// `INVALID_CONFIG`. As a whole: those of reaching the cluster; [`Error::Unsupported`] from older brokers.
    pub async fn alter_configs(
        &self,
        changes: &[(ConfigResource, &[ConfigChange])],
    ) -> Result<Vec<(ConfigResource, Result<(), Error>)>, Error> {
        self.alter(changes, false).await
    }

    /// Asks whether settings could be changed so, and changes nothing.
    ///
    /// # Errors
    ///
    /// As for [`alter_configs`](Self::alter_configs).
    pub async fn validate_configs(
        &self,
        changes: &[(ConfigResource, &[ConfigChange])],
    ) -> Result<Vec<(ConfigResource, Result<(), Error>)>, Error> {
        self.alter(changes, true).await
    }

    async fn alter(
        &self,
        changes: &[Changes<'_>],
        validate_only: bool,
    ) -> Result<Vec<(ConfigResource, Result<(), Error>)>, Error> {
        let request = |changes: &[&Changes<'_>], _: Asked<'_>| {
            let resource = |(resource, changes): &&Changes<'_>| {
                AlterConfigsResource::default()
                    .with_resource_type(resource.kind())
                    .with_resource_name(text(&resource.name()))
                    .with_configs(changes.iter().map(ConfigChange::to_request).collect())
            };
            Ok(IncrementalAlterConfigsRequest::default()
                .with_resources(changes.iter().map(resource).collect())
                .with_validate_only(validate_only))
        };
        let answer = |(resource, _): &Changes<'_>, _, response: &IncrementalAlterConfigsResponse| {
            let deed = Deed { action: "change the settings of", subject: resource.subject() };
            let (kind, name) = (resource.kind(), resource.name());
            let mut results = response.responses.iter();
            let result = results
                .find(|result| result.resource_type == kind && *result.resource_name == *name)
                .ok_or_else(|| deed.unanswered())?;
            deed.outcome(result.error_code, result.error_message.as_ref())
        };
        let results = self.each(changes, |(resource, _)| resource.place(), request, answer).await?;
        Ok(changes.iter().map(|(resource, _)| resource.clone()).zip(results).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown() {
        let change = ConfigChange::set("ssl.key.password", "hidden-words");
        assert_eq!(format!("{change:?}"), "ConfigChange { name: \"ssl.key.password\", operation: 0, .. }");
    }
}
