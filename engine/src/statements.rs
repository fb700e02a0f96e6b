//! SQL scripts to single statements.

use datafusion::sql::parser::{DFParser, Statement as Parsed};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::PlanError;
use crate::depth::check_text;
use crate::error::place_in;

/// One statement of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its text.
    pub text: String,
    /// What it is for.
    pub role: StatementRole,
    /// The line of the script where it begins, from one.
    pub line: u64,
    /// The column of the line, in characters, from one.
    pub column: u64,
}

/// What a statement of a script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatementRole {
    /// Changes what later statements see (`CREATE VIEW`, `CREATE EXTERNAL TABLE`, `SET`, …) and has no rows.
    Setup,
    /// Has rows, or writes files.
    Query,
}

/// Splits a script at its semicolons, where a semicolon in a literal or comment is none.
pub fn split(script: &str) -> Result<Vec<Statement>, PlanError> {
    let tokens = Tokenizer::new(&GenericDialect {}, script)
        .tokenize_with_location()
        .map_err(|error| {
            let place = (error.location.line, error.location.column);
            PlanError::query_at(format!("SQL error: {error}"), Some(place))
        })?;
    let ends = tokens
        .iter()
        .filter(|token| token.token == Token::SemiColon)
        .map(|token| token.span.start);
    let mut statements = Vec::new();
    let mut rest = Cursor {
        text: script,
        line: 1,
        column: 1,
    };
    for end in ends {
        rest.skip_spaces();
        let (line, column) = (rest.line, rest.column);
        let text = rest.up_to(end.line, end.column);
        statements.extend(statement(text, line, column)?);
        rest.up_to(end.line, end.column + 1);
    }
    rest.skip_spaces();
    statements.extend(statement(rest.text, rest.line, rest.column)?);
    Ok(statements)
}

/// Walks a text by lines and columns, which the tokenizer counts from one, columns in characters.
struct Cursor<'a> {
    text: &'a str,
    line: u64,
    column: u64,
}

impl<'a> Cursor<'a> {
    /// Moves on to a place; gives what lies before it.
    fn up_to(&mut self, line: u64, column: u64) -> &'a str {
        let mut bytes = self.text.len();
        for (at, character) in self.text.char_indices() {
            if (self.line, self.column) >= (line, column) {
                bytes = at;
                break;
            }
            if character == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        let (before, after) = self.text.split_at(bytes);
        self.text = after;
        before
    }

    fn skip_spaces(&mut self) {
        while let Some(space) = self.text.chars().next().filter(|c| c.is_whitespace()) {
            self.text = &self.text[space.len_utf8()..];
            if space == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
    }
}

/// The statement of a piece that begins at a place of the script; nothing when it has only comments.
fn statement(text: &str, line: u64, column: u64) -> Result<Option<Statement>, PlanError> {
    check_text(text)?;
    let parsed = DFParser::parse_sql(text).map_err(|error| {
        let message = error.strip_backtrace();
        let place = place_in(&message).map(|(of_piece, at)| match of_piece {
            1 => (line, column + at - 1),
            _ => (line + of_piece - 1, at),
        });
        PlanError::query_at(message, place)
    })?;
    let parsed = parsed.front();
    Ok(parsed.map(|parsed| Statement {
        text: text.trim_end().to_owned(),
        role: role(parsed),
        line,
        column,
    }))
}

fn role(statement: &Parsed) -> StatementRole {
    match statement {
        Parsed::CreateExternalTable(_) | Parsed::Reset(_) => StatementRole::Setup,
        Parsed::Statement(statement) => match statement.as_ref() {
            ast::Statement::CreateView { .. }
            | ast::Statement::CreateTable(_)
            | ast::Statement::CreateSchema { .. }
            | ast::Statement::CreateFunction(_)
            | ast::Statement::Drop { .. }
            | ast::Statement::Set(_) => StatementRole::Setup,
            _ => StatementRole::Query,
        },
        Parsed::CopyTo(_) | Parsed::Explain(_) => StatementRole::Query,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_statements_and_not_in_literals() {
        let statements = split("CREATE VIEW v AS SELECT ';' AS s; -- a; comment\nSELECT * FROM v;").unwrap();
        let roles: Vec<_> = statements.iter().map(|statement| statement.role).collect();
        assert_eq!(roles, [StatementRole::Setup, StatementRole::Query]);
        let places: Vec<_> = statements.iter().map(|found| (found.line, found.column)).collect();
        assert_eq!(places, [(1, 1), (1, 35)]);
        assert_eq!(statements[0].text, "CREATE VIEW v AS SELECT ';' AS s");
        assert!(
            statements[1].text.ends_with("SELECT * FROM v"),
            "{}",
            statements[1].text
        );
    }

    #[test]
    fn statements_keep_their_text() {
        let script = "COPY (SELECT 'é;\n' AS a)\nTO 'out/a b.csv' STORED AS CSV;;\n  SELECT 2 ; -- end";
        let texts: Vec<_> = split(script)
            .unwrap()
            .into_iter()
            .map(|statement| statement.text)
            .collect();
        assert_eq!(
            texts,
            ["COPY (SELECT 'é;\n' AS a)\nTO 'out/a b.csv' STORED AS CSV", "SELECT 2"]
        );
    }

    #[test]
    fn a_syntax_error_is_the_users() {
        let place = |script| match split(script) {
            Err(PlanError::QueryAt { line, column, .. }) => (line, column),
            other => panic!("{other:?}"),
        };
        assert_eq!(place("SELEC 1"), (1, 1));
        assert_eq!(place("SELECT 1; -- é\n\n  SELEC 1"), (3, 3));
        // The parser does not say where a statement ends too early.
        assert!(matches!(
            split("SELECT 1;\nSELECT\n  2 FROM;"),
            Err(PlanError::Query(_))
        ));
        assert_eq!(place("SELECT 'a"), (1, 8));
    }
}
