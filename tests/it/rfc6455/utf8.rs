//! Section 6: text is UTF-8. Each sequence of the known tables is sent three ways: inside a ping, inside a
//! ping cut into frames of one octet (so every code point is split), and bare, where only the encoding can be
//! judged because it is no protocol frame.

use super::case::{Case, Chop, json_ping_around};
use crate::support::raw::{Frame, TEXT, fragments, fragments_of};

const KOSME: &[u8] = "κόσμε".as_bytes();

/// A named group of the tables: its number, and sequences of which all are valid or none is.
struct Group {
    number: u8,
    valid: bool,
    sequences: Vec<Vec<u8>>,
}

/// All cases of the section.
pub fn cases() -> Vec<Case> {
    let mut cases = by_hand();
    for group in groups() {
        for (place, sequence) in group.sequences.iter().enumerate() {
            let valid = std::str::from_utf8(sequence).is_ok();
            assert_eq!(valid, group.valid, "6.{}.{}: the table contradicts Unicode", group.number, place + 1);
            cases.extend(three_ways(&format!("6.{}.{}", group.number, place + 1), sequence));
        }
    }
    // Every prefix of a text of multi-octet code points; those that end inside one are invalid.
    for length in 1..=KOSME.len() {
        cases.extend(three_ways(&format!("6.6.{length}"), &KOSME[..length]));
    }
    cases
}

fn three_ways(id: &str, sequence: &[u8]) -> [Case; 3] {
    let ping = json_ping_around("e", sequence);
    let inside = |case: Case| match std::str::from_utf8(sequence) {
        Err(_) => case.fails(&[1007]),
        // Valid UTF-8, but JSON allows no raw control characters in a string.
        Ok(text) if text.chars().any(|c| c < ' ') => case.refused(),
        Ok(_) => case.echo("e"),
    };
    let bare = Case::new(format!("{id}.bare")).send(Chop::Whole, &[Frame::new(TEXT, sequence)]);
    [
        inside(Case::new(id).send(Chop::Whole, &[Frame::new(TEXT, ping.clone())])),
        inside(Case::new(format!("{id}.octets")).send(Chop::Whole, &fragments_of(TEXT, &ping, 1))),
        if std::str::from_utf8(sequence).is_ok() { bare.refused() } else { bare.fails(&[1007]) },
    ]
}

/// 6.1 to 6.4: empty messages, and invalid octets early in a message whose rest is held back.
fn by_hand() -> Vec<Case> {
    let hello = "Hello-µ@ßöäüàá-UTF-8!!".as_bytes();
    let empty = || Frame::new(TEXT, "");
    let surrogate = [KOSME, b"\xed\xa0\x80edited"].concat();
    let ping = json_ping_around("e", hello);
    let mut cases = vec![
        Case::new("6.1.1").send(Chop::Whole, &[empty()]).refused(),
        Case::new("6.1.2").send(Chop::Whole, &fragments(TEXT, b"", &[0, 0])).refused(),
        Case::new("6.1.3").send(Chop::Whole, &fragments(TEXT, b"middle frame payload", &[0, 20])).refused(),
        Case::new("6.2.1").send(Chop::Whole, &[Frame::new(TEXT, ping.clone())]).echo("e"),
        Case::new("6.2.2").send(Chop::Whole, &fragments(TEXT, &ping, &[ping.len() - 10])).echo("e"),
        Case::new("6.2.3").send(Chop::Whole, &fragments_of(TEXT, &ping, 1)).echo("e"),
        Case::new("6.2.4").send(Chop::Whole, &fragments_of(TEXT, &json_ping_around("e", KOSME), 1)).echo("e"),
    ];
    cases.extend(three_ways("6.3", &surrogate));

    let bad = b"\xf4\x90\x80\x80";
    let whole = json_ping_around("e", &[KOSME, bad, b"edited"].concat());
    let at = whole.windows(4).position(|window| window == bad).unwrap();
    // Cut before and after the four invalid octets, and once more after the first of them, which alone could
    // still begin a code point.
    for (number, first, second) in [(1, at, 4), (2, at + 1, 3)] {
        let frames = fragments(TEXT, &whole, &[first, second]);
        let case = Case::new(format!("6.4.{number}")).send(Chop::Frames, &frames[..2]).fails_here();
        cases.push(case.send(Chop::Whole, &frames[2..]).fails(&[1007]));
    }
    let bytes = Frame::new(TEXT, whole.clone()).bytes();
    let head = bytes.len() - whole.len();
    for (number, cut) in [(3, at + 4), (4, at + 2)] {
        let mut case = Case::new(format!("6.4.{number}"));
        let (early, late) = bytes.split_at(head + cut);
        case.steps.push(super::case::Step::Write(vec![early.to_vec()]));
        case = case.fails_here();
        case.steps.push(super::case::Step::Write(vec![late.to_vec()]));
        cases.push(case.fails(&[1007]));
    }
    cases
}

fn groups() -> Vec<Group> {
    let group = |number, valid, sequences: &[&[u8]]| Group {
        number,
        valid,
        sequences: sequences.iter().map(|sequence| sequence.to_vec()).collect(),
    };
    let all = |number, valid, points: &[u32]| Group {
        number,
        valid,
        sequences: points.iter().map(|point| encoded(*point)).collect(),
    };
    let continuation: Vec<u8> = (0x80..=0xbf).collect();
    let spaced =
        |range: std::ops::RangeInclusive<u8>| range.flat_map(|octet| [octet, b' ']).collect::<Vec<u8>>();
    let truncated: [&[u8]; 10] = [
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xf8\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfb\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf",
    ];
    let noncharacters: Vec<u32> =
        (0..=0x10).flat_map(|plane| [plane << 16 | 0xfffe, plane << 16 | 0xffff]).collect();
    vec![
        // Texts of several scripts.
        group(
            5,
            true,
            &[
                KOSME,
                "Ελληνικά, עברית, العربية".as_bytes(),
                "日本語 한국어 中文".as_bytes(),
                "🎲🧩 𝔘𝔫𝔦𝔠𝔬𝔡𝔢".as_bytes(),
                "e\u{301}\u{327} \u{202e}bidi\u{202c}".as_bytes(),
            ],
        ),
        // First sequence of each length, 1 to 4 octets; then 5 and 6, which are no UTF-8 any more.
        all(7, true, &[0, 0x80, 0x800, 0x10000]),
        group(8, false, &[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
        // Last sequence of each length.
        all(9, true, &[0x7f, 0x7ff, 0xffff, 0x10ffff]),
        group(10, false, &[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"]),
        // Around the surrogates, and the end of Unicode.
        all(11, true, &[0xd7ff, 0xe000, 0xfffd, 0x10ffff]),
        group(11, false, &[b"\xf4\x90\x80\x80"]),
        // Continuation octets that continue nothing.
        group(
            12,
            false,
            &[
                b"\x80",
                b"\xbf",
                b"\x80\xbf",
                b"\x80\xbf\x80",
                b"\x80\xbf\x80\xbf",
                b"\x80\xbf\x80\xbf\x80",
                b"\x80\xbf\x80\xbf\x80\xbf",
                &continuation,
            ],
        ),
        // Lonely first octets, each before a space.
        group(
            13,
            false,
            &[
                &spaced(0xc0..=0xdf),
                &spaced(0xe0..=0xef),
                &spaced(0xf0..=0xf7),
                &spaced(0xf8..=0xfb),
                &spaced(0xfc..=0xfd),
            ],
        ),
        // The last octet missing, alone and all in a row.
        group(14, false, &truncated),
        group(15, false, &[&truncated.concat()]),
        group(16, false, &[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
        // Overlong forms of '/', of the largest code points, and of NUL.
        group(
            17,
            false,
            &[
                b"\xc0\xaf",
                b"\xe0\x80\xaf",
                b"\xf0\x80\x80\xaf",
                b"\xf8\x80\x80\x80\xaf",
                b"\xfc\x80\x80\x80\x80\xaf",
            ],
        ),
        group(
            18,
            false,
            &[
                b"\xc1\xbf",
                b"\xe0\x9f\xbf",
                b"\xf0\x8f\xbf\xbf",
                b"\xf8\x87\xbf\xbf\xbf",
                b"\xfc\x83\xbf\xbf\xbf\xbf",
            ],
        ),
        group(
            19,
            false,
            &[
                b"\xc0\x80",
                b"\xe0\x80\x80",
                b"\xf0\x80\x80\x80",
                b"\xf8\x80\x80\x80\x80",
                b"\xfc\x80\x80\x80\x80\x80",
            ],
        ),
        // Surrogates, single and paired.
        group(
            20,
            false,
            &[
                b"\xed\xa0\x80",
                b"\xed\xad\xbf",
                b"\xed\xae\x80",
                b"\xed\xaf\xbf",
                b"\xed\xb0\x80",
                b"\xed\xbe\x80",
                b"\xed\xbf\xbf",
            ],
        ),
        group(
            21,
            false,
            &[
                b"\xed\xa0\x80\xed\xb0\x80",
                b"\xed\xa0\x80\xed\xbf\xbf",
                b"\xed\xad\xbf\xed\xb0\x80",
                b"\xed\xad\xbf\xed\xbf\xbf",
                b"\xed\xae\x80\xed\xb0\x80",
                b"\xed\xae\x80\xed\xbf\xbf",
                b"\xed\xaf\xbf\xed\xb0\x80",
                b"\xed\xaf\xbf\xed\xbf\xbf",
            ],
        ),
        // Noncharacters and specials are valid UTF-8.
        all(22, true, &noncharacters),
        all(23, true, &[0xfff9, 0xfffa, 0xfffb, 0xfffc, 0xfffd, 0xfffe, 0xffff]),
    ]
}

fn encoded(point: u32) -> Vec<u8> {
    char::from_u32(point).expect("a code point").to_string().into_bytes()
}
