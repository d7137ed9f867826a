"""VOEvents with each awkward construct of XML and of the schema of VOEvent 2.0, one to a document."""

from fidelity.differences import (
    DEPTH, DOCUMENT_TYPE, ENTITIES, FROM_JSON, JSON_FILE, MARK, NAMES, OTHER_ENCODINGS, because,
)
from fidelity.document import AS_XML, WIRES, Document

NAMESPACES = ('xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" '
              'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"')
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
IVORN = 'ivorn="ivo://org.example/fidelity#1"'


def packet(inner="", attributes=f'version="2.0" role="test" {IVORN}', prolog=DECLARATION, epilog="\n"):
    return f"{prolog}<voe:VOEvent {NAMESPACES} {attributes}>{inner}</voe:VOEvent>{epilog}"


def what(inner):
    return packet(f"<What>{inner}</What>")


def described(text):
    return packet(f"<Description>{text}</Description>")


# ---- The root element and what is around it ---------------------------------------------------------------------

ROOTS = {
    "minimal": '<voe:VOEvent xmlns:voe="u" ivorn="ivo://a/b#c"/>',
    "undeclared-prefix": "<voe:VOEvent ivorn='i'/>",
    "blanks-in-tags": "<voe:VOEvent\n\tivorn = 'i'\n  role\n=\n'test'  >\n</voe:VOEvent\n >",
    "no-declaration": packet(prolog=""),
    "no-encoding": packet(prolog="<?xml version='1.0'?>"),
    "standalone": packet(prolog='<?xml version="1.0" encoding="utf-8" standalone="yes"?>\n'),
    "not-standalone": packet(prolog="<?xml version='1.0' standalone='no'?>"),
    "blanks-in-declaration": packet(prolog="<?xml  version = '1.0'\n encoding = 'UTF-8' ?>"),
    "xml-1.1": packet(prolog="<?xml version='1.1'?>"),
    "comments-around": packet(prolog=DECLARATION + "<!-- a - b --><!---->\n", epilog="\n<!-- end -->\n<?end?>\n\n"),
    "instructions-around": packet(prolog=DECLARATION + '<?xml-stylesheet href="a.xsl" type="text/xsl"?>\n'),
    "no-end-of-line": packet(epilog=""),
    "schema-location": packet(attributes=IVORN + ' xsi:schemaLocation="http://www.ivoa.net/xml/VOEvent/v2.0 a.xsd"'),
    "no-namespace-location": packet(attributes=f'{IVORN} xsi:noNamespaceSchemaLocation="a.xsd"'),
    "xml-attributes": packet(attributes=f'xml:lang="en" xml:base="http://a/" xml:space="preserve" {IVORN}'),
    "ivorn-last": packet(attributes=f'role="utility" version="2.0" {IVORN}'),
    "all-defaults": packet(attributes=IVORN),
    "empty-attributes": packet(attributes='ivorn="" role="" version=""'),
    "odd-role": packet(attributes=f'{IVORN} role=" observation "'),
    "beyond-ascii": packet(attributes='ivorn="ivo://ä.example/π#🚀"'),
    "version-1.1": '<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v1.1" '
                   'xmlns:xlink="http://www.w3.org/1999/xlink" ivorn="i" version="1.1" role="observation"><Who>'
                   '<Author><shortName>s</shortName></Author></Who><Reference xlink:href="u" type="url"/>'
                   '</voe:VOEvent>',
    "attribute-named-like-child": packet("<Who><Date>d</Date></Who>", f'{IVORN} Who="x"'),
    "all-parts-empty": packet("<Who/><What/><WhereWhen/><How/><Why/><Citations/><Description/><Reference/>"),
    "parts-in-another-order": packet("<Reference uri='u'/><Why>w</Why><Who>x</Who><What>y</What>"),
    "parts-twice": packet("<Who><Date>1</Date></Who><What/><Who><Date>2</Date></Who><Who/>"),
    "prefixed-children-are-dropped": packet("<q:Who>x</q:Who><q:Extra/><Who>y</Who>"),
    "blanks-between-parts": packet("\n\n  <Who/>\t\n <What/>\r\n"),
    "comment-in-root": packet("<!-- <Who/> --><?hop?><Who/>"),
    "blank-references-in-root": packet("&#32;&#10;<Who/>&#9;"),
    "empty-character-data-in-root": packet("<![CDATA[]]><Who/><![CDATA[ ]]>"),
    "document-type": packet(prolog=DECLARATION + "<!DOCTYPE voe:VOEvent>"),
    "document-type-elsewhere": packet(prolog='<!DOCTYPE voe:VOEvent SYSTEM "http://127.0.0.1:9/voevent.dtd">'),
    "document-type-public": packet(prolog="<!DOCTYPE voe:VOEvent PUBLIC '-//A//B' 'x'>"),
    "document-type-with-elements": packet(
        prolog="<!DOCTYPE voe:VOEvent [<!ELEMENT Who (#PCDATA)> <!-- ] > --> <?x ]>?>\n<!NOTATION n SYSTEM 'x'>]>"),
    "document-type-with-attributes": packet(
        prolog="<!DOCTYPE voe:VOEvent [<!ATTLIST Who a CDATA #IMPLIED b (x|y) #REQUIRED>]>"),
}

# ---- Elements, attributes, and names -----------------------------------------------------------------------------

ELEMENTS = {
    "one-param": what('<Param name="a" value="1"/>'),
    "two-params": what('<Param name="a" value="1"/><Param name="b" value="2"/>'),
    "three-params-apart": what("<Param name='a'/><Group/><Param name='b'/>text<Group name='g'/><Param/>"),
    "param-with-value-element": what('<Param name="a"><Value>text</Value><Description>d</Description></Param>'),
    "param-with-text": what('<Param name="a">text here</Param>'),
    "param-with-text-and-children": what('<Param name="a">one<Description>d</Description>two</Param>'),
    "param-with-all": what('<Param name="a" value="1" unit="mag" ucd="phot.mag;em.opt.R" dataType="float" utype="u:v">'
                           '<Description>d</Description><Description>e</Description><Value>1</Value>'
                           '<Reference uri="r"/></Param>'),
    "nulls-in-lists": what("<Param/><Param>a</Param><Param> </Param><Param b=''/>"),
    "groups-in-groups": what('<Group name="a"><Group name="b"><Group name="c"><Param name="d"/></Group></Group>'
                             "</Group>"),
    "group-of-one": what('<Group name="a" type="t"><Param name="b"/></Group><Reference uri="u" type="url"/>'),
    "table": what('<Table name="t" type="light curve"><Description>d</Description><Reference uri="u"/>'
                  '<Param name="p" value="1"/><Field name="a" dataType="float" unit="s" ucd="time" utype="x"/>'
                  '<Field name="b"><Description>e</Description></Field><Data><TR><TD>1</TD><TD>2</TD></TR>'
                  '<TR><TD/><TD> 3 </TD></TR></Data></Table>'),
    "table-of-one-cell": what("<Table><Field name='a'/><Data><TR><TD>1</TD></TR></Data></Table>"),
    "table-empty": what("<Table><Data/></Table>"),
    "table-empty-rows": what("<Table><Data><TR/><TR><TD/></TR><TR></TR></Data></Table>"),
    "two-tables": what("<Table name='a'><Data><TR><TD>1</TD></TR></Data></Table><Table name='b'/>"),
    "references": what('<Reference uri="a" type="url" mimetype="text/html" meaning="m"/><Reference uri="b">x'
                       "</Reference>"),
    "citations": packet('<Citations><EventIVORN cite="followup">ivo://a#1</EventIVORN><EventIVORN cite="retraction">'
                        'ivo://a#2</EventIVORN><Description>d</Description></Citations>'),
    "citation-of-one": packet('<Citations><EventIVORN cite="supersedes">ivo://a#1</EventIVORN></Citations>'),
    "why-with-all": packet('<Why importance="0.9" expires="2027-01-01T00:00:00"><Name>a</Name><Name>b</Name><Concept>c'
                           '</Concept><Inference probability="0.5" relation="r"><Name>d</Name><Concept>e</Concept>'
                           '<Description>f</Description><Reference uri="g"/></Inference><Inference/></Why>'),
    "why-with-text-alone": packet("<Why importance='1'>because</Why>"),
    "how-with-all": packet('<How><Description>a</Description><Reference uri="b"/><Description>c</Description></How>'),
    "who-with-all": packet("<Who><AuthorIVORN>i</AuthorIVORN><Date>2027-01-01T00:00:00</Date><Description>d"
                           "</Description><Reference uri='r'/><Author><title>t</title><shortName>s</shortName>"
                           "<logoURL>l</logoURL><contactName>n</contactName><contactEmail>e</contactEmail>"
                           "<contactPhone>p</contactPhone><contributor>a</contributor><contributor>b</contributor>"
                           "</Author></Who>"),
    "prefixes-kept-inside": packet('<Who xmlns:q="z" q:r="s"><q:Date q:x="1">d</q:Date><Date/></Who>'),
    "default-namespace-inside": packet('<Who xmlns=""><Date xmlns="http://x/">d</Date></Who>'),
    "stc-prefix": packet('<WhereWhen xmlns:stc="http://www.ivoa.net/xml/STC/stc-v1.30.xsd"><stc:ObsDataLocation>'
                         '<stc:C1 pos_unit="deg">1.5</stc:C1><stc:C1/></stc:ObsDataLocation></WhereWhen>'),
    "xsi-type": what('<Param name="a" xsi:type="xs:float" xmlns:xs="http://www.w3.org/2001/XMLSchema">1.5</Param>'),
    "xsi-nil": what('<Param name="a"><Value xsi:nil="true"/></Param>'),
    "space-preserve": described('</Description><Description xml:space="preserve">  kept?  '),
    "foreign-elements": packet('<Who><x:foo xmlns:x="urn:x"><x:bar x:baz="1">t</x:bar></x:foo><Unknown a="b"/></Who>'),
    "names-of-all-kinds": what("<_a/><a-b/><a.b/><a1/><é/><Ω value='1'/><名前/><a·b/>"),
    "names-with-colons": what("<a:b:c d:e:f='1'/><:x/>"),
    "attribute-named-text": what('<P text="a"><text>b</text>c</P>'),
    "names-that-differ-in-case": what("<param/><Param/><PARAM a='1' A='2'/>"),
    "names-beginning-with-xml": what("<xmlthing xmlother='1'/>"),
    "names-of-python": what("<None/><True/><self class='a'/><__class__/>"),
    "beginning-with-underscore": packet("<Who _raw='1'><_raw>2</_raw></Who>"),
    "empty-in-two-ways": what("<A/><B></B><C ></C ><D />"),
    "empty-but-for-blanks": what("<A> </A><B>\n\t</B><C a='1'>  </C>"),
    "empty-but-for-comments": what("<A><!-- x --></A><B><?x?></B><C><![CDATA[]]></C><D> <!-- --> </D>"),
    "many-attributes": what("<P " + " ".join(f"a{n}='{n}'" for n in range(200)) + "/>"),
    "many-children": what("".join(f"<P{n % 7}>{n}</P{n % 7}>" for n in range(1000))),
    "many-params": what("".join(f"<Param name='n{n}' value='{n / 7}' unit='mag'/>" for n in range(500))),
    "deep": packet("<Who>" + "<a>" * 50 + "x" + "</a>" * 50 + "</Who>"),
    "as-deep-as-may-be": packet("<Who>" + "<a>" * 98 + "x" + "</a>" * 98 + "</Who>"),
}

# ---- Text, in elements and in attributes -------------------------------------------------------------------------

TEXTS = {
    "predefined-entities": described("&lt;a&gt; &amp;amp; &quot;q&quot; &apos;p&apos;"),
    "decimal-references": described("&#65;&#233;&#8364;&#128640;&#0065;"),
    "hexadecimal-references": described("&#x41;&#xe9;&#x20AC;&#x1F680;&#x00041;"),
    "blank-references": described("&#32;&#9;x&#10;y&#x20;"),
    "only-blank-references": described("&#32;&#13;&#10;"),
    "no-break-space-references": described("&#160;x&#160;&#8195;"),
    "character-data": described("<![CDATA[<raw> & \"text\"]]>"),
    "character-data-empty": described("<![CDATA[]]>"),
    "character-data-blank": described("<![CDATA[ \n ]]>"),
    "character-data-with-blanks-around": described(" a <![CDATA[ b ]]> c "),
    "character-data-with-brackets": described("<![CDATA[a]]]]><![CDATA[>b[[ ]] ]>]]>"),
    "character-data-twice": described("<![CDATA[a]]><![CDATA[b]]>"),
    "character-data-with-line-ends": described("<![CDATA[a\r\nb\rc\n]]>"),
    "character-data-looks-like-markup": described("<![CDATA[<!-- x --><?y?>&#65;&amp;</Description>]]>"),
    "character-data-in-list": what("<P><![CDATA[a]]></P><P><![CDATA[<]]>b</P>"),
    "mixed-text": described("before <b>bold</b> after"),
    "mixed-text-without-blanks": described("a<b/>c<b/>d<i>e</i>"),
    "mixed-text-over-lines": described("\n  one\n  <b>two</b>\n  three\n"),
    "comment-within-text": described("one<!-- x -->two"),
    "comment-within-word-and-blanks": described("one <!-- x --> two"),
    "instruction-within-text": described("one<?x y?>two"),
    "comment-of-many-kinds": described("<!----><!-- - --><!-- <a> & ]]> -->x<!-- é -->"),
    "blanks-of-unicode-around": described("\u00a0\u2003x\u3000\u2028"),
    "blanks-of-unicode-alone": described("\u00a0\u2003\u3000"),
    "next-line-around": described("\u0085x\u0085"),
    "zero-width-around": described("\u200bx\ufeff"),
    "separators-within": described("a\u2028b\u2029c\u0085d"),
    "tabs-and-lines-within": described("a\tb\nc\n\nd"),
    "line-ends-of-windows": packet("<Who>\r\n<Date>a\r\nb</Date>\r\n</Who>\r\n").replace("?>\n", "?>\r\n"),
    "line-ends-of-old": described("a\rb\r\rc"),
    "line-ends-mixed": described("a\r\n\nb\n\rc\r"),
    "apostrophes": described("it's \"so\""),
    "greater-than": described("a > b ]] > c"),
    "brackets": described("a]]b]"),
    "numbers-stay-text": what("<A>1</A><B>1.50</B><C>1e5</C><D>true</D><E>null</E><F>NaN</F>"),
    "json-in-text": described('{"a": [1, "b"]}'),
    "backslashes": described(r"C:\new\u0041 \\ \" \/"),
    "beyond-ascii": described("Frédéric Ω 中文 العربية עברית ไทย"),
    "beyond-the-basic-plane": described("🚀𝔘𠀀\U0010ffff"),
    "combining-marks": described("é = e\u0301, Å = A\u030a, \u1112\u1161\u11ab"),
    "both-directions": described("\u202eabc\u202c \u2067x\u2069"),
    "private-use": described("\ue000\uf8ff\ufffd\ufdd0"),
    "control-characters": described("a\u007fb\u0080c\u009fd"),
    "zero-width-joiners": described("👩\u200d🚀 \u200c"),
    "attribute-blanks": what("<P a=' x ' b='a\nb\tc  d' c='a\r\nb\rc'/>"),
    "attribute-blank-references": what("<P a='&#32;x&#10;y&#9;z&#13;'/>"),
    "attribute-entities": what("<P a='&lt;&gt;&amp;&quot;&apos;' b=\"&#x41;&#66;\"/>"),
    "attribute-quotes": what("""<P a="it's" b='say "x"'/>"""),
    "attribute-greater-than": what("<P a='a > b' b='/>'/>"),
    "attribute-empty": what("<P a='' b=\"\"/>"),
    "attribute-beyond-ascii": what("<P a='é🚀\u00a0' é='1'/>"),
    "attribute-of-markup": what("<P a='&lt;!-- x -->' b=']]>'/>"),
    "long-text": described("lorem ipsum é " * 10000),
    "long-attribute": what(f"<P a='{'x' * 60000}'/>"),
    "long-line-of-references": described("&amp;&#233;" * 5000),
    "long-character-data": described(f"<![CDATA[{'<&>' * 20000}]]>"),
    "long-comment": described(f"<!--{' x' * 50000}-->y"),
    "long-name": what(f"<{'n' * 2000}/>"),
}

# ---- Encodings ---------------------------------------------------------------------------------------------------


def encoded(encoding, codec=None, text="café", mark=b""):
    document = packet(f"<Description>{text}</Description>", prolog=f"<?xml version='1.0' encoding='{encoding}'?>")
    return mark + document.encode(codec or encoding)


ENCODINGS = {
    "utf-8": encoded("UTF-8", text="café 🚀"),
    "utf-8-in-small": encoded("utf-8", text="café 🚀"),
    "utf-8-with-mark": encoded("UTF-8", mark=b"\xef\xbb\xbf"),
    "utf-8-with-mark-alone": b"\xef\xbb\xbf" + packet("<Description>é</Description>", prolog="").encode(),
    "utf-16": encoded("UTF-16", text="café 🚀"),
    "utf-16-little": encoded("UTF-16", "utf-16-le", mark=b"\xff\xfe"),
    "utf-16-big": encoded("UTF-16", "utf-16-be", mark=b"\xfe\xff"),
    "utf-16-little-by-name": encoded("UTF-16LE", "utf-16-le", mark=b"\xff\xfe"),
    "utf-16-big-by-name": encoded("UTF-16BE", "utf-16-be", mark=b"\xfe\xff"),
    "utf-16-undeclared": packet("<Description>é</Description>", prolog="").encode("utf-16"),
    "utf-16-without-mark": encoded("UTF-16", "utf-16-le"),
    "utf-16-big-without-mark": encoded("UTF-16", "utf-16-be"),
    "utf-16-little-without-mark-by-name": encoded("UTF-16LE", "utf-16-le"),
    "latin-1": encoded("ISO-8859-1", text="café ß ÿ"),
    "latin-1-in-small": encoded("iso-8859-1"),
    "latin-1-by-another-name": encoded("latin1"),
    "latin-1-controls": encoded("ISO-8859-1", text="a\x80\x9fb"),
    "latin-2": encoded("ISO-8859-2", text="žluťoučký"),
    "latin-9": encoded("ISO-8859-15", text="10 €"),
    "windows-1252": encoded("windows-1252", text="“quoted” – €"),
    "koi8": encoded("KOI8-R", text="звезда"),
    "ascii": encoded("US-ASCII", text="cafe"),
    "ascii-with-references": encoded("ascii", text="caf&#233;"),
}

# ---- Where the two are meant to differ ----------------------------------------------------------------------------

# All that is made of what it holds.
MEANING = ["json payload", "envelope payload", *(f"{shown} of {wire}" for shown in ("-j", "text") for wire in WIRES)]


def intended(name, document, reason, *aspects):
    content = document.encode() if isinstance(document, str) else document
    return Document(f"intended-{name}", content, because(reason, *aspects))


INTENDED = [
    intended("child-named-like-attribute", packet("<role>again</role>"), FROM_JSON, AS_XML),
    intended("attribute-and-element", what('<Group name="n"><name>other</name></Group>'), FROM_JSON, AS_XML),
    intended("attribute-and-elements", what('<Group name="n"><name>o</name><name/><name a="b">p</name></Group>'),
             FROM_JSON, AS_XML),
    intended("carriage-return-reference", described("&#13;a&#13;&#10;b&#xD;c"), FROM_JSON, AS_XML),
    intended("deeper", packet("<Who>" + "<a>" * 110 + "x" + "</a>" * 110 + "</Who>"), DEPTH, "taken"),
    intended("json-form", '{"ivorn": "i", "What": {"Param": {"name": "a"}}}\n', JSON_FILE, "taken"),
    intended("names-of-the-fifth-edition", what("<ℓ/>"), NAMES, "taken"),
    intended("name-of-emoji", what("<🚀/>"), NAMES, "taken"),
    intended("utf-16-that-says-utf-8", encoded("UTF-8", "utf-16"), MARK, "taken"),
    intended("utf-16-that-says-latin-1", encoded("ISO-8859-1", "utf-16"), MARK, "taken"),
    intended("utf-8-that-says-utf-16", encoded("UTF-16", "utf-8", mark=b"\xef\xbb\xbf"), MARK, "taken"),
    intended("utf-8-that-says-latin-1", encoded("ISO-8859-1", "utf-8", mark=b"\xef\xbb\xbf"), MARK, *MEANING),
    intended("utf-8-by-another-name", encoded("UTF8", "utf-8"), OTHER_ENCODINGS, "taken"),
    intended("shift-jis", encoded("Shift_JIS", "shift-jis", text="日本"), OTHER_ENCODINGS, "taken"),
    intended("code-page-437", encoded("cp437", "cp437"), OTHER_ENCODINGS, "taken"),
    intended("entity-in-a-comment", packet(prolog="<!DOCTYPE v [<!-- <!ENTITY e 'x'> -->]>"), ENTITIES, "taken"),
    intended("entity-defined-elsewhere",
             packet("<Description>a&nope;b</Description>", prolog="<!DOCTYPE v SYSTEM 'v.dtd'>"), ENTITIES, "taken"),
    intended("attribute-by-default", packet("<Who/>", prolog="<!DOCTYPE v [<!ATTLIST Who a CDATA 'x'>]>"),
             DOCUMENT_TYPE, *MEANING),
    intended("document-type-of-nothing", packet(prolog="<!DOCTYPE v [garbage]>"), DOCUMENT_TYPE, "taken"),
]


def documents():
    texts = [Document(f"{kind}-{name}", text.encode()) for kind, group in
             [("root", ROOTS), ("element", ELEMENTS), ("text", TEXTS)] for name, text in group.items()]
    return [*texts, *(Document(f"encoding-{name}", content) for name, content in ENCODINGS.items()), *INTENDED]
