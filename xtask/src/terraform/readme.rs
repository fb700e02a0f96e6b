//! The tables of inputs and outputs in the modules' documents, from what their files declare.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::terraform::generated::Document;

/// The documents of the root module and of all submodules.
pub(super) fn documents(root: &Path) -> Result<Vec<Document>> {
    let modules = root.join("modules");
    let mut folders = vec![root.to_owned()];
    for entry in fs::read_dir(&modules).map_err(Error::io("read", &modules))? {
        folders.push(entry.map_err(Error::io("read", &modules))?.path());
    }
    folders.sort();
    folders.iter().map(|folder| document(folder)).collect()
}

fn document(folder: &Path) -> Result<Document> {
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(Error::io("read", path))
    };
    Ok(Document {
        path: folder.join("README.md"),
        sections: vec![
            ("inputs".to_owned(), inputs(&blocks(&read("variables.tf")?, "variable"))),
            ("outputs".to_owned(), outputs(&blocks(&read("outputs.tf")?, "output"))),
        ],
    })
}

/// A block with its attributes, as `terraform fmt` writes them.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    name: String,
    attributes: Vec<(String, String)>,
}

impl Block {
    fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    fn description(&self) -> String {
        let quoted = self.attribute("description").unwrap_or_default();
        quoted.trim_matches('"').replace("\\\"", "\"").replace('|', "\\|")
    }
}

/// The blocks of one kind, in the order of the file.
fn blocks(text: &str, kind: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix(kind).and_then(|rest| rest.strip_prefix(" \"")) {
            let name = rest.split('"').next().unwrap_or_default().to_owned();
            blocks.push(Block {
                name,
                attributes: Vec::new(),
            });
            inside = true;
        } else if line == "}" {
            inside = false;
        } else if inside && let Some((key, value)) = attribute(line) {
            let mut value = value.to_owned();
            // The rest of a value with brackets.
            while depth(&value) > 0
                && let Some(line) = lines.next()
            {
                value = format!("{value}\n{line}");
            }
            let block = blocks.last_mut().expect("inside a block");
            block.attributes.push((key.to_owned(), value));
        }
    }
    blocks
}

/// An attribute of the block itself, and not of a block in it.
fn attribute(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.strip_prefix("  ")?.split_once('=')?;
    let key = key.trim_end();
    let is_name = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| (key, value.trim()))
}

/// Brackets that are open at the end of a value; those in strings do not count.
fn depth(value: &str) -> i32 {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in value.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' | '[' | '{' if !quoted => depth += 1,
            ')' | ']' | '}' if !quoted => depth -= 1,
            _ => {}
        }
    }
    depth
}

/// A value in one line, for a cell of a table.
fn one_line(value: &str) -> String {
    let words: Vec<_> = value.split_whitespace().collect();
    words
        .join(" ")
        .replace("{ ", "{")
        .replace(" }", "}")
        .replace('|', "\\|")
}

fn inputs(blocks: &[Block]) -> String {
    let mut table = "| input | meaning | type | default |\n|---|---|---|---|\n".to_owned();
    for block in blocks {
        let kind = block.attribute("type").map(short_type).unwrap_or_default();
        let default = match block.attribute("default") {
            Some(value) => format!("`{}`", one_line(value)),
            None => "required".to_owned(),
        };
        let _ = writeln!(
            table,
            "| `{}` | {} | `{kind}` | {default} |",
            block.name,
            block.description()
        );
    }
    table
}

/// The type as one reads it: attributes of objects between commas.
fn short_type(value: &str) -> String {
    let lines: Vec<_> = value.lines().map(str::trim).collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let word = line.split_once('=').map_or_else(
            || (*line).to_owned(),
            |(key, kind)| format!("{} = {}", key.trim(), kind.trim()),
        );
        text.push_str(&word);
        let next_closes = lines.get(index + 1).is_none_or(|next| next.starts_with('}'));
        if !next_closes && !word.ends_with('{') {
            text.push_str(", ");
        }
    }
    text.replace('|', "\\|")
}

fn outputs(blocks: &[Block]) -> String {
    let mut table = "| output | meaning |\n|---|---|\n".to_owned();
    for block in blocks {
        let _ = writeln!(table, "| `{}` | {} |", block.name, block.description());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLES: &str = r#"
variable "name" {
  description = "Say \"weir\" or a|b."
  type        = string

  validation {
    condition     = var.name != ""
    error_message = "name must not be empty."
  }
}

variable "size" {
  description = "How large."
  type = object({
    cpu    = optional(number, 512)
    labels = optional(map(string), {})
  })
  default = { cpu = 256 }
}
"#;

    #[test]
    fn inputs_are_read_from_the_file() {
        assert_eq!(
            inputs(&blocks(VARIABLES, "variable")),
            "| input | meaning | type | default |\n|---|---|---|---|\n\
             | `name` | Say \"weir\" or a\\|b. | `string` | required |\n\
             | `size` | How large. | `object({cpu = optional(number, 512), labels = optional(map(string), {})})` | `{cpu = 256}` |\n"
        );
    }

    #[test]
    fn outputs_are_read_from_the_file() {
        let text = "output \"url\" {\n  description = \"Where.\"\n  value       = \"x\"\n}\n\nlocals {\n  a = 1\n}\n";
        assert_eq!(
            outputs(&blocks(text, "output")),
            "| output | meaning |\n|---|---|\n| `url` | Where. |\n"
        );
    }
}
