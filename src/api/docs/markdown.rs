//! HTML of a page's Markdown: sections that can be linked, tables that scroll, links that lead to pages.

use std::collections::BTreeMap;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::links;

/// A page's HTML, and what its layout needs to know of it.
pub struct Rendered {
    /// The first heading.
    pub title: String,
    /// The sections of the second level: address and text.
    pub sections: Vec<(String, String)>,
    /// The HTML.
    pub html: String,
}

/// Renders the Markdown of the file at `path`. HTML within it is shown as text, and comments are left out.
pub fn render(path: &str, text: &str) -> Rendered {
    let mut events: Vec<Event<'_>> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
    let headings = headings(&events);
    let (mut at, mut dropped) = (0, false);
    let mut shown = Vec::with_capacity(events.len());
    for event in events.drain(..) {
        match event {
            Event::Start(Tag::Heading { level, classes, attrs, .. }) => {
                let id = headings.get(at).map(|heading| heading.id.clone().into());
                shown.push(Event::Start(Tag::Heading { level, id, classes, attrs }));
            }
            Event::End(TagEnd::Heading(level)) => {
                if let Some(heading) = headings.get(at) {
                    shown.push(Event::InlineHtml(anchor(&heading.id).into()));
                }
                at += 1;
                shown.push(Event::End(TagEnd::Heading(level)));
            }
            // Columns are not aligned: that would need styles in the text, which the policy forbids.
            Event::Start(Tag::Table(columns)) => {
                shown.push(Event::Html(
                    "<div class=\"wide\" role=\"region\" aria-label=\"Table\" tabindex=\"0\">".into(),
                ));
                shown.push(Event::Start(Tag::Table(vec![pulldown_cmark::Alignment::None; columns.len()])));
            }
            Event::End(TagEnd::Table) => {
                shown.push(Event::End(TagEnd::Table));
                shown.push(Event::Html("</div>".into()));
            }
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let target = links::resolve(path, &dest_url);
                dropped = target.is_none();
                if let Some(target) = target {
                    shown.push(Event::Start(Tag::Link { link_type, dest_url: target.into(), title, id }));
                }
            }
            Event::End(TagEnd::Link) if dropped => dropped = false,
            Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => {}
            Event::Html(html) | Event::InlineHtml(html) => {
                if !html.trim_start().starts_with("<!--") {
                    shown.push(Event::Text(html));
                }
            }
            other => shown.push(other),
        }
    }
    let mut written = String::with_capacity(text.len() * 2);
    html::push_html(&mut written, shown.into_iter());
    let title = headings.first().map_or_else(|| path.to_owned(), |heading| heading.text.clone());
    let second = headings.into_iter().filter(|heading| heading.level == HeadingLevel::H2);
    Rendered { title, sections: second.map(|heading| (heading.id, heading.text)).collect(), html: written }
}

struct Heading {
    level: HeadingLevel,
    id: String,
    text: String,
}

/// All headings in order. The second of the same name is numbered, as code hosts do it.
fn headings(events: &[Event<'_>]) -> Vec<Heading> {
    let mut found: Vec<Heading> = Vec::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut open: Option<(HeadingLevel, String)> = None;
    for event in events {
        match event {
            Event::Start(Tag::Heading { level, .. }) => open = Some((*level, String::new())),
            Event::End(TagEnd::Heading(_)) => {
                let Some((level, text)) = open.take() else { continue };
                let name = links::slug(&text);
                let earlier = names.entry(name.clone()).or_default();
                let id = if *earlier == 0 { name } else { format!("{name}-{earlier}") };
                *earlier += 1;
                found.push(Heading { level, id, text });
            }
            Event::Text(part) | Event::Code(part) => {
                if let Some((_, text)) = &mut open {
                    text.push_str(part);
                }
            }
            _ => {}
        }
    }
    found
}

fn anchor(id: &str) -> String {
    format!(" <a class=\"anchor\" href=\"#{id}\" aria-label=\"Link to this section\">#</a>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_tables_and_links_are_made_for_a_page() {
        let text = "# A page\n\n<!-- made by hand -->\n\n## One\n\n| a | b |\n|---|--:|\n| [x](PROTOCOL.md) | [y](../LICENSE) |\n\n## One\n\n<b>bold</b>\n";
        let Rendered { title, sections, html } = render("docs/X.md", text);
        assert_eq!(title, "A page");
        assert_eq!(sections.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["one", "one-1"]);
        assert!(html.contains("<h2 id=\"one\">One <a class=\"anchor\" href=\"#one\""), "{html}");
        assert!(html.contains("<td><a href=\"/docs/protocol\">x</a></td><td>y</td>"), "{html}");
        assert!(
            html.contains("&lt;b&gt;bold") && !html.contains("<!--") && !html.contains("style="),
            "{html}"
        );
    }
}
