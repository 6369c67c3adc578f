//! Plays an HTTP example: each request with its answer, status, shown headers and body.

use reqwest::Method;
use serde_json::Value;

use super::page::{Block, Line, Way, Wrong};
use super::pattern::parse;
use super::stage::Stage;
use crate::support::rest::Answer;
use crate::support::{DEADLINE, until};

/// Plays all exchanges of a block.
///
/// # Errors
/// The first line that does not hold.
pub async fn play(stage: &mut Stage, block: &Block) -> Result<(), Wrong> {
    let mut rest = &block.lines[..];
    while let Some(first) = rest.first() {
        let sent = rest.iter().take_while(|line| line.way == Way::Sent).count();
        let received = rest[sent..].iter().take_while(|line| line.way == Way::Received).count();
        let wrong = |line: &Line, what: String| Wrong { line: line.number, what };
        if sent == 0 || received == 0 {
            return Err(wrong(first, "a request and its answer belong together".into()));
        }
        let steps = erasing_steps(stage).await;
        let answer = request(stage, &rest[..sent]).await.map_err(|what| wrong(first, what))?;
        check(stage, &answer, &rest[sent..sent + received])?;
        if first.text == "DELETE /v1/me" && answer.status == 202 {
            until_erased(stage, steps).await;
        }
        rest = &rest[sent + received..];
    }
    Ok(())
}

/// Erasing goes on after its answer. What it tells others must not come in the middle of a later example.
async fn until_erased(stage: &Stage, before: u64) {
    let erased = async || {
        let begun = erasing_steps(stage).await != before;
        (begun && stage.rest.internal("/readyz").await.body["details"]["jobs"] == 0).then_some(())
    };
    until("the account is erased", DEADLINE, erased).await;
}

async fn erasing_steps(stage: &Stage) -> u64 {
    let page = stage.rest.internal("/metrics").await.text;
    let found = page.lines().find_map(|line| line.strip_prefix("tidings_jobs_steps_total ")?.parse().ok());
    found.expect("steps are counted")
}

/// `METHOD path`, then `header: value` lines, then the body.
async fn request(stage: &mut Stage, lines: &[Line]) -> Result<Answer, String> {
    let first = &lines[0];
    let text = stage.names.fill(&first.text);
    let (method, path) = text.split_once(' ').ok_or("METHOD path is expected")?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
    let mut request = stage.rest.request(method, path);
    if !first.who.is_empty() {
        request = request.bearer_auth(stage.token(&first.who)?);
    }
    let (mut typed, mut body) = (false, None);
    for line in &lines[1..] {
        if line.text.starts_with('{') {
            // What is no JSON goes out as it is written: the server is to say so.
            let filled = stage.names.frame(&line.text).map(|value| value.to_string());
            body = Some(filled.unwrap_or_else(|_| line.text.clone()));
        } else {
            let filled = stage.names.fill(&line.text);
            let (name, value) = filled.split_once(": ").ok_or("name: value is expected")?;
            typed |= name.eq_ignore_ascii_case("content-type");
            request = request.header(name.to_owned(), value.to_owned());
        }
    }
    if let Some(body) = body {
        request = if typed { request } else { request.header("content-type", "application/json") };
        request = request.body(body);
    }
    Ok(stage.rest.finish(request).await)
}

/// Status, then `header: value` lines, then the body: nothing, `…`, or one line for each line of it.
fn check(stage: &mut Stage, answer: &Answer, lines: &[Line]) -> Result<(), Wrong> {
    let wrong = |line: &Line, what: String| {
        Err(Wrong {
            line: line.number,
            what: format!("{what}; the answer: {} {}", answer.status, answer.text),
        })
    };
    if lines[0].text != answer.status.as_u16().to_string() {
        return wrong(&lines[0], format!("status {}", answer.status));
    }
    let is_body = |line: &&Line| line.text.starts_with(['{', '…']);
    for line in lines[1..].iter().filter(|line| !is_body(line)) {
        let filled = stage.names.fill(&line.text);
        let (name, value) = filled.split_once(": ").unwrap_or((&filled, ""));
        let came = answer.header(name).unwrap_or("(none)");
        if came != value && value != "…" {
            return wrong(line, format!("{name}: {came}"));
        }
    }
    let shown: Vec<&Line> = lines[1..].iter().filter(is_body).collect();
    if shown.iter().any(|line| line.text == "…") {
        return Ok(());
    }
    let came: Vec<&str> = answer.text.lines().collect();
    if came.len() != shown.len() {
        return wrong(&lines[0], format!("{} lines of body instead of {}", came.len(), shown.len()));
    }
    for (line, came) in shown.into_iter().zip(came) {
        let parsed: Value = serde_json::from_str(came).unwrap_or(Value::Null);
        let outcome = parse(&line.text).and_then(|shown| stage.names.check(&shown, &parsed));
        if let Err(what) = outcome {
            return wrong(line, what);
        }
    }
    Ok(())
}
