//! Tables in documents that are made from something else: between `<!-- made: NAME -->` and `<!-- end -->`.

use std::fs;
use std::path::PathBuf;

use crate::command::root;
use crate::error::{Error, Result};

const END: &str = "<!-- end -->";

/// A document, and what belongs into it.
pub(super) struct Document {
    pub(super) path: PathBuf,
    /// Names of sections, and their text.
    pub(super) sections: Vec<(String, String)>,
}

/// Fails when a document is not what would be written.
pub(super) fn check(documents: &[Document]) -> Result<()> {
    let mut stale = Vec::new();
    for document in documents {
        let have = read(document)?;
        if filled(document, &have)? != have {
            stale.push(short(document));
        }
    }
    if stale.is_empty() {
        Ok(())
    } else {
        Err(Error::Terraform(format!(
            "not up to date: {}. Run `cargo xtask terraform --write`",
            stale.join(", ")
        )))
    }
}

/// Writes all documents.
pub(super) fn write(documents: &[Document]) -> Result<()> {
    for document in documents {
        let have = read(document)?;
        let new = filled(document, &have)?;
        if new != have {
            fs::write(&document.path, new).map_err(Error::io("write", &document.path))?;
            eprintln!("wrote {}", short(document));
        }
    }
    Ok(())
}

fn read(document: &Document) -> Result<String> {
    fs::read_to_string(&document.path).map_err(Error::io("read", &document.path))
}

fn short(document: &Document) -> String {
    let path = document.path.strip_prefix(root()).unwrap_or(&document.path);
    path.display().to_string()
}

fn filled(document: &Document, text: &str) -> Result<String> {
    let mut text = text.to_owned();
    for (name, section) in &document.sections {
        let begin = format!("<!-- made: {name} -->");
        let place = text.find(&begin).map(|at| at + begin.len()).and_then(|start| {
            let length = text[start..].find(END)?;
            Some(start..start + length)
        });
        let Some(place) = place else {
            return Err(Error::Terraform(format!(
                "{} has no place for `{name}`: put `{begin}` and `{END}` there, on lines of their own",
                short(document)
            )));
        };
        text.replace_range(place, &format!("\n{}\n", section.trim_end()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(sections: &[(&str, &str)]) -> Document {
        let sections = sections
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Document {
            path: PathBuf::from("a.md"),
            sections: sections.collect(),
        }
    }

    #[test]
    fn sections_are_replaced_where_they_are() {
        let text = "# A\n<!-- made: x -->\nold\n<!-- end -->\nbetween\n<!-- made: y -->\n<!-- end -->\n";
        let new = filled(&document(&[("y", "Y\n"), ("x", "X")]), text).unwrap();
        assert_eq!(
            new,
            "# A\n<!-- made: x -->\nX\n<!-- end -->\nbetween\n<!-- made: y -->\nY\n<!-- end -->\n"
        );
        assert_eq!(filled(&document(&[("y", "Y\n"), ("x", "X")]), &new).unwrap(), new);
    }

    #[test]
    fn a_missing_place_is_an_error() {
        assert!(filled(&document(&[("x", "X")]), "# A\n").is_err());
    }
}
