//! The parts around the text of a page: head, menu, and the list of its sections.

use super::markdown::{self, Rendered};
use super::pages::{self, MENU, PageFile};

/// The whole HTML of a page.
pub fn whole(page: &PageFile) -> String {
    let Rendered { title, sections, html } = if page.is_prose() {
        markdown::render(&page.path, &page.text)
    } else {
        let html =
            format!("<h1>{}</h1>\n<pre><code>{}</code></pre>\n", escaped(&page.path), escaped(&page.text));
        Rendered { title: page.path.clone(), sections: Vec::new(), html }
    };
    let title = escaped(&title);
    // A page that lists its sections itself needs no second list.
    let lists_itself = sections.iter().any(|(id, _)| id == "contents");
    let contents = if sections.len() > 2 && !lists_itself { contents(&sections) } else { String::new() };
    // What scrolls sideways can be reached by keyboard.
    let html = html.replace("<pre><code", "<pre tabindex=\"0\"><code");
    let html = html.replacen("</h1>\n", &format!("</h1>\n{contents}"), 1);
    let menu = menu(&page.path);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"description\" content=\"Tidings: {title}\">\n\
         <title>{title} · Tidings</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <link rel=\"stylesheet\" href=\"/docs/style.css\">\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#text\">Skip to the text</a>\n\
         <header><a class=\"home\" href=\"/\">Tidings</a>\n<nav aria-label=\"Pages\">\n<ul>\n{menu}</ul>\n</nav></header>\n\
         <main id=\"text\">\n<article>\n{html}</article>\n</main>\n</body>\n</html>\n"
    )
}

fn menu(current: &str) -> String {
    let item = |(path, name): &(&str, &str)| {
        let here = if *path == current { " aria-current=\"page\"" } else { "" };
        format!("<li><a href=\"{}\"{here}>{name}</a></li>\n", pages::address(path))
    };
    MENU.iter().map(item).collect()
}

fn contents(sections: &[(String, String)]) -> String {
    let item = |(id, text): &(String, String)| format!("<li><a href=\"#{id}\">{}</a></li>\n", escaped(text));
    let items: String = sections.iter().map(item).collect();
    format!("<nav class=\"contents\" aria-label=\"On this page\">\n<ul>\n{items}</ul>\n</nav>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
