//! What only the store on a Postgres server promises.
