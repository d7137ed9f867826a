//! A message as a plug-in has explained it.

use std::any::Any;
use std::borrow::Cow;

use serde_json::Value;

use super::protocol::Content;
use crate::models::{MessageModel, ModelError, WireForm};

/// What a plug-in said of one message.
#[derive(Debug)]
pub(super) struct PluginModel {
    format: String,
    content: Content,
}

impl PluginModel {
    pub(super) fn new(format: String, content: Content) -> Self {
        Self { format, content }
    }
}

impl MessageModel for PluginModel {
    fn format(&self) -> &str {
        &self.format
    }

    fn to_json(&self) -> Value {
        self.content.json.clone()
    }

    fn to_text(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.content.text.as_bytes())
    }

    fn serialize(&self, form: WireForm) -> Result<Vec<u8>, ModelError> {
        let Content { payload, original, envelope, .. } = &self.content;
        match form {
            WireForm::Json => Ok(payload.clone()),
            WireForm::Original => Ok(original.as_ref().unwrap_or(payload).clone()),
            WireForm::Envelope => envelope.clone().ok_or_else(|| ModelError::NotRepresentable {
                format: self.format.clone(),
                form,
                problem: "its plug-in has no such form; send it without the envelope".to_owned(),
            }),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
