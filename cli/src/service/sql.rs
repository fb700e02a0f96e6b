//! Looking at SQL, for the API.

use async_trait::async_trait;
use weir_control_plane::http::resources::{SqlCheck, SqlCheckRequest, SqlError, SqlRole, SqlStage, SqlStatement};
use weir_control_plane::http::{CheckError, SqlChecker};
use weir_engine::statements::{self, Statement, StatementRole};
use weir_engine::{Engine, Explanation, PlanError};
use weir_model::{Job, Namespace, RunSettings, Stage, Submission, TableRef};

use crate::cells;

/// Statements of a script.
const MAX_STATEMENTS: usize = 500;

/// Looks by planning with the engine of this process.
pub(crate) struct EngineChecker(pub(crate) Engine);

#[async_trait]
impl SqlChecker for EngineChecker {
    async fn check(
        &self,
        namespace: &Namespace,
        request: SqlCheckRequest,
        base: String,
        settings: &RunSettings,
    ) -> Result<SqlCheck, CheckError> {
        let statements = match statements::split(&request.script) {
            Ok(statements) if statements.len() <= MAX_STATEMENTS => statements,
            Ok(statements) => {
                let found = statements.len();
                let message = format!("a script has at most {MAX_STATEMENTS} statements, and this one has {found}");
                return Ok(wrong(Vec::new(), message, None));
            }
            Err(error) => return refused(Vec::new(), error),
        };
        let shown = statements.iter().map(show).collect();
        let last = statements
            .iter()
            .rposition(|statement| statement.role == StatementRole::Query);
        let Some(last) = last else {
            let message = "no statement has rows or writes files; end with a SELECT or COPY".to_owned();
            return Ok(wrong(shown, message, None));
        };
        let setup = statements[..last]
            .iter()
            .filter(|statement| statement.role == StatementRole::Setup);
        let tables = request.tables.into_iter().map(|table| TableRef {
            name: table.name,
            path: table.path,
        });
        let submission = Submission {
            namespace: namespace.clone(),
            name: "sql".to_owned(),
            job: Job::Sql {
                statement: in_place(&statements[last]),
                setup: setup.map(in_place).collect(),
                tables: tables.collect(),
            },
            modules: request.modules,
            base,
            settings: settings.clone(),
            metadata: Default::default(),
        };
        match self.0.explain(&submission).await {
            Ok(explanation) => Ok(understood(shown, explanation)),
            Err(error) => refused(shown, error),
        }
    }
}

/// A statement at the place that it has in the script, so that errors name the script's lines and columns.
fn in_place(statement: &Statement) -> String {
    let lines = usize::try_from(statement.line - 1).unwrap_or(0);
    let columns = usize::try_from(statement.column - 1).unwrap_or(0);
    format!("{}{}{}", "\n".repeat(lines), " ".repeat(columns), statement.text)
}

fn show(statement: &Statement) -> SqlStatement {
    SqlStatement {
        text: statement.text.clone(),
        role: match statement.role {
            StatementRole::Setup => SqlRole::Setup,
            StatementRole::Query => SqlRole::Query,
        },
        line: statement.line,
        column: statement.column,
    }
}

fn understood(statements: Vec<SqlStatement>, explanation: Explanation) -> SqlCheck {
    let columns = explanation.result.map(|schema| cells::columns(schema.fields()));
    SqlCheck {
        valid: true,
        errors: Vec::new(),
        statements,
        columns: columns.unwrap_or_default(),
        stages: explanation.graph.stages.iter().map(stage).collect(),
        logical_plan: Some(explanation.logical),
        physical_plan: Some(explanation.stages),
    }
}

fn stage(stage: &Stage) -> SqlStage {
    SqlStage {
        id: stage.id.0,
        name: stage.name.clone(),
        partitions: stage.partitions,
        inputs: stage.inputs.iter().map(|input| input.stage.0).collect(),
        scan_bytes: stage.scan_bytes.iter().sum(),
    }
}

/// What planning found wrong, unless the platform is at fault.
fn refused(statements: Vec<SqlStatement>, error: PlanError) -> Result<SqlCheck, CheckError> {
    match error {
        PlanError::Platform(source) => Err(CheckError::Platform(source)),
        PlanError::QueryAt { message, line, column } => Ok(wrong(statements, message, Some((line, column)))),
        error => Ok(wrong(statements, error.to_string(), None)),
    }
}

/// A script that cannot be run.
pub(crate) fn wrong(statements: Vec<SqlStatement>, message: String, place: Option<(u64, u64)>) -> SqlCheck {
    let error = SqlError {
        message,
        line: place.map(|(line, _)| line),
        column: place.map(|(_, column)| column),
    };
    SqlCheck {
        errors: vec![error],
        statements,
        ..SqlCheck::default()
    }
}
