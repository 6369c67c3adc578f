//! Text that is almost a frame: JSON's edge cases, frame types, and first frames that are no valid hello.

use super::case::{Case, answer, close, error};

const BAD_FRAME: &[&str] = &["bad_frame"];
/// Well-formed by the letter, but not as a frame: either name is fair.
const BAD_OR_INVALID: &[&str] = &["bad_frame", "invalid"];

/// All cases of the table.
pub fn cases() -> Vec<Case> {
    [malformed(), edges(), types(), numbers(), strings(), hellos()].concat()
}

fn malformed() -> Vec<Case> {
    let table: &[(&str, &str)] = &[
        ("nothing", ""),
        ("spaces only", "   \n\t "),
        ("truncated object", r#"{"type":"ping","id":"q""#),
        ("truncated key", r#"{"type":"ping","i"#),
        ("truncated string", r#"{"type":"ping","id":"q"#),
        ("truncated literal", r#"{"type":"typing","conversation":"$GROUP","on":tru"#),
        ("trailing brace", r#"{"type":"ping","id":"q"}}"#),
        ("trailing word", r#"{"type":"ping","id":"q"} ping"#),
        ("two frames in one", r#"{"type":"ping","id":"q"}{"type":"ping","id":"r"}"#),
        ("two frames on two lines", "{\"type\":\"ping\",\"id\":\"q\"}\n{\"type\":\"ping\",\"id\":\"r\"}"),
        ("trailing comma", r#"{"type":"ping","id":"q",}"#),
        ("missing comma", r#"{"type":"ping" "id":"q"}"#),
        ("missing colon", r#"{"type" "ping"}"#),
        ("single quotes", "{'type':'ping','id':'q'}"),
        ("bare key", r#"{type:"ping"}"#),
        ("a comment", r#"{"type":"ping"/* hello */}"#),
        ("a list", r#"["ping"]"#),
        ("an empty list", "[]"),
        ("a string", r#""ping""#),
        ("a number", "42"),
        ("null", "null"),
        ("true", "true"),
        ("NaN", r#"{"type":"ping","id":NaN}"#),
        ("Infinity", r#"{"type":"ping","id":Infinity}"#),
        ("-Infinity", r#"{"type":"ping","id":-Infinity}"#),
        ("undefined", r#"{"type":"ping","id":undefined}"#),
        ("hexadecimal", r#"{"type":"ping","id":0x10}"#),
        ("leading zero", r#"{"type":"ping","id":007}"#),
        ("leading plus", r#"{"type":"ping","id":+1}"#),
        ("bare minus", r#"{"type":"ping","id":-}"#),
        ("a dot without digits", r#"{"type":"ping","id":1.}"#),
        ("byte order mark", "\u{feff}{\"type\":\"ping\",\"id\":\"q\"}"),
        ("UTF-16 without mark", "{\0\"\0t\0y\0p\0e\0\"\0:\0\"\0p\0i\0n\0g\0\"\0}\0"),
        ("form feed as space", "{\"type\":\"ping\",\u{c}\"id\":\"q\"}"),
        ("no-break space as space", "{\"type\":\"ping\",\u{a0}\"id\":\"q\"}"),
        ("raw newline in a string", "{\"type\":\"ping\",\"id\":\"a\nb\"}"),
        ("raw NUL in a string", "{\"type\":\"ping\",\"id\":\"a\0b\"}"),
        ("unknown escape", r#"{"type":"ping","id":"\x41"}"#),
        ("short escape", r#"{"type":"ping","id":"\u00"}"#),
        ("lone leading surrogate", r#"{"type":"ping","id":"\ud800"}"#),
        ("lone trailing surrogate", r#"{"type":"ping","id":"\udc00"}"#),
        ("surrogates in the wrong order", r#"{"type":"ping","id":"\udc00\ud800"}"#),
        ("XML", "<ping/>"),
        ("an HTTP request", "GET / HTTP/1.1"),
        ("an object by its words", "[object Object]"),
    ];
    table.iter().map(|(name, text)| Case::text(format!("json: {name}"), text, error(BAD_FRAME))).collect()
}

/// Shapes that cost a careless parser its stack, its time or its memory.
fn edges() -> Vec<Case> {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let with = |name: &str, field: &str, value: &str| {
        let text = format!(
            r#"{{"type":"send","id":"q","conversation":"$GROUP","client_id":"$UUID","body":"b","{field}":{value}}}"#
        );
        (format!("json: {name}"), text)
    };
    let case = |(name, text): (String, String), expect| Case::text(name, &text, expect);
    vec![
        Case::text("json: 10,000 lists deep", &deep(10_000), error(BAD_FRAME)),
        Case::text("json: 30,000 lists opened", &"[".repeat(30_000), error(BAD_FRAME)),
        Case::text("json: 10,000 objects opened", &r#"{"a":"#.repeat(10_000), error(BAD_FRAME)),
        case(with("data 1,000 deep", "data", &format!(r#"{{"k":{}}}"#, deep(1_000))), error(BAD_OR_INVALID)),
        case(
            with(
                "data 1,150 objects deep",
                "data",
                &format!("{}1{}", r#"{"":"#.repeat(1_150), "}".repeat(1_150)),
            ),
            error(BAD_OR_INVALID),
        ),
        // What is ignored is ignored whatever it is, or refused as no frame.
        case(with("unknown field 10,000 deep", "unknown", &deep(10_000)), answer("ack").or_error(BAD_FRAME)),
        case(
            with("attachments 1,000 deep", "attachments", &format!(r#"[{{"k":{}}}]"#, deep(1_000))),
            error(BAD_OR_INVALID),
        ),
        case(
            with("20,000 numbers as mentions", "mentions", &format!("[{}1]", "1,".repeat(20_000))),
            error(&["too_large", "invalid"]),
        ),
        case(with("a key of 30,000 bytes", &"k".repeat(30_000), "1"), answer("ack")),
        case(
            with(
                "5,000 keys",
                "unknown",
                &format!(r#"{{{}"z":0}}"#, (0..5_000).map(|n| format!("\"{n}\":0,")).collect::<String>()),
            ),
            answer("ack"),
        ),
        Case::text(
            "json: spaces around",
            " \r\n\t{ \"type\" : \"ping\" , \"id\" : \"q\" } \n",
            answer("pong"),
        ),
        Case::text("json: escaped names", r#"{"\u0074ype":"p\u0069ng","id":"q"}"#, answer("pong")),
        Case::text("json: type comes last", r#"{"id":"q","type":"ping"}"#, answer("pong")),
        // Which of two values counts is anybody's guess, so neither does.
        Case::text("json: type twice", r#"{"type":"ping","id":"q","type":"typing"}"#, error(BAD_OR_INVALID)),
        Case::text("json: id twice", r#"{"type":"ping","id":"q","id":"r"}"#, error(BAD_OR_INVALID)),
        Case::text(
            "json: conversation twice",
            r#"{"type":"send","id":"q","conversation":"$GROUP","conversation":"$FOREIGN","client_id":"$UUID","body":"b"}"#,
            error(BAD_OR_INVALID),
        ),
    ]
}

fn types() -> Vec<Case> {
    let named = |kind: &str| (kind.to_owned(), format!(r#"{{"type":{kind},"id":"q"}}"#));
    let unknown = [
        r#""nope""#,
        r#""""#,
        r#""PING""#,
        r#"" ping""#,
        r#""ping ""#,
        r#""hello2""#,
        r#""welcome""#,
        r#""event""#,
        r#""ack""#,
        r#""error""#,
        r#""__proto__""#,
        r#""pi\u0000ng""#,
    ];
    let wrong = ["null", "7", "true", r#"["ping"]"#, r#"{"a":1}"#];
    let mut cases: Vec<Case> = Vec::new();
    for kind in unknown {
        let (kind, text) = named(kind);
        cases.push(Case::text(format!("type: {kind}"), &text, error(&["unknown_type"])));
    }
    let long = format!(r#"{{"type":"{}","id":"q"}}"#, "t".repeat(30_000));
    cases.push(Case::text("type: 30,000 bytes", &long, error(&["unknown_type"])));
    for kind in wrong {
        let (kind, text) = named(kind);
        cases.push(Case::text(format!("type: {kind}"), &text, error(BAD_OR_INVALID)));
    }
    cases.push(Case::text("type: missing", r#"{"id":"q"}"#, error(BAD_OR_INVALID)));
    cases.push(Case::text("type: empty object", "{}", error(BAD_OR_INVALID)));
    cases
}

fn numbers() -> Vec<Case> {
    let mut cases = Vec::new();
    for number in [
        "1e400",
        "-1e400",
        "1.5",
        "15e-1",
        "-1.0",
        "9007199254740993",
        "18446744073709551616",
        "1000000000000000000000000000000000000000",
        "-9223372036854775809",
        "-1",
    ] {
        let text = format!(r#"{{"type":"read","id":"q","conversation":"$GROUP","seq":{number}}}"#);
        cases.push(Case::text(format!("seq: {number}"), &text, error(BAD_OR_INVALID)));
    }
    // Numbers count by value: game engines write back a float where they were given a whole number.
    for number in ["-0", "1.0", "1e0", "0.1e1", "10e-1"] {
        let text = format!(r#"{{"type":"read","id":"q","conversation":"$GROUP","seq":{number}}}"#);
        cases.push(Case::text(format!("seq: {number}"), &text, answer("ok")));
    }
    for number in ["1e400", "0.5", "18446744073709551616"] {
        let text = format!(r#"{{"type":"ping","id":{number}}}"#);
        cases.push(Case::text(format!("id: {number}"), &text, error(BAD_OR_INVALID)));
    }
    // Every member must be able to read it, whatever its language's numbers are.
    let text = r#"{"type":"send","id":"q","conversation":"$GROUP","client_id":"$UUID","data":{"n":1e400}}"#;
    cases.push(Case::text("data: 1e400", text, error(BAD_OR_INVALID)));
    cases
}

fn strings() -> Vec<Case> {
    let body = |name: &str, body: &str, expect| {
        let text = format!(
            r#"{{"type":"send","id":"q","conversation":"$GROUP","client_id":"$UUID","body":"{body}"}}"#
        );
        Case::text(format!("body: {name}"), &text, expect)
    };
    vec![
        body("escaped NUL", r"\u0000", error(&["invalid"])),
        body("escaped NUL in the middle", r"a\u0000b", error(&["invalid"])),
        body("lone leading surrogate", r"\ud800", error(BAD_FRAME)),
        body("lone trailing surrogate", r"\udfff", error(BAD_FRAME)),
        body("leading surrogate before a letter", r"\ud800A", error(BAD_FRAME)),
        body("two leading surrogates", r"\ud800\ud800", error(BAD_FRAME)),
        body("a proper pair", r"\ud83c\udfb2", answer("ack")),
        body("noncharacters", r"\ufffe\uffff", answer("ack")),
        body("only spaces", "   ", error(&["invalid"])),
        body("1,000 combining marks", &format!("e{}", "\u{301}".repeat(1_000)), answer("ack")),
        body("bidirectional overrides", "\u{202e}gnirts\u{202c}", answer("ack")),
        body("HTML", "<script>alert(1)</script>", answer("ack")),
        body("SQL", "'; DROP TABLE events; --", answer("ack")),
        body("format strings", "%s%n${jndi:ldap://x}{0}", answer("ack")),
        // An escaped backslash before u0000 is six ordinary characters.
        Case::text(
            "data: the letters of an escape",
            r#"{"type":"send","id":"q","conversation":"$GROUP","client_id":"$UUID","data":{"k":"a\\u0000b"}}"#,
            answer("ack"),
        ),
        Case::text(
            "send: neither body nor data",
            r#"{"type":"send","id":"q","conversation":"$GROUP","client_id":"$UUID"}"#,
            error(&["invalid"]),
        ),
        Case::text(
            "send: neither conversation nor to",
            r#"{"type":"send","id":"q","client_id":"$UUID","body":"b"}"#,
            error(&["invalid"]),
        ),
        Case::text(
            "send: conversation and to",
            r#"{"type":"send","id":"q","conversation":"$GROUP","to":"$OWNER","client_id":"$UUID","body":"b"}"#,
            error(&["invalid"]),
        ),
    ]
}

/// First frames. A first frame that is no hello closes; a hello with a wrong field is told so, or closes.
fn hellos() -> Vec<Case> {
    let first = |name: &str, text: &str, expect| {
        Case::text(format!("hello: {name}"), text, expect).instead_of_hello()
    };
    let hello = |fields: &str| format!(r#"{{"type":"hello","token":"$TOKEN",{fields}}}"#);
    let no_protocol = close(&[4400]);
    let refused = error(&["invalid"]).or_close(&[4400]);
    let long = hello(&format!(r#""device":"{}""#, "d".repeat(65)));
    let longest = hello(&format!(r#""device":"{}""#, "d".repeat(64)));
    let mut cases = vec![
        first("not JSON", "hello", no_protocol),
        first("empty frame", "", no_protocol),
        first("a list", "[]", no_protocol),
        first("no type", r#"{"token":"$TOKEN"}"#, no_protocol),
        first("another type", r#"{"type":"ping","id":"q"}"#, no_protocol),
        first(
            "a send",
            r#"{"type":"send","id":"q","to":"$OWNER","client_id":"$UUID","body":"b"}"#,
            no_protocol,
        ),
        first("unknown type", r#"{"type":"nope","id":"q"}"#, no_protocol),
        first("without token", r#"{"type":"hello"}"#, close(&[4401])),
        first("token null", r#"{"type":"hello","token":null}"#, close(&[4401])),
        first("token empty", r#"{"type":"hello","token":""}"#, close(&[4401])),
        first("token a number", r#"{"type":"hello","token":7}"#, refused.or_close(&[4400, 4401])),
        first("token an object", r#"{"type":"hello","token":{}}"#, refused.or_close(&[4400, 4401])),
        first("device of 64 bytes", &longest, answer("welcome")),
        first("device of 65 bytes", &long, refused),
        first("unknown field", &hello(r#""role":"admin","user":"$OWNER""#), answer("welcome")),
        first("cursor of nonsense", &hello(r#""cursor":"nonsense""#), answer("welcome")),
        first("cursor empty", &hello(r#""cursor":"""#), answer("welcome")),
        first(
            "cursor of 10,000 bytes",
            &hello(&format!(r#""cursor":"{}""#, "c".repeat(10_000))),
            answer("welcome").or_error(&["invalid"]).or_close(&[4400]),
        ),
        first("positions empty", &hello(r#""positions":{}"#), answer("welcome")),
        first("position of somebody else's", &hello(r#""positions":{"$FOREIGN":1}"#), answer("welcome")),
        first("position that never existed", &hello(r#""positions":{"$NOWHERE":1}"#), answer("welcome")),
        first("position from the future", &hello(r#""positions":{"$GROUP":$FUTURE}"#), answer("welcome")),
        first(
            "handover of nobody",
            &hello(r#""handover":"s_00000000000000000000000000000000""#),
            answer("welcome"),
        ),
        first(
            "handover of nonsense",
            &hello(r#""handover":"nonsense""#),
            answer("welcome").or_error(&["invalid"]).or_close(&[4400]),
        ),
    ];
    for (name, fields) in [
        ("device a number", r#""device":7"#),
        ("cursor a number", r#""cursor":7"#),
        ("positions a list", r#""positions":[1]"#),
        ("position negative", r#""positions":{"$GROUP":-1}"#),
        ("position a text", r#""positions":{"$GROUP":"1"}"#),
        ("handover a number", r#""handover":7"#),
    ] {
        cases.push(first(name, &hello(fields), refused));
    }
    cases
}
