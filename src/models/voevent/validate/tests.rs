use super::*;
use proptest::prelude::*;

fn told(document: &[u8]) -> Vec<String> {
    let problems = problems(document).into_iter();
    problems.map(|SchemaProblem { line, column, problem }| format!("{line}:{column}: {problem}")).collect()
}

const ROOT_TAG: &str = "<voe:VOEvent xmlns:voe='http://www.ivoa.net/xml/VOEvent/v2.0' version='2.0' \
                        xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' ivorn='ivo://a/b#c'>";

/// Of what is on the second line, within the root element.
fn told_within(body: &str) -> Vec<String> {
    told(format!("{ROOT_TAG}\n{body}</voe:VOEvent>").as_bytes())
}

#[test]
fn what_the_schema_allows_is_left_alone() {
    for body in [
        "",
        "<!-- c --><?p i?>\n<Reference uri='x'/><Who/><What/>",
        "<Reference uri='x' type='t' mimetype='m' meaning='u'><!-- c --></Reference>",
        "<What> &#32;<![CDATA[ ]]>\n</What>",
        "<What><Param><Value>1</Value><Reference uri=''/><Value/></Param><Table/><Group/><Param/></What>",
        "<What><Table><Data><TR><TD/><TD>x</TD></TR></Data><Field dataType='int'/><Data><TR><TD/></TR></Data></Table></What>",
        "<WhereWhen id='a'/>",
        "<WhereWhen><ObsDataLocation><ObservationLocation><AstroCoords/><AstroCoordSystem/></ObservationLocation>\
         <ObservatoryLocation id='anything at all'/></ObsDataLocation></WhereWhen>",
        "<Why importance='7' expires='2026-01-01T00:00:00Z'><Inference relation='any'><Name/></Inference></Why>",
        "<Citations><EventIVORN>any</EventIVORN><EventIVORN cite='retraction'/><Description/></Citations>",
        "<Description xsi:type='xs:string'>a&lt;b <![CDATA[<c>]]></Description>",
        "<Who><Date>\n2026-01-01<!-- c -->T00:00:0&#48; </Date></Who>",
    ] {
        assert_eq!(told_within(body), [""; 0], "{body}");
    }
}

#[test]
fn each_rule_has_its_words_and_its_place() {
    let in_position = |body| {
        "<WhereWhen><ObsDataLocation><ObservatoryLocation/><ObservationLocation><AstroCoordSystem/><AstroCoords>\n"
            .to_owned()
            + body
            + "</AstroCoords></ObservationLocation></ObsDataLocation></WhereWhen>"
    };
    for (body, expected) in [
        // Which elements.
        (
            "<Whom/>",
            "2:1: <Whom> does not belong in <VOEvent>, which may hold only Who, What, WhereWhen, How, ",
        ),
        (
            "<How>\n <b>1</b>\n</How>",
            "3:2: <b> does not belong in <How>, which must hold Description or Reference",
        ),
        (
            "<Description>é<b/></Description>",
            "2:15: <b> does not belong in <Description>, which holds text only",
        ),
        (
            "<Reference uri=''><b/></Reference>",
            "2:19: <b> does not belong in <Reference>, which must be empty",
        ),
        (
            "<What><Group><Group/></Group></What>",
            "2:14: <Group> does not belong in <Group>, which may hold only",
        ),
        ("<What><Who/></What>", "2:7: <Who> does not belong in <What>"),
        // How often, and in which order.
        ("<Who/> <Who/>", "2:8: another <Who> in <VOEvent>, which may hold only one"),
        ("<How/>", "2:1: <How> is empty; it must hold Description or Reference"),
        ("<Who><Author></Author></Who>", "2:6: <Author> is empty; it must hold title, shortName, "),
        ("<What><Table><Data/></Table></What>", "2:14: <Data> is empty; it must hold TR"),
        ("<Citations/>", "2:1: there is no <EventIVORN> in <Citations>, and must be"),
        (
            "<Citations><EventIVORN/><Description/><EventIVORN/></Citations>",
            "2:39: <EventIVORN> comes behind Description in <Citations>, and must be before that",
        ),
        (
            "<Citations><EventIVORN/><Description/><Description/></Citations>",
            "2:39: another <Description> in <Citations>, which may hold only one",
        ),
        (
            "<WhereWhen><ObsDataLocation><ObservatoryLocation/></ObsDataLocation></WhereWhen>",
            "2:12: there is no <ObservationLocation> in <ObsDataLocation>, and must be",
        ),
        (
            &in_position("<Position2D><Value2><C1>1</C1><C2>2</C2></Value2></Position2D>"),
            "3:1: there is no <Error2Radius> in <Position2D>, and must be",
        ),
        (
            &in_position("<Position3D><Value3><C1>1</C1><C2>2</C2></Value3></Position3D>"),
            "3:13: there is no <C3> in <Value3>, and must be",
        ),
        // Text.
        ("<What>\n  <Param/>so\n</What>", "3:11: there is text in <What>, which may hold only Param, "),
        ("<What><Param>&#120;</Param></What>", "2:14: there is text in <Param>, which may hold only"),
        ("<Who><![CDATA[ x]]></Who>", "2:16: there is text in <Who>, which may hold only"),
        ("<Reference uri=''> </Reference>", "2:19: there is white space in <Reference>, which must be empty"),
        (
            &in_position("<Time><Error>\n 1s</Error></Time>"),
            "4:2: <Error> is \"1s\"; it must be a number such as 1.5e-3, or INF, -INF or NaN",
        ),
        (&in_position("<Time><Error/></Time>"), "3:7: <Error> is \"\"; it must be a number"),
        (
            "<Who><Date>today</Date></Who>",
            "2:12: <Date> is \"today\"; it must be a date and time such as 2026",
        ),
        (
            "<Who><AuthorIVORN>a#b#c</AuthorIVORN></Who>",
            "2:19: <AuthorIVORN> is \"a#b#c\"; it must be a URI, with",
        ),
        // Attributes.
        ("<Who id='1'/>", "2:6: <Who> has an attribute \"id\"; it may have none"),
        (
            "<What><Param\n name='1' nam='2'/></What>",
            "3:11: <Param> has an attribute \"nam\"; it may have name, ucd, ",
        ),
        ("<Description\u{3000}/>", "not valid XML: \"Description"),
        ("<Reference/>", "2:1: <Reference> has no uri, which must be a URI"),
        ("<Reference uri='100%'/>", "2:12: uri is \"100%\"; it must be a URI, with at most one '#' and two"),
        ("<Reference uri='' meaning='##'/>", "2:19: meaning is \"##\"; it must be a URI"),
        (
            "<What><Param dataType='Float'/></What>",
            "2:14: dataType is \"Float\"; it must be string, float or int",
        ),
        ("<WhereWhen id='1'/>", "2:12: id is \"1\"; it must be a name: a letter or '_'"),
        ("<Why importance='high'><Name/></Why>", "2:6: importance is \"high\"; it must be a number such as"),
        ("<Why expires='1'><Name/></Why>", "2:6: expires is \"1\"; it must be a date and time"),
        (
            "<Why><Inference probability='90'><Name/></Inference></Why>",
            "2:17: probability is \"90\"; it must be a number from 0 to 1",
        ),
        (
            "<Citations><EventIVORN cite='follow-up'>a</EventIVORN></Citations>",
            "2:24: cite is \"follow-up\"; it must be followup, supersedes or retraction",
        ),
        // Name spaces.
        ("<What xml:lang='en'/>", "2:7: <What> has an attribute \"xml:lang\"; it may have none"),
        ("<What q:a='1'/>", "2:7: the prefix of the attribute \"q:a\" is not declared"),
        ("<q:What/>", "2:1: the prefix of <q:What> is not declared, and must not be there"),
        (
            "<What xmlns='u'/>",
            "2:1: <What> is in the name space \"u\"; what is in <voe:VOEvent> must be in none",
        ),
        (
            "<voe:Who/>",
            "2:1: <voe:Who> is in the name space \"http://www.ivoa.net/xml/VOEvent/v2.0\"; what is in",
        ),
    ] {
        let told = told_within(body);
        assert!(told.len() == 1 && told[0].contains(expected), "{body}\n  is: {told:#?}\nnot: {expected}");
    }
}

#[test]
fn the_root_element_is_looked_at_first() {
    let voe = "xmlns:voe='http://www.ivoa.net/xml/VOEvent/v2.0'";
    let ivorn = "ivorn='ivo://a/b#c'";
    for (document, expected) in [
        ("<a>", "1:4: not valid XML: the document ends before </a>"),
        ("\n\u{1}", "2:1: not valid XML: "),
        ("{}", "1:1: not valid XML: expected XML, which begins with '<', found '{'"),
        ("<html><body/></html>", "1:1: the root element must be <voe:VOEvent>, but it is <html>"),
        (
            "<v:VOEvent xmlns:v='http://www.ivoa.net/xml/VOEvent/v1.1' version='1.1'><Whom/></v:VOEvent>",
            "1:1: <v:VOEvent> is in the name space \"http://www.ivoa.net/xml/VOEvent/v1.1\", not in \
             http://www.ivoa.net/xml/VOEvent/v2.0; nothing else was checked",
        ),
        (
            &format!("<VOEvent version='2.0' {ivorn}/>"),
            "1:1: <VOEvent> is in no name space; it must be <voe:VOEvent xmlns:voe=",
        ),
        (
            &format!("\n<voe:VOEvent version='2.0' {ivorn}/>"),
            "2:1: the prefix of <voe:VOEvent> is not declared; xmlns:voe=\"http://",
        ),
        (&format!("<voe:VOEvent {voe} {ivorn}/>"), "1:1: <VOEvent> has no version, which must be 2.0"),
        (
            &format!("<voe:VOEvent {voe} version='2.0'/>"),
            "1:1: <VOEvent> has no ivorn, which must be an identifier such as ivo://",
        ),
        (&format!("<voe:VOEvent version='1.1' {ivorn} {voe}/>"), "1:14: version is \"1.1\"; it must be 2.0"),
        (&format!("<voe:VOEvent version='2.0' ivorn='S1' {voe}/>"), "1:28: ivorn is \"S1\"; it must be an"),
        (
            &format!("<voe:VOEvent version='2.0' {ivorn} role='&quot;Test' {voe}/>"),
            "1:48: role is \"\\\"Test\"; it must be observation, prediction, utility or test",
        ),
    ] {
        let told = told(document.as_bytes());
        assert!(
            told.len() == 1 && told[0].starts_with(expected),
            "{document}\n  is: {told:#?}\nnot: {expected}"
        );
    }
    // Any prefix will do, and none.
    for root in ["q:VOEvent xmlns:q", "VOEvent xmlns"] {
        let name = root.split(' ').next().unwrap();
        let document =
            format!("<{root}='http://www.ivoa.net/xml/VOEvent/v2.0' version='2.0' {ivorn}></{name}>");
        assert_eq!(told(document.as_bytes()), [""; 0], "{document}");
    }
}

#[test]
fn problems_come_in_the_order_of_the_document() {
    let told = told_within("<Who><Author/>x</Who>\n<How\n a='1'>\n</How><Whom><Who/><How/>x</Whom>");
    let places: Vec<_> = told.iter().map(|told| told.split(": ").next().unwrap()).collect();
    assert_eq!(places[..], ["2:6", "2:15", "3:1", "4:2", "5:7"], "{told:#?}");
}

#[test]
fn places_count_characters_of_what_was_decoded() {
    let latin1 = format!("<?xml version='1.0' encoding='latin1'?>{ROOT_TAG}\n<What>é</What></voe:VOEvent>");
    let bytes: Vec<u8> = latin1.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    assert!(told(&bytes)[0].starts_with("2:7: there is text"), "{:?}", told(&bytes));
    let utf16: Vec<u8> = format!("\u{feff}{ROOT_TAG}\r\n<!-- 🚀 --><Whom/></voe:VOEvent>")
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    assert!(told(&utf16)[0].starts_with("2:11: <Whom>"), "{:?}", told(&utf16));
}

#[test]
fn what_is_told_is_bounded() {
    let told = told_within(&"<Whom/>".repeat(1000));
    assert_eq!((told.len(), &told[20][..]), (21, "2:141: and more: 20 problems were told"));
    let attributes: String = (0..1000).map(|number| format!(" a{number}=''")).collect();
    assert_eq!(told_within(&format!("<Who{attributes}/>")).len(), 21);
    assert_eq!(told_within(&"<Whom/>".repeat(20)).len(), 20);
    let told = told_within(&format!("<{}/>", "é".repeat(100_000)));
    assert!(told[0].starts_with(&format!("2:1: <{}…> does not", "é".repeat(60))), "{told:?}");
    // Declarations are many, and looked up often.
    let declared: String = (0..10_000).map(|number| format!(" xmlns:a{number}=''")).collect();
    assert_eq!(told_within(&format!("<Who{declared}>{}</Who>", "<a9999:b/>".repeat(100))).len(), 21);
}

/// What a random document is made of.
#[derive(Debug, Clone)]
enum Piece {
    Open(&'static str, String),
    Close,
    Text(&'static str),
}

fn document(pieces: &[Piece]) -> String {
    let mut document = ROOT_TAG.to_owned();
    let mut open = vec!["voe:VOEvent"];
    for piece in pieces {
        match piece {
            Piece::Open(name, attributes) => {
                document += &format!("<{name}{attributes}>");
                open.push(name);
            }
            Piece::Close if open.len() > 1 => document += &format!("</{}>", open.pop().unwrap()),
            Piece::Close => {}
            Piece::Text(text) => document += text,
        }
    }
    while let Some(name) = open.pop() {
        document += &format!("</{name}>");
    }
    document
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    const NAMES: [&str; 11] = [
        "Who",
        "Date",
        "What",
        "Param",
        "Citations",
        "EventIVORN",
        "Why",
        "C1",
        "voe:Who",
        "q:a",
        "Reference",
    ];
    let piece = prop_oneof![
        (
            prop::sample::select(&NAMES[..]),
            r#"( uri='[x#%]{0,2}')?( xmlns(:q)?='[ux]?')?( cite='[aé"> ]{0,2}')?"#
        )
            .prop_map(|(name, attributes)| Piece::Open(name, attributes)),
        Just(Piece::Close),
        prop::sample::select(&["x", " ", "é\n", "&#32;", "&lt;", "<![CDATA[ ]]>", "<!-- -->"][..])
            .prop_map(Piece::Text),
    ];
    prop::collection::vec(piece, 0..30)
}

proptest! {
    #[test]
    fn bytes_that_are_no_document_have_a_problem(bytes in any::<Vec<u8>>()) {
        prop_assert!(!problems(&bytes).is_empty());
    }

    #[test]
    fn problems_are_in_the_document_in_order_and_bounded(pieces in pieces()) {
        let document = document(&pieces);
        let problems = problems(document.as_bytes());
        prop_assert!(problems.len() <= MOST_PROBLEMS + 1);
        prop_assert!(problems.is_sorted_by_key(|problem| (problem.line, problem.column)));
        let lines: Vec<_> = document.split('\n').collect();
        for SchemaProblem { line, column, problem } in problems {
            prop_assert!(column <= lines[line - 1].chars().count());
            prop_assert!(!problem.starts_with("not valid XML"), "{}", problem);
        }
    }
}
