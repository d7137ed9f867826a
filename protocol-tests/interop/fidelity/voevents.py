"""VOEvents as observatories send them, written in all the ways in which XML lets one write them: invented, and the
same in every run."""

import random

from fidelity import constructs, malformed
from fidelity.document import Document

COUNT = 260

AUTHORS = ["ivo://org.example/throwaway", "ivo://nasa.example/gcn", "ivo://gaia.example.uk", "ivo://org.example/π"]
WORDS = ["afterglow", "candidate", "error circle", "Müller", "r-band", "±0.2", "10⁻⁸ erg/s", "α = 12h", "< 3σ",
         "R&D", "\"quoted\"", "it's", "中文", "follow-up", "🚀", "S/N > 5", "", "\ttabbed", "no-break\u00a0space"]
NAMES = ["TrigID", "Packet_Type", "RA", "Dec", "Burst_Signif", "magnitude", "Pkt Ser Num", "far", "χ²", "flux_µJy"]
UNITS = ["mag", "deg", "s", "arcsec", "10^-8 erg.cm^-2", "%", ""]
KINDS = ["observation", "prediction", "utility", "test"]
VALUES = ["17.5", "-3", "1e-8", "NaN", "true", "", "2027-04-12T21:14:08", "S270412a", "0x1F", " 5 ", "1,5", "a;b&c"]


def documents():
    """All of them: those of real structure, those of one construct each, and those that are none."""
    real = [Document(f"real-{seed:03}", Packet(seed).encoded()) for seed in range(COUNT)]
    return [*real, *constructs.documents(), *malformed.documents()]


class Packet:
    """One packet; the seed decides what it says and how it is written."""

    def __init__(self, seed):
        self.random = random.Random(f"voevent {seed}")
        self.encoding = self.random.choice(["UTF-8"] * 12 + ["utf-8", "ISO-8859-1", "UTF-16", "US-ASCII"])
        self.quote = self.random.choice(['"', "'"])
        self.line = self.random.choice(["\n", "\n", "\n", "\r\n", "\r"])
        self.indent = self.random.choice(["", "  ", "    ", "\t"])
        # Some write each element on a line of its own, some all in one.
        self.breaks = self.random.random() < 0.8

    def encoded(self):
        text = self.document().replace("\n", self.line)
        codec = {"UTF-16": "utf-16"}.get(self.encoding, self.encoding)
        return text.encode(codec, "xmlcharrefreplace")

    def document(self):
        version = self.some("2.0", "2.0", "2.0", "1.1")
        attributes = [
            ("xmlns:voe", f"http://www.ivoa.net/xml/VOEvent/v{version}"),
            ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
            ("ivorn", f"{self.some(*AUTHORS)}#{self.some('BAT', 'XRT Pos', 'Gaia')}_{self.random.randrange(10**6)}"),
            *self.maybe(0.9, ("role", self.some(*KINDS))),
            *self.maybe(0.9, ("version", version)),
            *self.maybe(0.6, ("xsi:schemaLocation", f"http://www.ivoa.net/xml/VOEvent/v{version}  x.xsd")),
            *self.maybe(0.1, ("xmlns:stc", "http://www.ivoa.net/xml/STC/stc-v1.30.xsd")),
        ]
        self.random.shuffle(attributes)
        parts = [("Who", self.who()), ("What", self.what()), ("WhereWhen", self.where_when()), ("How", self.how()),
                 ("Why", self.why()), ("Citations", self.citations()), ("Description", self.prose()),
                 ("Reference", self.reference())]
        parts = [part for part in parts if self.random.random() < 0.75]
        if self.random.random() < 0.2:
            self.random.shuffle(parts)
        prolog = self.prolog()
        body = [self.element(name, *content, depth=1) for name, content in parts]
        root = self.tag("voe:VOEvent", attributes)
        return prolog + root + "".join(body) + self.new_line(0) + "</voe:VOEvent>" + self.some("", "\n", "\n\n")

    def prolog(self):
        declaration = f"<?xml version={self.quote}1.0{self.quote} encoding={self.quote}{self.encoding}{self.quote}?>"
        if self.encoding.upper() == "UTF-8":
            declaration = self.some(declaration, declaration, "", f"<?xml version={self.quote}1.0{self.quote}?>")
        return declaration + self.some("", "\n") + self.some("", "", "<!-- invented -->\n", "<?style x?>",
                                                             "<!DOCTYPE voe:VOEvent>\n")

    # ---- What it says: attributes, children, text ----------------------------------------------------------------

    def who(self):
        author = [("title", self.text()), ("shortName", self.text()), ("contactName", self.text()),
                  *[("contributor", self.text())] * self.random.randrange(4)]
        return [], [("AuthorIVORN", ([], [], self.some(*AUTHORS))), ("Date", ([], [], "2027-04-12T21:14:08")),
                    *self.maybe(0.7, ("Author", ([], [(name, ([], [], text)) for name, text in author], ""))),
                    *self.descriptions()], ""

    def what(self):
        children = [*self.params(self.random.randrange(8)), *self.groups(2), *self.descriptions(), *self.tables()]
        if self.random.random() < 0.3:
            self.random.shuffle(children)
        return [], children, self.some("", "", "", self.text())

    def params(self, count):
        for _ in range(count):
            attributes = [("name", self.some(*NAMES)), ("value", self.some(*VALUES)),
                          *self.maybe(0.6, ("unit", self.some(*UNITS))),
                          *self.maybe(0.6, ("ucd", "phot.mag;em.opt.R")), *self.maybe(0.3, ("dataType", "float")),
                          *self.maybe(0.1, ("utype", "a:b.c"))]
            self.random.shuffle(attributes)
            children = [*self.descriptions(), *self.maybe(0.1, ("Value", ([], [], self.some(*VALUES)))),
                        *self.maybe(0.1, ("Reference", self.reference()))]
            yield "Param", (attributes, children, self.some("", "", "", "", self.text()))

    def groups(self, depth):
        for _ in range(self.random.randrange(3)):
            inner = [*self.params(self.random.randrange(4)), *self.descriptions()]
            if depth:
                inner += self.groups(depth - 1)
            yield "Group", ([("name", self.some(*NAMES)), *self.maybe(0.5, ("type", "complex"))], inner, "")

    def tables(self):
        for _ in range(self.some(0, 0, 0, 1, 2)):
            columns = self.random.randrange(1, 4)
            fields = [("Field", ([("name", self.some(*NAMES)), ("dataType", self.some("int", "float", "string"))],
                                 self.descriptions(), "")) for _ in range(columns)]
            rows = [("TR", ([], [("TD", ([], [], self.some(*VALUES))) for _ in range(columns)], ""))
                    for _ in range(self.random.randrange(4))]
            yield "Table", ([("name", self.text())], [*self.descriptions(), *fields, ("Data", ([], rows, ""))], "")

    def where_when(self):
        system = self.some("UTC-FK5-GEO", "TDB-ICRS-BARY")
        position = [("Name1", ([], [], "RA")), ("Name2", ([], [], "Dec")),
                    ("Value2", ([], [("C1", ([], [], f"{self.random.uniform(0, 360):.4f}")),
                                     ("C2", ([], [], f"{self.random.uniform(-90, 90):+.4f}"))], "")),
                    *self.maybe(0.7, ("Error2Radius", ([], [], self.some("0.05", " 0.0002 ", "1e-4"))))]
        instant = ("TimeInstant", ([], [("ISOTime", ([], [], "2027-04-12T20:51:17.4"))], ""))
        coordinates = [("Time", ([("unit", "s")], [instant, *self.maybe(0.2, ("Error", ([], [], "1")))], "")),
                       (self.some("Position2D", "Position3D"), ([("unit", "deg")], position, ""))]
        location = [("AstroCoordSystem", ([("id", system)], [], "")),
                    ("AstroCoords", ([("coord_system_id", system)], coordinates, ""))]
        data = [("ObservatoryLocation", ([("id", self.text())], [], "")), ("ObservationLocation", ([], location, ""))]
        return self.maybe(0.2, ("id", "place")), [("ObsDataLocation", ([], data, "")), *self.descriptions()], ""

    def how(self):
        return [], [*self.descriptions(), *[("Reference", self.reference())] * self.random.randrange(3)], ""

    def why(self):
        inference = ([("probability", "0.9"), ("relation", "associated")],
                     [("Name", ([], [], self.text())), ("Concept", ([], [], "process.variation.burst;em.opt"))], "")
        return ([*self.maybe(0.8, ("importance", "0.95")), *self.maybe(0.3, ("expires", "2027-05-01T00:00:00"))],
                [*[("Concept", ([], [], self.text()))] * self.random.randrange(3),
                 *[("Inference", inference)] * self.random.randrange(3), *self.descriptions()],
                self.some("", self.text()))

    def citations(self):
        cited = [("EventIVORN", ([("cite", self.some("followup", "supersedes", "retraction"))], [], f"ivo://a/b#{n}"))
                 for n in range(self.random.randrange(1, 4))]
        return [], [*cited, *self.descriptions()], ""

    def descriptions(self):
        return [("Description", self.prose())] * self.some(0, 0, 0, 1, 1, 2)

    def prose(self):
        return [], [], " ".join(self.text() for _ in range(self.random.randrange(6)))

    def reference(self):
        uri = f"https://example.org/?a={self.random.randrange(100)}&b=2"
        return [("uri", uri), *self.maybe(0.5, ("type", "url"))], [], ""

    # ---- How it is written ------------------------------------------------------------------------------------------

    def element(self, name, attributes, children, text, depth):
        start = self.new_line(depth)
        if not children and not text and self.random.random() < 0.7:
            return start + self.tag(name, attributes, end=self.some("/", " /"))
        inner = "".join(self.element(child, *content, depth=depth + 1) for child, content in children)
        around = self.written(text)
        if children:
            around += self.new_line(depth)
        inner = self.some(inner + around, around + inner)
        return f"{start}{self.tag(name, attributes)}{inner}</{name}{self.some('', '', '', ' ')}>"

    def tag(self, name, attributes, end=""):
        written = "".join(self.some(" ", " ", " ", "\n   ") + key + self.some("=", "=", " = ") + self.quoted(value)
                          for key, value in attributes)
        return f"<{name}{written}{end}>"

    def quoted(self, value):
        quote = {'"': "&#34;", "'": "&apos;"}[self.quote]
        return self.quote + escaped(value).replace(self.quote, quote) + self.quote

    def written(self, text):
        """Text: with references, as character data, with what does not count within, on lines of its own."""
        plain = escaped(text)
        match self.random.randrange(10):
            case 0 if self.encoding.upper() in ("UTF-8", "UTF-16"):
                return f"<![CDATA[{text}]]>"
            case 1:
                return f"{escaped(text[:3])}<!-- within -->{escaped(text[3:])}"
            case 2:
                return "".join(self.some(f"&#{ord(c)};", f"&#x{ord(c):x};", escaped(c)) for c in text)
            case 3:
                return f"\n  {plain}\n"
            case 4:
                return f"{plain}<?within?>"
        return plain

    def new_line(self, depth):
        return "\n" + self.indent * depth if self.breaks else ""

    def text(self):
        return self.some(*WORDS)

    def some(self, *choices):
        return self.random.choice(choices)

    def maybe(self, probability, value):
        return [value] if self.random.random() < probability else []


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;")
