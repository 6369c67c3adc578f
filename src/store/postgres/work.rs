//! Running an operation on a lane, within its time and again when that is right.

pub(super) use crate::store::sql::{ATTEMPTS, unrefused};

/// Runs `$work` on a writing connection `$link`, in one transaction. It is run again when it was undone by another's, lost a
/// race for a unique value, or its connection broke before the commit.
macro_rules! write {
    ($store:expr, |$link:ident| $work:expr) => {{
        let phase = $crate::store::postgres::lane::Phase::default();
        let work = async {
            let mut attempts = $crate::store::postgres::work::ATTEMPTS;
            loop {
                let mut transaction = $store.writer.begin($crate::store::postgres::lane::Mode::Write).await?;
                let $link: &mut $crate::store::postgres::link::Link = &mut transaction;
                let worked = $work.await.map_err($crate::store::sql::Stop::from);
                attempts -= 1;
                match worked {
                    Err($crate::store::sql::Stop::Failed(error)) if attempts > 0 && error.worth_another() => {
                        transaction.abandon(&error).await;
                    }
                    worked => break transaction.finish(worked, &phase).await,
                }
            }
        };
        phase.bound($store.timeout, work).await
    }};
}

/// Runs `$work`, mostly one statement, on a connection `$link` of the lane `$lane`, to read. It is run again once when its
/// connection broke.
macro_rules! read {
    ($store:expr, $lane:ident, |$link:ident| $work:expr) => {{
        let phase = $crate::store::postgres::lane::Phase::default();
        let work = async {
            let mut attempts = 2;
            loop {
                let mut transaction = $store.$lane.begin($crate::store::postgres::lane::Mode::Single).await?;
                let $link: &mut $crate::store::postgres::link::Link = &mut transaction;
                let worked = $work.await.map_err($crate::store::sql::Stop::from);
                attempts -= 1;
                match worked {
                    Err($crate::store::sql::Stop::Failed(error)) if attempts > 0 && error.worth_another() => {
                        transaction.abandon(&error).await;
                    }
                    worked => {
                        break transaction
                            .finish(worked, &$crate::store::postgres::lane::Phase::default())
                            .await;
                    }
                }
            }
        };
        phase.bound($store.timeout, work).await
    }};
}

pub(super) use {read, write};
