//! The rules' way to the file.

use serde_json::json;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use uuid::Uuid;

use crate::store::sql::{self, Batch, Sql, Value};

/// A statement of the rules with its values.
fn bound<'v>(text: &'static str, values: &'v [Value<'v>]) -> Query<'v, Sqlite, SqliteArguments> {
    values.iter().fold(sqlx::query(text), |statement, value| match value {
        Value::Uuid(id) => statement.bind(*id),
        Value::Int(number) => statement.bind(*number),
        Value::Text(text) => statement.bind(*text),
        Value::Bytes(bytes) => statement.bind(*bytes),
        Value::Flag(flag) => statement.bind(*flag),
        Value::Uuids(list) => {
            let hexadecimal = |id: &Option<Uuid>| id.map(|id| id.simple().to_string());
            statement.bind(json!(list.iter().map(hexadecimal).collect::<Vec<_>>()).to_string())
        }
        Value::Ints(list) => statement.bind(json!(list).to_string()),
        Value::Texts(list) => statement.bind(json!(list).to_string()),
    })
}

impl sql::Connection for SqliteConnection {
    type Row = SqliteRow;

    async fn all(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Vec<SqliteRow>> {
        Ok(bound(sql.sqlite, values).fetch_all(self).await?)
    }

    async fn optional(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Option<SqliteRow>> {
        Ok(bound(sql.sqlite, values).fetch_optional(self).await?)
    }

    async fn run(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<u64> {
        Ok(bound(sql.sqlite, values).execute(self).await?.rows_affected())
    }

    async fn each(&mut self, sql: &Sql, values: &[Value<'_>]) -> sql::Result<Vec<SqliteRow>> {
        let mut answers = Vec::new();
        for row in sql::rows(values) {
            answers.extend(bound(sql.sqlite, &row).fetch_all(&mut *self).await?);
        }
        Ok(answers)
    }

    async fn batch(&mut self, batch: &Batch, values: &[Value<'_>]) -> sql::Result<()> {
        for row in sql::rows(values) {
            for text in batch.sqlite {
                bound(text, &row).execute(&mut *self).await?;
            }
        }
        Ok(())
    }
}
