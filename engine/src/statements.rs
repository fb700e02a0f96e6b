//! SQL scripts to single statements.

use datafusion::sql::parser::{DFParser, Statement as Parsed};
use datafusion::sql::sqlparser::ast;

use crate::PlanError;

/// One statement of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its text.
    pub text: String,
    /// What it is for.
    pub role: StatementRole,
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
    let parsed = DFParser::parse_sql(script).map_err(|error| PlanError::Query(error.strip_backtrace()))?;
    Ok(parsed.iter().map(|statement| Statement { text: statement.to_string(), role: role(statement) }).collect())
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
        assert_eq!(statements[1].text, "SELECT * FROM v");
    }

    #[test]
    fn a_syntax_error_is_the_users() {
        let error = split("SELEC 1").unwrap_err();
        assert!(matches!(error, PlanError::Query(_)), "{error}");
    }
}
