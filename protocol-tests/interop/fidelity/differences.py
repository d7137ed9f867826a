"""Why the two are meant to differ. What stands before the colon is a row of the guide's table of that."""

DEPTH = "deep nesting of elements: refused beyond 100 levels, since what they become is walked by recursion"
JSON_FILE = "a file with the JSON form of a VOEvent: taken, since that is what `-j` prints"
NAMES = "names in letters that XML has had since its fifth edition: taken"
MARK = "a byte order mark: decides, whatever the declaration says"
OTHER_ENCODINGS = "encodings: those of the web, by all their names"
ENTITIES = "entities: refused wherever one might be declared, also in a comment or in a document type elsewhere"
DOCUMENT_TYPE = "a document type: only looked through for entities; it gives no attribute its value"
FROM_JSON = "a VOEvent that came as JSON: written as XML that reads back the same"
MULTIPART = "a circular that says it is mail in parts: taken as one text"
SURROGATE = "JSON with half a surrogate pair: refused, since it is no text"
HEADER_VALUE = "a number in a circular's header: printed; hop-client fails on it"
EMPTY_BODY = "a circular without a body: an empty one; hop-client keeps the null, and fails to print it"
CIRCULAR_PARTS = "a circular whose parts are of another kind: refused, where hop-client takes what it cannot print"
ANY_BLOB = "an envelope named BLOB: read as one named blob; hop-client since 0.6 fails on it"
UNKNOWN_FORMAT = "an envelope of an unknown format: its content as JSON; hop-client makes a blob that it cannot print"
HEADER_NAME = "a `_format` header that is no text: an unknown format; hop-client fails on it"


def because(reason, *aspects):
    return dict.fromkeys(aspects, reason)
