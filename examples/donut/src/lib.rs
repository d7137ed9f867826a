//! A format of one's own: messages that are donuts.
//!
//! [`Donut`] is a message and [`DonutFormat`] says how it is read. They are all that there is to a format; the rest of this
//! package puts them to use, in the three ways that there are:
//!
//! | | |
//! | --- | --- |
//! | `examples/order.rs` | a program that publishes and reads donuts |
//! | `src/bin/hop-with-donuts.rs` | the whole `hop` command line, with donuts |
//! | `src/bin/hop-model-donut.rs` | a plug-in, which any `hop` finds on `PATH` with `--plugins` |

use std::any::Any;
use std::borrow::Cow;
use std::fmt;

use hop::models::python_json::Json;
use hop::models::{Format, MessageModel, ModelError, WireForm};
use serde_json::{Value, json};

/// A donut.
///
/// A file has a line for each part; the payload is a JSON object. What was loaded from a file can be sent as it was in the
/// file, too.
///
/// ```
/// use donut::Donut;
/// use hop::models::{MessageModel, WireForm};
///
/// let donut = Donut::load(b"flavour: vanilla\nglaze: maple\ntoppings: nuts, more nuts\n")?;
/// assert_eq!(donut.toppings, ["nuts", "more nuts"]);
/// assert_eq!(
///     donut.serialize(WireForm::Json)?,
///     br#"{"flavour":"vanilla","glaze":"maple","toppings":["nuts","more nuts"]}"#,
/// );
/// # Ok::<(), hop::models::ModelError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Donut {
    /// What it is made of.
    pub flavour: String,
    /// What it is dipped in.
    pub glaze: Option<String>,
    /// What is on top, from below.
    pub toppings: Vec<String>,
}

impl Donut {
    /// The format's name.
    pub const FORMAT: &'static str = "donut";

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8, a line is none of `flavour`, `glaze` and `toppings`, or there is no flavour.
    pub fn load(content: &[u8]) -> Result<Self, ModelError> {
        let text = std::str::from_utf8(content).map_err(|error| ModelError::Other(Box::new(error)))?;
        let mut donut = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let no_part = || NoPart { number, line: line.to_owned() };
            let (name, value) = line.split_once(':').ok_or_else(no_part)?;
            let value = value.trim();
            match name.trim() {
                "flavour" => donut.flavour = value.to_owned(),
                "glaze" => donut.glaze = Some(value.to_owned()),
                "toppings" => {
                    donut.toppings = value.split(',').map(|topping| topping.trim().to_owned()).collect();
                }
                _ => return Err(no_part().into()),
            }
        }
        donut.checked()
    }

    /// Reads the JSON form.
    ///
    /// # Errors
    ///
    /// When a part is missing that must be there, or is of another kind.
    pub fn from_json(value: &Value) -> Result<Self, ModelError> {
        let problem = |problem: &str| ModelError::structure(Self::FORMAT, problem);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let glaze = match value.get("glaze") {
            None | Some(Value::Null) => None,
            Some(glaze) => Some(text(glaze).ok_or_else(|| problem("the 'glaze' is no string"))?),
        };
        let toppings = value.get("toppings").and_then(Value::as_array);
        let toppings = toppings.ok_or_else(|| problem("there is no list of 'toppings'"))?;
        let toppings: Option<_> = toppings.iter().map(text).collect();
        let donut = Self {
            flavour: value.get("flavour").and_then(text).unwrap_or_default(),
            glaze,
            toppings: toppings.ok_or_else(|| problem("one of the 'toppings' is no string"))?,
        };
        donut.checked()
    }

    fn checked(self) -> Result<Self, ModelError> {
        if self.flavour.is_empty() {
            return Err(ModelError::structure(Self::FORMAT, "a donut has a 'flavour'"));
        }
        Ok(self)
    }
}

/// As in a file.
impl fmt::Display for Donut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "flavour: {}", self.flavour)?;
        if let Some(glaze) = &self.glaze {
            writeln!(f, "glaze: {glaze}")?;
        }
        if !self.toppings.is_empty() {
            writeln!(f, "toppings: {}", self.toppings.join(", "))?;
        }
        Ok(())
    }
}

impl MessageModel for Donut {
    fn format(&self) -> &str {
        Self::FORMAT
    }

    fn to_json(&self) -> Value {
        json!({ "flavour": self.flavour, "glaze": self.glaze, "toppings": self.toppings })
    }

    fn to_text(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.to_string().into_bytes())
    }

    fn serialize(&self, form: WireForm) -> Result<Vec<u8>, ModelError> {
        Ok(match form {
            WireForm::Original => self.to_string().into_bytes(),
            WireForm::Envelope => {
                json!({ "format": Self::FORMAT, "content": self.to_json() }).to_string().into_bytes()
            }
            _ => self.to_json().to_string().into_bytes(),
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// How donuts are read.
///
/// ```
/// use std::sync::Arc;
///
/// use donut::{Donut, DonutFormat};
/// use hop::models::Registry;
///
/// let mut registry = Registry::standard();
/// registry.register(Arc::new(DonutFormat));
/// let decoded = registry.decode(Some(b"donut"), br#"{"flavour": "plain", "toppings": []}"#)?;
/// assert_eq!(decoded.model.downcast_ref::<Donut>().map(|donut| &*donut.flavour), Some("plain"));
/// # Ok::<(), hop::models::ModelError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct DonutFormat;

impl Format for DonutFormat {
    fn name(&self) -> &str {
        Donut::FORMAT
    }

    fn load(&self, content: &[u8]) -> Result<Box<dyn MessageModel>, ModelError> {
        Ok(Box::new(Donut::load(content)?))
    }

    /// Takes both forms in which donuts are sent.
    fn decode(&self, payload: &[u8]) -> Result<Box<dyn MessageModel>, ModelError> {
        if payload.starts_with(b"{") {
            self.decode_envelope(Json::parse(payload)?)
        } else {
            self.load(payload)
        }
    }

    fn decode_envelope(&self, content: Json) -> Result<Box<dyn MessageModel>, ModelError> {
        Ok(Box::new(Donut::from_json(&content.into_value())?))
    }
}

/// A line that is no part of a donut.
#[derive(Debug, thiserror::Error)]
#[error(
    "line {number} is no part of a donut: {line:?}; those are 'flavour', 'glaze' and 'toppings', with a colon"
)]
struct NoPart {
    number: usize,
    line: String,
}

impl From<NoPart> for ModelError {
    fn from(error: NoPart) -> Self {
        Self::Other(Box::new(error))
    }
}
