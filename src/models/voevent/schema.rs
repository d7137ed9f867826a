//! What a VOEvent 2.0 may hold, as the schema VOEvent-v2.0.xsd of the IVOA's recommendation has it: a table.
//!
//! Where the schema lets its authors choose again and again among elements, how often it names each of them means
//! nothing: all may come any number of times, and none needs to come where one of them is optional. That is why a
//! `<Table>` without `<Data>` is valid and a `<How/>` is not.

/// What an element may have and hold.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) attributes: &'static [Attribute],
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) value: Value,
    pub(super) is_required: bool,
}

/// What stands between the tags.
#[derive(Debug)]
pub(super) enum Content {
    /// Not even a blank.
    Nothing,
    /// Text, and no elements.
    Text(Value),
    /// Elements, and no text.
    Elements(Order, &'static [Child]),
}

/// How often elements may come, and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Each at most once, in any order.
    Once,
    /// As often as one likes, in any order.
    Free,
    /// As often as one likes, in any order, but at least one of them.
    AtLeastOne,
    /// The first as often as one likes, then the others at most once, in the order of the table.
    FirstThenOthers,
}

#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: &'static str,
    pub(super) kind: &'static Kind,
    pub(super) is_required: bool,
}

/// What a text, or the value of an attribute, may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Any,
    /// `xs:anyURI`.
    Uri,
    /// The identifier of an event. The schema asks for a URI; that it is one of the IVOA's is a rule of the text of the
    /// recommendation, and the only one from there.
    Ivorn,
    /// `xs:float`.
    Number,
    /// `xs:float`, from 0 to 1.
    Probability,
    /// `xs:dateTime`.
    Time,
    /// `xs:ID`.
    Id,
    /// The only version that there is a schema for.
    Version,
    OneOf(&'static [&'static str]),
}

/// The local name of the root element.
pub(super) const ROOT: &str = "VOEvent";
/// The name space of the root element. All others are in none.
pub(super) const NAME_SPACE: &str = "http://www.ivoa.net/xml/VOEvent/v2.0";

pub(super) static VOEVENT: Kind = Kind {
    attributes: &[
        required("version", Value::Version),
        required("ivorn", Value::Ivorn),
        optional("role", Value::OneOf(&["observation", "prediction", "utility", "test"])),
    ],
    content: Content::Elements(
        Order::Once,
        &[
            may("Who", &WHO),
            may("What", &WHAT),
            may("WhereWhen", &WHERE_WHEN),
            may("How", &HOW),
            may("Why", &WHY),
            may("Citations", &CITATIONS),
            may("Description", &STRING),
            may("Reference", &REFERENCE),
        ],
    ),
};

static WHO: Kind = elements(
    Order::Once,
    &[
        may("AuthorIVORN", &URI),
        may("Date", &TIME),
        may("Description", &STRING),
        may("Reference", &REFERENCE),
        may("Author", &AUTHOR),
    ],
);

static AUTHOR: Kind = elements(
    Order::AtLeastOne,
    &[
        may("title", &STRING),
        may("shortName", &STRING),
        may("logoURL", &URI),
        may("contactName", &STRING),
        may("contactEmail", &STRING),
        may("contactPhone", &STRING),
        may("contributor", &STRING),
    ],
);

static WHAT: Kind = elements(
    Order::Free,
    &[
        may("Param", &PARAM),
        may("Group", &GROUP),
        may("Table", &TABLE),
        may("Description", &STRING),
        may("Reference", &REFERENCE),
    ],
);

static PARAM: Kind = Kind {
    attributes: &[
        optional("name", Value::Any),
        optional("ucd", Value::Any),
        optional("value", Value::Any),
        optional("unit", Value::Any),
        optional("dataType", DATA_TYPE),
        optional("utype", Value::Any),
    ],
    content: Content::Elements(
        Order::Free,
        &[may("Description", &STRING), may("Reference", &REFERENCE), may("Value", &STRING)],
    ),
};

static GROUP: Kind = Kind {
    attributes: &[optional("name", Value::Any), optional("type", Value::Any)],
    content: Content::Elements(
        Order::Free,
        &[may("Param", &PARAM), may("Description", &STRING), may("Reference", &REFERENCE)],
    ),
};

static TABLE: Kind = Kind {
    attributes: &[optional("name", Value::Any), optional("type", Value::Any)],
    content: Content::Elements(
        Order::Free,
        &[
            may("Description", &STRING),
            may("Reference", &REFERENCE),
            may("Param", &PARAM),
            may("Field", &FIELD),
            may("Data", &DATA),
        ],
    ),
};

static FIELD: Kind = Kind {
    attributes: &[
        optional("name", Value::Any),
        optional("ucd", Value::Any),
        optional("unit", Value::Any),
        optional("dataType", DATA_TYPE),
        optional("utype", Value::Any),
    ],
    content: Content::Elements(Order::Free, &[may("Description", &STRING), may("Reference", &REFERENCE)]),
};

static DATA: Kind = elements(Order::AtLeastOne, &[may("TR", &ROW)]);
static ROW: Kind = elements(Order::AtLeastOne, &[may("TD", &STRING)]);

static WHERE_WHEN: Kind = Kind {
    attributes: &[optional("id", Value::Id)],
    content: Content::Elements(
        Order::Free,
        &[
            may("ObsDataLocation", &OBS_DATA_LOCATION),
            may("Description", &STRING),
            may("Reference", &REFERENCE),
        ],
    ),
};

static OBS_DATA_LOCATION: Kind = elements(
    Order::Once,
    &[must("ObservatoryLocation", &OBSERVATORY_LOCATION), must("ObservationLocation", &OBSERVATION_LOCATION)],
);

static OBSERVATORY_LOCATION: Kind = Kind {
    attributes: &[optional("id", Value::Any)],
    content: Content::Elements(
        Order::Once,
        &[may("AstroCoordSystem", &ASTRO_COORD_SYSTEM), may("AstroCoords", &ASTRO_COORDS)],
    ),
};

static OBSERVATION_LOCATION: Kind = elements(
    Order::Once,
    &[must("AstroCoordSystem", &ASTRO_COORD_SYSTEM), must("AstroCoords", &ASTRO_COORDS)],
);

static ASTRO_COORD_SYSTEM: Kind =
    Kind { attributes: &[optional("id", COORD_SYSTEM)], content: Content::Nothing };

static ASTRO_COORDS: Kind = Kind {
    attributes: &[optional("coord_system_id", COORD_SYSTEM)],
    content: Content::Elements(
        Order::Once,
        &[may("Time", &TIME_COORD), may("Position2D", &POSITION_2D), may("Position3D", &POSITION_3D)],
    ),
};

static TIME_COORD: Kind = Kind {
    attributes: &[optional("unit", Value::Any)],
    content: Content::Elements(Order::Free, &[may("TimeInstant", &TIME_INSTANT), may("Error", &NUMBER)]),
};

static TIME_INSTANT: Kind =
    elements(Order::Free, &[may("ISOTime", &STRING), may("TimeOffset", &NUMBER), may("TimeScale", &STRING)]);

static POSITION_2D: Kind = Kind {
    attributes: &[optional("unit", Value::Any)],
    content: Content::Elements(
        Order::Once,
        &[
            may("Name1", &STRING),
            may("Name2", &STRING),
            must("Value2", &VALUE_2),
            must("Error2Radius", &NUMBER),
        ],
    ),
};

static POSITION_3D: Kind = Kind {
    attributes: &[optional("unit", Value::Any)],
    content: Content::Elements(
        Order::Once,
        &[may("Name1", &STRING), may("Name2", &STRING), may("Name3", &STRING), must("Value3", &VALUE_3)],
    ),
};

static VALUE_2: Kind = elements(Order::Once, &[must("C1", &NUMBER), must("C2", &NUMBER)]);
static VALUE_3: Kind =
    elements(Order::Once, &[must("C1", &NUMBER), must("C2", &NUMBER), must("C3", &NUMBER)]);

static HOW: Kind = elements(Order::AtLeastOne, &[may("Description", &STRING), may("Reference", &REFERENCE)]);

static WHY: Kind = Kind {
    attributes: &[optional("importance", Value::Number), optional("expires", Value::Time)],
    content: Content::Elements(
        Order::AtLeastOne,
        &[
            may("Name", &STRING),
            may("Concept", &STRING),
            may("Inference", &INFERENCE),
            may("Description", &STRING),
            may("Reference", &REFERENCE),
        ],
    ),
};

static INFERENCE: Kind = Kind {
    attributes: &[optional("probability", Value::Probability), optional("relation", Value::Any)],
    content: Content::Elements(
        Order::AtLeastOne,
        &[
            may("Name", &STRING),
            may("Concept", &STRING),
            may("Description", &STRING),
            may("Reference", &REFERENCE),
        ],
    ),
};

static CITATIONS: Kind =
    elements(Order::FirstThenOthers, &[must("EventIVORN", &EVENT_IVORN), may("Description", &STRING)]);

static EVENT_IVORN: Kind = Kind {
    attributes: &[optional("cite", Value::OneOf(&["followup", "supersedes", "retraction"]))],
    content: Content::Text(Value::Any),
};

static REFERENCE: Kind = Kind {
    attributes: &[
        required("uri", Value::Uri),
        optional("type", Value::Any),
        optional("mimetype", Value::Any),
        optional("meaning", Value::Uri),
    ],
    content: Content::Nothing,
};

static STRING: Kind = text(Value::Any);
static URI: Kind = text(Value::Uri);
static NUMBER: Kind = text(Value::Number);
static TIME: Kind = text(Value::Time);

const DATA_TYPE: Value = Value::OneOf(&["string", "float", "int"]);

const COORD_SYSTEM: Value = Value::OneOf(&[
    "TT-ICRS-TOPO",
    "UTC-ICRS-TOPO",
    "TT-FK5-TOPO",
    "UTC-FK5-TOPO",
    "GPS-ICRS-TOPO",
    "GPS-FK5-TOPO",
    "TT-ICRS-GEO",
    "UTC-ICRS-GEO",
    "TT-FK5-GEO",
    "UTC-FK5-GEO",
    "GPS-ICRS-GEO",
    "TDB-ICRS-BARY",
    "TDB-FK5-BARY",
    "UTC-GEOD-TOPO",
]);

const fn elements(order: Order, children: &'static [Child]) -> Kind {
    Kind { attributes: &[], content: Content::Elements(order, children) }
}

const fn text(value: Value) -> Kind {
    Kind { attributes: &[], content: Content::Text(value) }
}

const fn may(name: &'static str, kind: &'static Kind) -> Child {
    Child { name, kind, is_required: false }
}

const fn must(name: &'static str, kind: &'static Kind) -> Child {
    Child { name, kind, is_required: true }
}

const fn optional(name: &'static str, value: Value) -> Attribute {
    Attribute { name, value, is_required: false }
}

const fn required(name: &'static str, value: Value) -> Attribute {
    Attribute { name, value, is_required: true }
}
