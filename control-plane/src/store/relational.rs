//! Statements that every database understands, for tables that need nothing special of one.

use sqlx::{ColumnIndex, Database, Decode, Encode, Row, Type};

use super::Error;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A value of a statement.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(Option<String>),
    Number(Option<i64>),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

/// A statement with its values. Its text is made of constants alone.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    sql: String,
    values: Vec<Value>,
}

impl Statement {
    pub(super) fn new(sql: &'static str) -> Self {
        Self {
            sql: sql.to_owned(),
            values: Vec::new(),
        }
    }

    /// Goes on with more text.
    pub(super) fn then(mut self, sql: &'static str) -> Self {
        self.sql.push_str(sql);
        self
    }

    /// Goes on with a value.
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self.sql.push_str(&format!("${}", self.values.len()));
        self
    }

    /// Goes on with values in parentheses.
    pub(super) fn bind_all(mut self, values: impl IntoIterator<Item = Value>) -> Self {
        let mut separator = "(";
        for value in values {
            self = self.then(separator).bind(value);
            separator = ", ";
        }
        self.then(")")
    }

    /// For the database.
    pub(super) fn query<'q, DB>(&self) -> sqlx::query::Query<'q, DB, DB::Arguments>
    where
        DB: Database,
        Option<String>: Encode<'q, DB> + Type<DB>,
        Option<i64>: Encode<'q, DB> + Type<DB>,
        DB::Arguments: sqlx::IntoArguments<DB>,
    {
        let query = sqlx::query(sqlx::AssertSqlSafe(self.sql.clone()));
        self.values.iter().fold(query, |query, value| match value.clone() {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
        })
    }
}

/// The columns of a row.
pub(super) trait Columns {
    fn optional_text(&self, column: &'static str) -> Result<Option<String>, BoxError>;
    fn optional_number(&self, column: &'static str) -> Result<Option<i64>, BoxError>;
    fn flag(&self, column: &'static str) -> Result<bool, BoxError>;

    fn text(&self, column: &'static str) -> Result<String, BoxError> {
        self.optional_text(column)?
            .ok_or_else(|| format!("`{column}` is null").into())
    }

    fn number(&self, column: &'static str) -> Result<i64, BoxError> {
        self.optional_number(column)?
            .ok_or_else(|| format!("`{column}` is null").into())
    }
}

impl<R> Columns for R
where
    R: Row,
    &'static str: ColumnIndex<R>,
    for<'r> bool: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
{
    fn optional_text(&self, column: &'static str) -> Result<Option<String>, BoxError> {
        Ok(self.try_get(column)?)
    }

    fn optional_number(&self, column: &'static str) -> Result<Option<i64>, BoxError> {
        Ok(self.try_get(column)?)
    }

    fn flag(&self, column: &'static str) -> Result<bool, BoxError> {
        Ok(self.try_get(column)?)
    }
}

/// A database that takes such statements.
pub(super) trait Relational: Send + Sync + 'static {
    /// Writes, all or nothing; says how many rows each of the statements changed.
    fn execute(
        &self,
        action: &'static str,
        statements: Vec<Statement>,
    ) -> impl Future<Output = Result<Vec<u64>, Error>> + Send;

    /// Reads rows.
    fn select<T: Send>(
        &self,
        action: &'static str,
        statement: Statement,
        read: fn(&dyn Columns) -> Result<T, BoxError>,
    ) -> impl Future<Output = Result<Vec<T>, Error>> + Send;
}
