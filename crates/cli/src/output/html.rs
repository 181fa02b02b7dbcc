//! Pages that need nothing else: no script, no outside resource; light and dark, on paper too.

use std::fmt::Display;

/// A page of this title. `body` is HTML.
pub(crate) fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        escaped(title)
    )
}

const STYLE: &str = "
:root { color-scheme: light dark; --line: #ccc; --good: #1a7f37; --bad: #b3261e; --bar: #4a7fb5; --soft: #666; }
@media (prefers-color-scheme: dark) { :root { --line: #444; --good: #57c774; --bad: #ff8a80; --bar: #7fb0e0; --soft: #aaa; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 70rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; min-width: 100%; }
th, td { min-width: 5rem; text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { overflow-x: auto; white-space: pre-wrap; } code { font-size: .85em; overflow-wrap: anywhere; } .good { color: var(--good); } .bad { color: var(--bad); } .soft { color: var(--soft); }
svg { width: 100%; height: 7rem; border-bottom: 1px solid var(--line); } .ends { display: flex; flex-wrap: wrap; justify-content: space-between; margin: 0; } svg rect { fill: var(--bar); } svg rect.bad { fill: var(--bad); }
@media print { main { max-width: none; } details { display: block; } .scroll { overflow: visible; } }
";

/// A text inside an element or a quoted attribute. What acts on what follows (control characters, turns of direction) is written out.
pub(crate) fn escaped(text: impl Display) -> String {
    let text = text.to_string();
    let text = plan::words::printable(&text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// A cell of a table.
pub(crate) enum Cell {
    /// To the left.
    Text(String),
    /// To the right.
    Number(String),
    /// A digest or an id.
    Code(String),
}

/// A table, in a box of its own that can be scrolled where it is wider than the page.
pub(crate) fn table(head: &[(&str, bool)], rows: impl IntoIterator<Item = Vec<Cell>>) -> String {
    let mut html = String::from("<div class=\"scroll\"><table>\n<tr>");
    for (name, is_number) in head {
        html.push_str(&format!("<th{}>{}</th>", if *is_number { " class=\"number\"" } else { "" }, escaped(name)));
    }
    html.push_str("</tr>\n");
    for row in rows {
        let cell = |cell| match cell {
            Cell::Text(text) => format!("<td>{}</td>", escaped(text)),
            Cell::Number(text) => format!("<td class=\"number\">{}</td>", escaped(text)),
            Cell::Code(text) => format!("<td><code>{}</code></td>", escaped(text)),
        };
        html.push_str(&format!("<tr>{}</tr>\n", row.into_iter().map(cell).collect::<String>()));
    }
    html + "</table></div>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_cannot_be_markup() {
        let html =
            table(&[("<b>", false)], [vec![Cell::Text("<script>alert('1')</script>\u{202e}".to_owned()), Cell::Code("\"&\"".to_owned())]]);
        assert!(
            !html.contains("<script") && !html.contains('\u{202e}') && html.contains("&lt;b&gt;") && html.contains("&quot;&amp;&quot;"),
            "{html}"
        );
    }
}
