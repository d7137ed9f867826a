//! Text with `{names}` in it, for which something else stands with each message.

/// A part of such a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<F> {
    Text(String),
    Field(F),
}

/// Reads a template. `{{` and `}}` are braces.
pub(super) fn parse<F: Copy>(template: &str, known: &[(&str, F)]) -> Result<Vec<Piece<F>>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, behind) = rest.split_at(at);
        text.push_str(before);
        if let Some((brace, behind)) = doubled(behind) {
            text.push(brace);
            rest = behind;
            continue;
        }
        let Some(named) = behind.strip_prefix('{') else {
            return Err("a '}' closes nothing; '}}' is a brace".to_owned());
        };
        let (name, behind) = named.split_once('}').ok_or("a '{' is not closed; '{{' is a brace")?;
        let field = known.iter().find(|(known, _)| *known == name).ok_or_else(|| {
            let known: Vec<_> = known.iter().map(|(known, _)| format!("{{{known}}}")).collect();
            format!("{{{name}}} is not known; there are {}", known.join(", "))
        })?;
        if !text.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut text)));
        }
        pieces.push(Piece::Field(field.1));
        rest = behind;
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

/// A brace that stands for itself, and what is behind it.
fn doubled(text: &str) -> Option<(char, &str)> {
    ["{{", "}}"].into_iter().find_map(|braces| Some((braces.chars().next()?, text.strip_prefix(braces)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [(&str, u8); 2] = [("one", 1), ("two", 2)];

    #[test]
    fn text_and_fields_are_told_apart() {
        let text = |text: &str| Piece::Text(text.to_owned());
        for (template, pieces) in [
            ("", vec![]),
            ("{one}", vec![Piece::Field(1)]),
            ("a{two}{one}b", vec![text("a"), Piece::Field(2), Piece::Field(1), text("b")]),
            ("é{{{one}}}", vec![text("é{"), Piece::Field(1), text("}")]),
        ] {
            assert_eq!(parse(template, &KNOWN), Ok(pieces), "{template}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (template, said) in [
            ("{one", "a '{' is not closed; '{{' is a brace"),
            ("one}", "a '}' closes nothing; '}}' is a brace"),
            ("{three}", "{three} is not known; there are {one}, {two}"),
        ] {
            assert_eq!(parse(template, &KNOWN), Err(said.to_owned()));
        }
    }
}
