//! The conformance suite, run against every store.

use std::path::Path;
use std::sync::{Arc, Mutex};

use callboard_actors::model::meter::Meter;
use callboard_actors::store::JobStore;
use callboard_actors::store::conformance::{self, Stage};
use callboard_actors::store::memory::MemoryStore;
use callboard_actors::store::sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

struct Memory;

impl Stage for Memory {
    fn fresh(&self) -> Arc<dyn JobStore> {
        Arc::new(MemoryStore::new())
    }

    fn reopen(&self) -> Option<Arc<dyn JobStore>> {
        None
    }
}

#[derive(Default)]
struct Sqlite {
    dir: Mutex<Option<TempDir>>,
}

fn open(dir: &Path) -> Arc<dyn JobStore> {
    let store = SqliteStore::open(dir, SqliteOptions::default(), Arc::new(Meter::default()));
    Arc::new(store.expect("the store opens"))
}

impl Stage for Sqlite {
    fn fresh(&self) -> Arc<dyn JobStore> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = open(dir.path());
        *self.dir.lock().expect("not poisoned") = Some(dir);
        store
    }

    fn reopen(&self) -> Option<Arc<dyn JobStore>> {
        let dir = self.dir.lock().expect("not poisoned");
        Some(open(dir.as_ref().expect("a fresh store before").path()))
    }
}

macro_rules! conforms {
    ($room:ident, $stage:expr) => {
        conforms!($room, $stage;
            a_job_goes_from_submit_to_its_end,
            a_job_has_exactly_one_terminal_record,
            the_first_finish_of_a_batch_wins,
            another_epoch_changes_nothing,
            a_finished_job_is_not_leased,
            updates_keep_every_field,
            attempts_are_remembered,
            a_key_stands_for_one_request,
            tokens_are_kept,
            tenants_are_apart,
            a_key_is_one_tenant_s_own,
            order_is_kept,
            a_failed_batch_leaves_nothing,
            lists_filter_by_status,
            cursors_cut_a_list_into_pages,
            lists_filter_by_time,
            jobs_are_found_by_prefix,
            finished_jobs_can_be_deleted,
            pruning_forgets_the_oldest,
            pruning_forgets_old_keys,
            pruning_keeps_a_number_of_bytes,
            totals_follow_what_is_kept,
            named_jobs_are_forgotten_once,
            finished_jobs_come_in_the_order_of_their_ends,
            lists_come_without_inline_output,
            live_jobs_load_in_pages,
            incarnations_grow,
            a_raised_term_raises_every_live_epoch,
            a_marked_node_stays_marked,
            live_jobs_load_with_their_needs,
            everything_is_there_after_reopening,
            a_closed_store_says_so,
        );
    };
    ($room:ident, $stage:expr; $($case:ident,)+) => {
        mod $room {
            use super::*;
            $(
                #[tokio::test]
                async fn $case() {
                    conformance::$case(&$stage).await;
                }
            )+
        }
    };
}

conforms!(memory, Memory);
conforms!(sqlite, Sqlite::default());
